//! Data that only the thread which holds the GIL touches: it needs no lock of its own.

use pyo3::Python;
use std::cell::RefCell;

#[derive(Default)]
pub struct GilCell<T>(RefCell<T>);

// SAFETY: `with` wants proof that the thread is attached to the interpreter, which has a GIL: a
// free-threaded Python cannot load this library, which is built for the stable ABI. The GIL orders
// what its holders do. Should the GIL be given up within `with`, which must not be, the next thread
// finds the `RefCell` borrowed and panics.
unsafe impl<T: Send> Sync for GilCell<T> {}

impl<T> GilCell<T> {
    pub const fn new(value: T) -> Self {
        GilCell(RefCell::new(value))
    }

    /// `access` must not run Python code, which includes the dropping of references.
    pub fn with<R>(&self, _py: Python<'_>, access: impl FnOnce(&mut T) -> R) -> R {
        access(&mut self.0.borrow_mut())
    }
}
