//! The thread that gives up references to Python objects whose handles the BEAM has collected.
//!
//! A destructor runs on a scheduler and must not wait for the GIL, so it leaves the pointer here.
//! Workers could empty the queue in passing, but giving up a reference can run a `__del__` of any
//! length, which must hold up neither a caller nor a worker.

use super::enter;
use pyo3::ffi;
use std::ptr::NonNull;
use std::sync::{Condvar, Mutex, PoisonError};

/// How many references are given up before others may have the GIL.
const BATCH: usize = 1_000;

struct Released(Vec<NonNull<ffi::PyObject>>);

// SAFETY: the pointers are only used by the reaper, with the GIL held.
unsafe impl Send for Released {}

static RELEASED: Mutex<Released> = Mutex::new(Released(Vec::new()));
static CHANGED: Condvar = Condvar::new();

/// Gives up a strong reference, soon. Never waits.
pub fn release(object: NonNull<ffi::PyObject>) {
    let mut released = RELEASED.lock().unwrap_or_else(PoisonError::into_inner);
    released.0.push(object);
    if released.0.len() == 1 {
        CHANGED.notify_one();
    }
}

/// How many references wait to be given up.
pub fn pending() -> usize {
    RELEASED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .0
        .len()
}

/// Never returns. For the thread that started the interpreter, Python's main thread, which has
/// nothing else to do.
pub fn run() -> ! {
    loop {
        let released = {
            let released = RELEASED.lock().unwrap_or_else(PoisonError::into_inner);
            let mut released = CHANGED
                .wait_while(released, |released| released.0.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut released.0)
        };
        for batch in released.chunks(BATCH) {
            enter(|_py, _| {
                for object in batch {
                    // SAFETY: a strong reference that `release` was handed; the GIL is held.
                    unsafe { ffi::Py_DecRef(object.as_ptr()) };
                }
            });
        }
    }
}
