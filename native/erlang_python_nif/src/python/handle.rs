//! References to Python objects that can be dropped anywhere: they are given up soon, by the reaper.

use crate::base::lock::{Condvar, Mutex};
use pyo3::ffi;
use pyo3::prelude::*;
use std::collections::VecDeque;
use std::ptr::NonNull;

/// One strong reference, for a `%Python.Object{}` or on its way there.
pub struct Handle(NonNull<ffi::PyObject>);

// SAFETY: the object is only touched with the GIL held (`get` asks for proof of it), and given up
// by the reaper.
unsafe impl Send for Handle {}
// SAFETY: as above; the pointer itself never changes.
unsafe impl Sync for Handle {}

impl Handle {
    pub fn new(object: Py<PyAny>) -> Self {
        // SAFETY: a `Py` is never null.
        Handle(unsafe { NonNull::new_unchecked(object.into_ptr()) })
    }

    pub fn get<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        // SAFETY: the handle has a strong reference, and the GIL is held.
        unsafe { Bound::from_borrowed_ptr(py, self.0.as_ptr()) }
    }

    pub fn pointer(&self) -> NonNull<ffi::PyObject> {
        self.0
    }

    /// The reference is now the caller's.
    pub fn into_ptr(self) -> *mut ffi::PyObject {
        std::mem::ManuallyDrop::new(self).0.as_ptr()
    }

    /// Gives it up at once, on this thread.
    pub fn give_up(self, py: Python<'_>) {
        // SAFETY: the GIL is held, and the reference is ours.
        drop(unsafe { Bound::from_owned_ptr(py, self.into_ptr()) });
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        release(self.0);
    }
}

/// References to be given up.
pub struct Objects(VecDeque<NonNull<ffi::PyObject>>);

// SAFETY: the pointers are only used with the GIL held.
unsafe impl Send for Objects {}

struct Waiting {
    objects: Objects,
    /// How many who give them up have nothing to do.
    idle: usize,
}

/// Held for the moving of pointers.
static WAITING: Mutex<Waiting> = Mutex::new(Waiting {
    objects: Objects::new(),
    idle: 0,
});
static CHANGED: Condvar = Condvar::new();

/// Gives up a strong reference, soon. Never waits.
pub fn release(object: NonNull<ffi::PyObject>) {
    let mut waiting = WAITING.lock();
    waiting.objects.0.push_back(object);
    if waiting.objects.len() == 1 {
        CHANGED.notify_one();
    }
}

/// How many wait to be given up.
pub fn waiting() -> usize {
    WAITING.lock().objects.len()
}

impl Objects {
    pub const fn new() -> Self {
        Objects(VecDeque::new())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The next one. The reference is now the caller's.
    pub fn pop(&mut self) -> Option<NonNull<ffi::PyObject>> {
        self.0.pop_front()
    }

    /// Waits for some, and takes so many at most. `stays`: though others have nothing to do either. None if the
    /// caller is not needed any more.
    pub fn take(most: usize, stays: bool) -> Option<Objects> {
        let mut waiting = WAITING.lock();
        while waiting.objects.0.is_empty() {
            if waiting.idle > 0 && !stays {
                return None;
            }
            waiting.idle += 1;
            waiting = CHANGED.wait(waiting);
            waiting.idle -= 1;
        }
        let count = waiting.objects.len().min(most);
        let taken = waiting.objects.0.drain(..count).collect();
        if !waiting.objects.0.is_empty() {
            CHANGED.notify_one();
        }
        Some(Objects(taken))
    }

    /// Leaves them to others.
    pub fn leave(self) {
        let mut waiting = WAITING.lock();
        waiting.objects.0.extend(self.0);
        if !waiting.objects.0.is_empty() {
            CHANGED.notify_one();
        }
    }
}
