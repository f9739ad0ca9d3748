//! Native functions that each call passes through.
//!
//! They are what `#[rustler::nif]` makes, but that allocates memory for the arguments of each call.

use crate::base::atoms;
use rustler::sys::{ErlNifEnv, ErlNifTerm, enif_make_badarg, enif_raise_exception};
use rustler::{Env, NifResult, Term};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Makes `$work`, a `fn(Env, [Term; $arity]) -> NifResult<Term>`, a function of the module, run on the scheduler
/// that is named.
macro_rules! nif {
    ($name:ident, $arity:literal, $scheduler:ident, $work:path) => {
        rustler::codegen_runtime::inventory::submit!(rustler::Nif {
            name: concat!(stringify!($name), "\0").as_ptr().cast(),
            arity: $arity,
            flags: rustler::SchedulerFlags::$scheduler as std::ffi::c_uint,
            raw_func: {
                unsafe extern "C" fn function(
                    env: *mut rustler::sys::ErlNifEnv,
                    _count: std::ffi::c_int,
                    arguments: *const rustler::sys::ErlNifTerm,
                ) -> rustler::sys::ErlNifTerm {
                    // SAFETY: called by the VM, with as many arguments as it was told.
                    unsafe {
                        $crate::nif::raw::call::<$arity>(env, arguments, |env, terms| {
                            $work(env, terms)
                        })
                    }
                }
                function
            },
        });
    };
}
pub(super) use nif;

/// # Safety
///
/// `env` is the environment of a native function that is being called, and `arguments` are its terms, `COUNT` of them.
pub unsafe fn call<const COUNT: usize>(
    env: *mut ErlNifEnv,
    arguments: *const ErlNifTerm,
    work: impl for<'a> FnOnce(Env<'a>, [Term<'a>; COUNT]) -> NifResult<Term<'a>>,
) -> ErlNifTerm {
    let lives = ();
    // SAFETY: as this function demands, for the time of the call.
    let env = unsafe { Env::new(&lives, env) };
    // SAFETY: as above.
    let terms = std::array::from_fn(|at| unsafe { Term::new(env, *arguments.add(at)) });
    match catch_unwind(AssertUnwindSafe(|| work(env, terms))) {
        Ok(Ok(term)) => term.as_c_arg(),
        // SAFETY: the environment is valid, and what is made is returned to the VM.
        Ok(Err(_)) => unsafe { enif_make_badarg(env.as_c_arg()) },
        // SAFETY: as above.
        Err(_) => unsafe { enif_raise_exception(env.as_c_arg(), atoms::nif_panicked().as_c_arg()) },
    }
}
