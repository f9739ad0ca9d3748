//! What a class has of a name, without running code: its metaclass's own, or that of a descriptor.

use crate::python::interpreter::{layouts, symbol};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;
use std::ptr;

type Function =
    unsafe extern "C" fn(*mut ffi::PyTypeObject, *mut ffi::PyObject) -> *mut ffi::PyObject;

pub enum Lookup {
    /// Python's own, which remembers what it has found. No part of the documented API.
    Function(Function),
    Documented(Documented),
}

/// Asks the class and its bases, one after the other: ten times as slow.
pub struct Documented {
    /// `__get__` of `type.__mro__` and of `type.__dict__`.
    bases: Py<PyAny>,
    names: Py<PyAny>,
}

impl Lookup {
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        // SAFETY: it has this type in every version that exports it.
        let function = unsafe { symbol(c"_PyType_Lookup") };
        if let Some(function) = function
            && layouts::are_read()
        {
            return Ok(Lookup::Function(function));
        }
        let of_type = py.get_type::<PyType>().getattr("__dict__")?;
        let get = |name| of_type.get_item(name)?.getattr("__get__");
        Ok(Lookup::Documented(Documented {
            bases: get("__mro__")?.unbind(),
            names: get("__dict__")?.unbind(),
        }))
    }

    /// What the class or the first of its bases has of this name. Borrowed, and null if there is nothing. No error is
    /// set.
    ///
    /// # Safety
    ///
    /// A class that is alive, a `str`, and the GIL is held.
    pub unsafe fn find(
        &self,
        class: *mut ffi::PyTypeObject,
        name: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject {
        match self {
            // SAFETY: as demanded.
            Lookup::Function(find) => unsafe { find(class, name) },
            // SAFETY: as demanded.
            Lookup::Documented(lookup) => unsafe {
                let py = Python::assume_attached();
                let class = Bound::from_borrowed_ptr(py, class.cast());
                let name = Bound::from_borrowed_ptr(py, name);
                let found = lookup.find(&class, &name);
                // The class has a reference as well.
                found.map_or(ptr::null_mut(), |found| found.as_ptr())
            },
        }
    }
}

impl Documented {
    fn find<'py>(
        &self,
        class: &Bound<'py, PyAny>,
        name: &Bound<'py, PyAny>,
    ) -> Option<Bound<'py, PyAny>> {
        let py = class.py();
        let bases = self.bases.bind(py).call1((class,)).ok()?;
        let mut bases = bases.try_iter().ok()?;
        bases.find_map(|base| {
            let names = self.names.bind(py).call1((base.ok()?,)).ok()?;
            names.get_item(name).ok()
        })
    }
}
