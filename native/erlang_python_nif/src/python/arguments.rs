//! The positional arguments of a call, and calling with them.

use crate::python::interpreter::symbol;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::ptr;
use std::sync::OnceLock;

/// So many need no tuple.
pub const FEW: usize = 6;

/// Arguments as Python objects.
pub enum Arguments<'py> {
    Few([Option<Bound<'py, PyAny>>; FEW], usize),
    /// A `tuple`.
    Many(Bound<'py, PyAny>),
}

/// `PyObject_VectorcallDict`: from 3.9 on; 3.8 has it by another name. In no limited API.
type Vectorcall = unsafe extern "C" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    usize,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

/// The place before the arguments may be used by who is called: a bound method puts `self` there.
const MAY_USE_PLACE_BEFORE: usize = 1 << (usize::BITS - 1);

fn vectorcall() -> Option<Vectorcall> {
    static FOUND: OnceLock<Option<Vectorcall>> = OnceLock::new();
    // SAFETY: functions of this type.
    *FOUND.get_or_init(|| unsafe {
        symbol(c"PyObject_VectorcallDict").or_else(|| symbol(c"_PyObject_FastCallDict"))
    })
}

impl<'py> Arguments<'py> {
    /// For later.
    pub fn into_tuple(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Arguments::Few(few, _) => {
                let few: Vec<_> = few.into_iter().flatten().collect();
                Ok(PyTuple::new(py, few)?.into_any())
            }
            Arguments::Many(tuple) => Ok(tuple),
        }
    }

    /// Calls with these, and with keywords, which are a dict.
    pub fn apply(
        &self,
        callable: &Bound<'py, PyAny>,
        keywords: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = callable.py();
        let keywords = keywords.map_or(ptr::null_mut(), |keywords| keywords.as_ptr());
        let (few, count) = match self {
            Arguments::Few(few, count) => (few, *count),
            Arguments::Many(tuple) => return call(callable, tuple, keywords),
        };
        let Some(vectorcall) = vectorcall() else {
            let tuple = PyTuple::new(py, few.iter().flatten().collect::<Vec<_>>())?;
            return call(callable, tuple.as_any(), keywords);
        };
        let mut places = [ptr::null_mut(); FEW + 1];
        for (place, value) in places[1..].iter_mut().zip(few.iter().flatten()) {
            *place = value.as_ptr();
        }
        // SAFETY: the GIL is held; `count` objects that outlive the call, with a place before them; the
        // keywords are a dict or null. A new reference, or null with an exception set.
        unsafe {
            let result = vectorcall(
                callable.as_ptr(),
                places.as_ptr().add(1),
                count | MAY_USE_PLACE_BEFORE,
                keywords,
            );
            Bound::from_owned_ptr_or_err(py, result)
        }
    }

    /// All of them, one after the other.
    pub fn into_objects(self) -> impl Iterator<Item = Bound<'py, PyAny>> {
        let (few, many) = match self {
            Arguments::Few(few, _) => (few, None),
            Arguments::Many(tuple) => (Default::default(), Some(tuple)),
        };
        few.into_iter().flatten().chain(many)
    }
}

/// Calls with a tuple of arguments and a dict of keywords, or none.
fn call<'py>(
    callable: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyAny>,
    keywords: *mut ffi::PyObject,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the GIL is held; the arguments are a tuple, the keywords a dict or null. A new reference,
    // or null with an exception set.
    unsafe {
        let result = ffi::PyObject_Call(callable.as_ptr(), arguments.as_ptr(), keywords);
        Bound::from_owned_ptr_or_err(callable.py(), result)
    }
}
