//! `%Python.Function{}`: a function with a name, a signature and a documentation.

use super::Result;
use super::shape::{broken, of_kind};
use crate::base::atoms;
use crate::python::convert::{Encoder, keep};
use crate::python::current;
use pyo3::prelude::*;
use rustler::{Term, TermType};

/// The callable for it. `registered`: the name that its function is called by, if it has one.
pub fn to_python<'py, 'a>(
    encoder: &mut Encoder<'py, 'a>,
    term: Term<'a>,
    registered: Option<&str>,
) -> Result<Bound<'py, PyAny>> {
    let py = encoder.py();
    let field = |key| term.map_get(key).map_err(|_| broken(term, key));
    let function = of_kind(term, atoms::fun(), TermType::Fun)?;
    let called = match registered {
        Some(name) => pyo3::types::PyString::new(py, name).into_any(),
        None => keep(py, function)?,
    };
    for text in [atoms::name(), atoms::doc()] {
        let value = field(text)?;
        if atoms::nil() != value && super::super::terms::text(value).is_none() {
            return Err(broken(term, text));
        }
    }
    let args = field(atoms::args())?;
    if atoms::nil() != args && !is_arguments(args) {
        return Err(broken(term, atoms::args()));
    }
    let name = encoder.value(field(atoms::name())?)?;
    let args = encoder.value(args)?;
    let returns = encoder.value(field(atoms::returns())?)?;
    let doc = encoder.value(field(atoms::doc())?)?;
    let helpers = current::started()?;
    Ok(helpers
        .described
        .bind(py)
        .call1((called, name, args, returns, doc))?)
}

/// A list of names, each with a type and the list of its default, if it has one.
fn is_arguments(args: Term<'_>) -> bool {
    args.decode::<Vec<(&str, Term, Vec<Term>)>>()
        .is_ok_and(|args| args.iter().all(|(_, _, default)| default.len() <= 1))
}
