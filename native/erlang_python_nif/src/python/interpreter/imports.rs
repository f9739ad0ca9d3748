//! Whether a thread is in the middle of an import.
//!
//! A module that was loaded in part leaves traces everywhere: in the modules that it has imported, in registers of
//! classes, in C. `priv/python/erlang/_unfinished.py` lets it be imported again. That does not help those that cannot
//! be loaded twice, as many extension modules cannot.

use super::frame::Frame;
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
    /// The code of the frame that requests stand in: what is below belongs to another.
    stand: Py<PyAny>,
}

impl Imports {
    /// `unfinished`: `priv/python/erlang/_unfinished.py`.
    pub fn new(unfinished: &Bound<'_, PyModule>, stand: Py<PyAny>) -> PyResult<Self> {
        Ok(Imports {
            loads: unfinished.getattr("LOADS")?.extract()?,
            extension_loads: unfinished.getattr("EXTENSION_LOADS")?.extract()?,
            stand,
        })
    }

    /// What the request is loading whose innermost frame this is.
    pub fn look(&self, frame: Option<Frame<'_>>) -> Loading {
        let mut loading = Loading::Nothing;
        let mut next = frame;
        while let Some(frame) = next {
            let Some(code) = frame.code() else { break };
            let is_one_of = |codes: &[Py<PyAny>]| codes.iter().any(|known| code.is(known));
            if code.is(&self.stand) {
                break;
            }
            if is_one_of(&self.extension_loads) {
                return Loading::Extension;
            }
            if is_one_of(&self.loads) {
                loading = Loading::Module;
            }
            next = frame.back();
        }
        loading
    }
}
