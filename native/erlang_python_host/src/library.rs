//! A native library, loaded as the VM would do it.

use crate::env::HostEnv;
use crate::pid;
use crate::print;
use crate::thread::OnScheduler;
use crate::word::Word;
use rustler::codegen_runtime::ErlNifEntry;
use rustler::sys::{ErlNifEnv, ErlNifTerm};
use rustler::{Env, Term};
use std::collections::HashMap;
use std::ffi::{CStr, c_int};
use std::{fmt, ptr, slice};

type Function = unsafe extern "C" fn(*mut ErlNifEnv, c_int, *const ErlNifTerm) -> ErlNifTerm;

struct Entry {
    arity: usize,
    function: Function,
    scheduler: c_int,
}

/// The functions of a library, by name and number of arguments.
pub struct Library {
    functions: HashMap<&'static str, Vec<Entry>>,
}

/// A function has raised: the reason, as Erlang writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised(pub String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

impl Library {
    /// `info`: what the function `load` of the library is given.
    ///
    /// # Safety
    ///
    /// What `nif_init` returned: it is valid for ever.
    pub unsafe fn load(
        entry: *const ErlNifEntry,
        info: impl for<'a> FnOnce(Env<'a>) -> Term<'a>,
    ) -> Result<Self, Raised> {
        let entry = &*entry;
        let mut functions = HashMap::new();
        if entry.num_of_funcs > 0 {
            for function in slice::from_raw_parts(entry.funcs, entry.num_of_funcs as usize) {
                let name = CStr::from_ptr(function.name)
                    .to_str()
                    .map_err(|_| Raised("a function has a name that is no text".into()))?;
                let entry = Entry {
                    arity: function.arity as usize,
                    function: function.function,
                    // What the flags say: a normal one, or a dirty one of either kind.
                    scheduler: function.flags as c_int + OnScheduler::NORMAL,
                };
                functions.entry(name).or_insert_with(Vec::new).push(entry);
            }
        }
        if let Some(load) = entry.load {
            let _on_scheduler = OnScheduler::enter(OnScheduler::NORMAL);
            let mut env = HostEnv::new(pid::nobody());
            let raw = env.as_raw();
            let lives = ();
            let info = info(Env::new(&lives, raw)).as_c_arg();
            let mut private = ptr::null_mut();
            if load(raw, &mut private, info) != 0 {
                return Err(Raised("the library refuses to be loaded".into()));
            }
        }
        Ok(Library { functions })
    }

    /// Calls a function in an environment of its own. `caller`: the external form of the pid of the process it is
    /// called for, without the version byte.
    pub fn call<R>(
        &self,
        name: &str,
        caller: Option<&[u8]>,
        arguments: impl for<'a> FnOnce(Env<'a>) -> Vec<Term<'a>>,
        result: impl for<'a> FnOnce(Env<'a>, Term<'a>) -> R,
    ) -> Result<R, Raised> {
        let caller = match caller {
            None => pid::nobody(),
            Some(caller) => pid::local(caller).map_err(|broken| Raised(broken.to_string()))?,
        };
        let mut host = HostEnv::new(caller);
        let raw = host.as_raw();
        let lives = ();
        // SAFETY: the environment outlives what is done in it.
        let env = unsafe { Env::new(&lives, raw) };
        let arguments: Vec<ErlNifTerm> = arguments(env).iter().map(Term::as_c_arg).collect();
        let count = arguments.len();
        let entry = self
            .functions
            .get(name)
            .and_then(|entries| entries.iter().find(|entry| entry.arity == count))
            .ok_or_else(|| Raised(format!("there is no function {name}/{count}")))?;
        let _on_scheduler = OnScheduler::enter(entry.scheduler);
        // SAFETY: a function of the library, with as many terms of the environment as it takes.
        unsafe {
            let returned = (entry.function)(raw, count as c_int, arguments.as_ptr());
            if let Some(reason) = (*raw.cast::<HostEnv>()).exception() {
                return Err(Raised(print::text(reason)));
            }
            Ok(result(env, Term::new(env, returned)))
        }
    }
}

/// Work that a function leaves to another is done at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_schedule_nif(
    env: *mut HostEnv,
    _name: *const std::ffi::c_char,
    flags: c_int,
    function: Function,
    count: c_int,
    arguments: *const ErlNifTerm,
) -> Word {
    let arguments = match count {
        1.. => slice::from_raw_parts(arguments, count as usize).to_vec(),
        _ => Vec::new(),
    };
    let _on_scheduler = OnScheduler::enter(flags + OnScheduler::NORMAL);
    let returned = function(env.cast(), count, arguments.as_ptr());
    std::mem::transmute::<ErlNifTerm, Word>(returned)
}
