//! Where threads come into Python and leave it, under the names that extension modules know.
//!
//! A C library that calls Python back has let go of the GIL before, and takes it again by one of these
//! functions: ctypes, Cython, pyo3 and nanobind by `PyGILState_Ensure`, cffi by `PyEval_RestoreThread`,
//! pybind11 by `PyEval_AcquireThread`. Extension modules bind them to the first library of the process
//! that exports them, which this one is when it is made global before libpython is opened. They do what
//! libpython's do, and tell the library that is loaded later (`erlang_python_set_gil_watcher`).
//!
//! On Linux only. macOS binds a symbol together with the library that it is from.

use std::ffi::{CStr, c_int, c_void};
use std::sync::OnceLock;

use libloading::Library;
use libloading::os::unix;

type ThreadState = *mut c_void;
/// Called with the GIL, right after it was taken or right before it is given back, and told by which
/// function: `ENSURED` and those that follow.
type Watcher = unsafe extern "C" fn(c_int);

const ENSURED: c_int = 0;
const RELEASES: c_int = 1;
const RESTORED: c_int = 2;
const ACQUIRED: c_int = 3;
const SAVES: c_int = 4;

/// libpython's own.
struct Functions {
    ensure: unsafe extern "C" fn() -> c_int,
    release: unsafe extern "C" fn(c_int),
    restore: unsafe extern "C" fn(ThreadState),
    acquire: unsafe extern "C" fn(ThreadState),
    save: unsafe extern "C" fn() -> ThreadState,
}

static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
static WATCHER: OnceLock<Watcher> = OnceLock::new();

/// Lets extension modules find the functions here. Before libpython is opened. Where it cannot be done
/// (the library was moved since it was loaded), they find libpython's.
pub fn become_global() {
    let Some(path) = own_path() else { return };
    // What is loaded already is opened once more, for its flag alone, and never closed.
    let flags = libc::RTLD_NOLOAD | unix::RTLD_NOW | unix::RTLD_GLOBAL;
    // SAFETY: this library itself: nothing is loaded, and no constructor runs.
    if let Ok(this) = unsafe { unix::Library::open(Some(path), flags) } {
        std::mem::forget(this);
    }
}

fn own_path() -> Option<std::ffi::OsString> {
    use std::os::unix::ffi::OsStrExt;

    let own = become_global as fn() as *const c_void;
    // SAFETY: an all-zero Dl_info is valid, and `own` is an address of this library.
    let info = unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        if libc::dladdr(own, &mut info) == 0 || info.dli_fname.is_null() {
            return None;
        }
        info
    };
    // SAFETY: a null-terminated text, which lives as long as the library.
    let path = unsafe { CStr::from_ptr(info.dli_fname) };
    Some(std::ffi::OsStr::from_bytes(path.to_bytes()).to_owned())
}

/// Takes libpython's functions, for all who call these here. Before Python is started.
pub fn forward_to(library: &Library) -> Result<(), libloading::Error> {
    // SAFETY: these are the functions' types in every CPython, and the library is never closed.
    let functions = unsafe {
        Functions {
            ensure: *library.get(b"PyGILState_Ensure\0")?,
            release: *library.get(b"PyGILState_Release\0")?,
            restore: *library.get(b"PyEval_RestoreThread\0")?,
            acquire: *library.get(b"PyEval_AcquireThread\0")?,
            save: *library.get(b"PyEval_SaveThread\0")?,
        }
    };
    let _ = FUNCTIONS.set(functions);
    Ok(())
}

fn functions() -> &'static Functions {
    match FUNCTIONS.get() {
        Some(functions) => functions,
        // Nobody has these functions before libpython is opened, so nobody can call them. There is no
        // way to fail: their callers expect the GIL.
        None => std::process::abort(),
    }
}

fn tell(what: c_int) {
    if let Some(watcher) = WATCHER.get() {
        // SAFETY: as `erlang_python_set_gil_watcher` demands; the GIL is held.
        unsafe { watcher(what) };
    }
}

/// Has `watcher` called whenever an extension module takes the GIL or gives it back. The first one stays.
///
/// # Safety
///
/// It can be called for the life of the process, on any thread that holds the GIL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn erlang_python_set_gil_watcher(watcher: Watcher) {
    let _ = WATCHER.set(watcher);
}

/// # Safety
///
/// That of CPython's function of this name, as for those below.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyGILState_Ensure() -> c_int {
    // SAFETY: the caller's call is handed on.
    let state = unsafe { (functions().ensure)() };
    tell(ENSURED);
    state
}

/// # Safety
///
/// See above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyGILState_Release(state: c_int) {
    tell(RELEASES);
    // SAFETY: the caller's call is handed on.
    unsafe { (functions().release)(state) }
}

/// # Safety
///
/// See above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyEval_RestoreThread(state: ThreadState) {
    // SAFETY: the caller's call is handed on.
    unsafe { (functions().restore)(state) };
    tell(RESTORED);
}

/// # Safety
///
/// See above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyEval_AcquireThread(state: ThreadState) {
    // SAFETY: the caller's call is handed on.
    unsafe { (functions().acquire)(state) };
    tell(ACQUIRED);
}

/// # Safety
///
/// See above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn PyEval_SaveThread() -> ThreadState {
    tell(SAVES);
    // SAFETY: the caller's call is handed on.
    unsafe { (functions().save)() }
}
