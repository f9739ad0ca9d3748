//! Whether a thread is in the middle of an import.
//!
//! A module that was loaded in part leaves traces everywhere: in the modules that it has imported, in registers of
//! classes, in C. `priv/python/erlang/_unfinished.py` lets it be imported again. That does not help those that cannot
//! be loaded twice, as many extension modules cannot.

use super::frame::Code;
use pyo3::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loading {
    Nothing,
    /// Python code.
    Module,
    /// An extension module, which may be running Python code.
    Extension,
}

pub struct Imports {
    loads: Vec<Py<PyAny>>,
    extension_loads: Vec<Py<PyAny>>,
}

impl Imports {
    /// `unfinished`: `priv/python/erlang/_unfinished.py`.
    pub fn new(unfinished: &Bound<'_, PyModule>) -> PyResult<Self> {
        Ok(Imports {
            loads: unfinished.getattr("LOADS")?.extract()?,
            extension_loads: unfinished.getattr("EXTENSION_LOADS")?.extract()?,
        })
    }

    /// What a request is loading that runs this code, the innermost first.
    pub fn look<'py>(&self, codes: impl Iterator<Item = Code<'py>>) -> Loading {
        let mut loading = Loading::Nothing;
        for code in codes {
            let is_one_of = |codes: &[Py<PyAny>]| codes.iter().any(|known| code.is(known));
            if is_one_of(&self.extension_loads) {
                return Loading::Extension;
            }
            if is_one_of(&self.loads) {
                loading = Loading::Module;
            }
        }
        loading
    }
}
