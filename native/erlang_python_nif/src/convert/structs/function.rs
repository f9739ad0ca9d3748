//! `%Python.Function{}`: a function with a name, a signature and a documentation.

use super::{Result, unreadable};
use crate::atoms;
use crate::convert::{Encoder, keep};
use crate::interpreter::python;
use pyo3::prelude::*;
use rustler::{Term, TermType};

/// The callable for it. `registered`: the name that its function is called by, if it has one.
pub fn to_python<'py, 'a>(
    encoder: &mut Encoder<'py, 'a>,
    term: Term<'a>,
    registered: Option<&str>,
) -> Result<Bound<'py, PyAny>> {
    let py = encoder.py();
    let field = |key| term.map_get(key).map_err(|_| unreadable());
    let function = field(atoms::fun())?;
    if function.get_type() != TermType::Fun {
        return Err(unreadable());
    }
    let called = match registered {
        Some(name) => pyo3::types::PyString::new(py, name).into_any(),
        None => keep(py, function)?,
    };
    let name = encoder.value(field(atoms::name())?)?;
    let args = encoder.value(field(atoms::args())?)?;
    let returns = encoder.value(field(atoms::returns())?)?;
    let doc = encoder.value(field(atoms::doc())?)?;
    let helpers = python::helpers().ok_or_else(unreadable)?;
    Ok(helpers
        .described
        .bind(py)
        .call1((called, name, args, returns, doc))?)
}
