//! What pandas has for a value that is missing: `NaT` and `NA`.

use super::Result;
use crate::python::current;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

/// By the name of its class, the module that has it and its name there.
const KNOWN: [(&str, &str, &str); 2] = [
    ("NaTType", "pandas._libs.tslibs.nattype", "NaT"),
    ("NAType", "pandas._libs.missing", "NA"),
];

/// Whether it is one of them.
pub fn is_missing(object: &Bound<'_, PyAny>, class: &Bound<'_, PyType>) -> Result<bool> {
    let py = object.py();
    let Ok(name) = class.name() else {
        return Ok(false);
    };
    let Some(at) = KNOWN.iter().position(|(known, ..)| name == *known) else {
        return Ok(false);
    };
    if let Some(known) = current::get().classes.missing[at].get() {
        return Ok(known.is(object));
    }
    // Where pandas was not imported, this is nothing of its own.
    let (_, module, name) = KNOWN[at];
    let modules = current::helpers().map(|helpers| helpers.modules.bind(py));
    let known = modules
        .and_then(|modules| modules.as_any().get_item(PyString::intern(py, module)).ok())
        .and_then(|module| module.getattr(name).ok());
    let Some(known) = known else {
        return Ok(false);
    };
    Ok(current::get().classes.missing[at]
        .get_or_init(|| known.unbind())
        .is(object))
}
