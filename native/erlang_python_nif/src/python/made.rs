//! What the objects of our classes hold, if we have made them.
//!
//! Python can get hold of instances that nobody has made: our classes are of the heap, as all of the
//! stable ABI are, so that code can change one, and `object.__new__` then gives an instance filled with
//! zeroes. A class that cannot be changed would need Python 3.10, or 3.14 in the stable ABI.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// An empty one is all zeroes, which Rust promises for an `Option<Box<T>>`.
#[repr(transparent)]
pub struct Made<T>(Option<Box<T>>);

impl<T> Made<T> {
    pub fn new(content: T) -> Self {
        Made(Some(Box::new(content)))
    }

    /// None for an instance that is not from us.
    pub fn get(&self) -> Option<&T> {
        self.0.as_deref()
    }

    /// The same, for what is asked by Python.
    pub fn or_raise(&self) -> PyResult<&T> {
        self.get().ok_or_else(|| {
            PyTypeError::new_err("this object was not made by Elixir or Erlang, and is empty")
        })
    }
}
