//! Classes and objects that conversion asks for again and again, once it has found them.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyModule, PyType};
use std::sync::OnceLock;

pub struct Classes {
    /// The module, and its `date`, `datetime` and `time`
    pub datetime: OnceLock<Py<PyModule>>,
    pub dates: OnceLock<[Py<PyType>; 3]>,
    /// `decimal.Decimal`
    pub decimal: OnceLock<Py<PyType>>,
    pub numpy: OnceLock<Numpy>,
    pub arrays: OnceLock<Arrays>,
    /// Where the columns of a data frame are
    pub frames: OnceLock<Py<PyAny>>,
    /// pandas' `NaT` and `NA`
    pub missing: [OnceLock<Py<PyAny>>; 2],
    /// Of the objects that hold a binary of the VM
    pub binary: OnceLock<Py<PyAny>>,
    /// What makes instances of `erlang.Function` and of its subclasses
    pub new_function: OnceLock<ffi::newfunc>,
}

impl Classes {
    pub const fn new() -> Self {
        Classes {
            datetime: OnceLock::new(),
            dates: OnceLock::new(),
            decimal: OnceLock::new(),
            numpy: OnceLock::new(),
            arrays: OnceLock::new(),
            frames: OnceLock::new(),
            missing: [const { OnceLock::new() }; 2],
            binary: OnceLock::new(),
            new_function: OnceLock::new(),
        }
    }
}

/// The Python half of arrays.
pub struct Arrays {
    /// Where the memory of an object is
    pub described: Py<PyAny>,
    /// An array over a buffer
    pub made: Py<PyAny>,
}

/// What is asked of numpy.
pub struct Numpy {
    /// The classes of scalars that are numbers.
    pub numbers: [Py<PyType>; 2],
    /// A kind of integer to numpy, but a number of what depends on its unit.
    pub timedelta: Py<PyType>,
    pub datetime: Py<PyType>,
    /// Whether a date or a span of time is missing
    pub isnat: Py<PyAny>,
    /// `numpy.generic.item`: a subclass may have another.
    pub item: Py<PyAny>,
}
