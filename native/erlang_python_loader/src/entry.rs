//! What the VM asks a library for when it loads it. For both libraries; rustler's own leaves no room for a
//! library that is loaded again.
//!
//! A module is loaded again with its library when its code is: `:code.load_file`, `recompile` in IEx, a
//! release upgrade. The file is the same then, and with that the library in memory, with all its state: the
//! new code is given what the old one had. Another file is another library, which knows nothing of the
//! Python that runs; it is refused, and the old code stays as it is (`lib/python/library.ex` sees to
//! that, and says so).

use rustler::codegen_runtime::{ErlNifEntry, ErlNifFunc, inventory};
use rustler::sys::{ErlNifEnv, ErlNifTerm};
use rustler::{Env, Term};
use std::ffi::{CStr, c_int, c_void};
use std::panic::catch_unwind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is done when the library is loaded for the first time. False refuses it.
pub type FirstLoad = fn(Env<'_>, Term<'_>) -> bool;

struct Shared(ErlNifEntry);

// SAFETY: it is read by the VM, and refers to what lives for ever.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

static ENTRY: OnceLock<Shared> = OnceLock::new();
static FIRST_LOAD: OnceLock<FirstLoad> = OnceLock::new();

/// The library has been loaded, and what was made then is there.
static LOADED: AtomicBool = AtomicBool::new(false);

/// For `nif_init`. `module`: the module whose functions these are.
pub fn new(module: &'static CStr, first_load: FirstLoad) -> *const ErlNifEntry {
    FIRST_LOAD.get_or_init(|| first_load);
    let entry = ENTRY.get_or_init(|| {
        let functions: Vec<ErlNifFunc> = inventory::iter::<rustler::Nif>()
            .map(rustler::Nif::get_def)
            .collect();
        let mut entry = ErlNifEntry::new(module, functions.leak(), load);
        entry.upgrade = Some(upgrade);
        Shared(entry)
    });
    &raw const entry.0
}

/// The module had no library, or has none any more: the old code was purged.
unsafe extern "C" fn load(
    env: *mut ErlNifEnv,
    _private: *mut *mut c_void,
    info: ErlNifTerm,
) -> c_int {
    if LOADED.load(Ordering::Acquire) {
        return 0;
    }
    let done = catch_unwind(|| {
        let lives = ();
        // SAFETY: called by the VM, with an environment for the time of the call, of which the term is.
        let (env, info) = unsafe {
            let env = Env::new_init_env(&lives, env);
            (env, Term::new(env, info))
        };
        FIRST_LOAD
            .get()
            .is_some_and(|first_load| first_load(env, info))
    });
    let done = done.unwrap_or(false);
    LOADED.store(done, Ordering::Release);
    c_int::from(!done)
}

/// The module's old code has a library: this one, or another.
unsafe extern "C" fn upgrade(
    _env: *mut ErlNifEnv,
    _private: *mut *mut c_void,
    _old_private: *mut *mut c_void,
    _info: ErlNifTerm,
) -> c_int {
    c_int::from(!LOADED.load(Ordering::Acquire))
}

/// Makes `nif_init`, which the VM looks for.
#[macro_export]
macro_rules! nif_init {
    ($module:literal, $first_load:expr) => {
        #[cfg(not(windows))]
        #[unsafe(no_mangle)]
        extern "C" fn nif_init() -> *const rustler::codegen_runtime::ErlNifEntry {
            // SAFETY: called by the VM, whose functions are looked up.
            unsafe { rustler::codegen_runtime::internal_write_symbols() };
            $crate::entry::new($module, $first_load)
        }

        #[cfg(windows)]
        #[unsafe(no_mangle)]
        extern "C" fn nif_init(
            callbacks: *mut rustler::codegen_runtime::DynNifCallbacks,
        ) -> *const rustler::codegen_runtime::ErlNifEntry {
            // SAFETY: called by the VM, with its functions.
            unsafe { rustler::codegen_runtime::internal_set_symbols(callbacks) };
            $crate::entry::new($module, $first_load)
        }
    };
}
