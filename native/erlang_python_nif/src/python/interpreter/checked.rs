//! For builds that check how locks are used (`lock`): sees that Python makes and frees no object while one is
//! held. Freeing one may run a finalizer, and making one the garbage collector.

use super::memory::Raw;
use super::symbol;
use crate::base::lock;
use pyo3::prelude::*;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

/// `PYMEM_DOMAIN_OBJ`
const OBJECTS: c_int = 2;

static BEFORE: OnceLock<Raw> = OnceLock::new();

/// For the start of the interpreter, before other threads enter it.
pub fn install(_py: Python<'_>) {
    // SAFETY: the functions are declared as Python documents them, and called with the GIL, before there is
    // any other thread in Python.
    unsafe {
        let (Some(get), Some(set)) = (
            symbol::<unsafe extern "C" fn(c_int, *mut Raw)>(c"PyMem_GetAllocator"),
            symbol::<unsafe extern "C" fn(c_int, *mut Raw)>(c"PyMem_SetAllocator"),
        ) else {
            return;
        };
        let mut ours = Raw {
            context: ptr::null_mut(),
            malloc,
            calloc,
            realloc,
            free,
        };
        BEFORE.get_or_init(|| {
            let mut before = ours;
            get(OBJECTS, &mut before);
            before
        });
        set(OBJECTS, &mut ours);
    }
}

fn before() -> &'static Raw {
    // `install` sets it before these functions are known to anybody.
    BEFORE.get().expect("what Python has by itself")
}

unsafe extern "C" fn malloc(_: *mut c_void, size: usize) -> *mut c_void {
    lock::forbid("a Python object is made");
    // SAFETY: as Python calls this function.
    unsafe { (before().malloc)(before().context, size) }
}

unsafe extern "C" fn calloc(_: *mut c_void, count: usize, size: usize) -> *mut c_void {
    lock::forbid("a Python object is made");
    // SAFETY: as Python calls this function.
    unsafe { (before().calloc)(before().context, count, size) }
}

unsafe extern "C" fn realloc(_: *mut c_void, pointer: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: as Python calls this function.
    unsafe { (before().realloc)(before().context, pointer, size) }
}

unsafe extern "C" fn free(_: *mut c_void, pointer: *mut c_void) {
    if !pointer.is_null() {
        lock::forbid("a Python object is freed");
    }
    // SAFETY: as Python calls this function.
    unsafe { (before().free)(before().context, pointer) }
}
