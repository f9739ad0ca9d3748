//! The interpreter, with all that is its own: what there would be one of for each, if there were more. Most of
//! it only the holder of the GIL touches.
//!
//! Not here: what belongs to the VM's process, such as threads and their stacks, blocks of memory, layouts that were
//! looked at, sources of code, and references that wait to be given up.

use crate::python::classes::Classes;
use crate::python::code::Code;
use crate::python::helpers::{self, Add, Helpers};
use crate::python::interpreter::{GilCell, Setup, remember_list};
use crate::python::names::Names;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use rustler::sys::ErlNifTerm;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr};

pub struct Interpreter {
    helpers: OnceLock<Helpers>,
    pub names: Names,
    pub code: Code,
    pub classes: Classes,
    /// Room for the elements and the keys of terms, for the next conversion: vectors of this size are mapped anew
    /// by libc each time.
    pub scratch: GilCell<Option<Scratch>>,
    /// What was in the place of `__main__` last. For comparison only: the pointer may dangle.
    pub seen_as_main: AtomicPtr<ffi::PyObject>,
    /// Whether a decoder was ever registered. Until then nobody need be asked.
    pub has_decoders: AtomicBool,
}

pub type Scratch = (Vec<ErlNifTerm>, Vec<ErlNifTerm>);

static INTERPRETER: Interpreter = Interpreter {
    helpers: OnceLock::new(),
    names: Names::new(),
    code: Code::new(),
    classes: Classes::new(),
    scratch: GilCell::new(None),
    seen_as_main: AtomicPtr::new(ptr::null_mut()),
    has_decoders: AtomicBool::new(false),
};

pub fn get() -> &'static Interpreter {
    &INTERPRETER
}

/// None until the interpreter has started.
pub fn helpers() -> Option<&'static Helpers> {
    INTERPRETER.helpers.get()
}

/// The same for code that Python runs.
pub fn started() -> PyResult<&'static Helpers> {
    helpers().ok_or_else(|| PyRuntimeError::new_err("the interpreter has not started"))
}

/// Imports the `erlang` package from its folder, which stays off `sys.path`, and lets it prepare
/// the interpreter.
pub fn install(py: Python<'_>, setup: &Setup, add: Add) -> Result<(), String> {
    let folder = &setup.package;
    crate::python::convert::look_at_python(py)
        .and_then(|()| remember_list(py))
        .map_err(|error| format!("its objects cannot be looked at: {error}"))?;
    let helpers = helpers::load(py, setup, add)
        .map_err(|error| format!("the Python package in {folder} cannot be imported: {error}"))?;
    let _ = INTERPRETER.helpers.set(helpers);
    Ok(())
}
