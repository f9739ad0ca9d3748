//! Python exceptions as terms.

use crate::base::atoms;
use crate::python::convert::Decoder;
use crate::python::current;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use rustler::types::tuple::make_tuple;
use rustler::{Encoder, Env, Term};

/// `{:exception, [{data, handle}, …]}`: the exception and its causes, outermost first, as
/// `priv/python/erlang/_errors.py` describes them. `keep_locals`: with what their frames hold.
pub fn to_term<'a>(py: Python<'_>, env: Env<'a>, error: &PyErr, keep_locals: bool) -> Term<'a> {
    let chain =
        describe(py, env, error, keep_locals).unwrap_or_else(|_| vec![bare(py, env, error)]);
    (atoms::exception(), chain).encode(env)
}

fn describe<'a>(
    py: Python<'_>,
    env: Env<'a>,
    error: &PyErr,
    keep_locals: bool,
) -> PyResult<Vec<Term<'a>>> {
    let helpers = current::helpers().ok_or_else(|| PyErr::fetch(py))?;
    let value = error.value(py);
    // Before 3.12 the traceback is kept beside the exception until an `except` catches it.
    if let Some(traceback) = error.traceback(py) {
        // Not by its attribute: a class may resist.
        // SAFETY: an exception and a traceback, borrowed, and the GIL is held.
        let set = unsafe { ffi::PyException_SetTraceback(value.as_ptr(), traceback.as_ptr()) };
        if set != 0 {
            return Err(PyErr::fetch(py));
        }
    }
    let chain = helpers.describe.bind(py).call1((value, keep_locals))?;
    let chain = chain.cast_into::<PyList>()?;
    let mut decoder = Decoder::new(py, env, false);
    chain
        .iter()
        .map(|entry| {
            let entry = entry.cast_into::<PyTuple>()?;
            let data = decoder
                .value(&entry.get_item(0)?)
                .map_err(|_| pyo3::exceptions::PyValueError::new_err("cannot be described"))?;
            let exception = entry.get_item(1)?;
            let handle = decoder.exception(&exception);
            // Something that was raised on the other side comes home.
            let original = exception
                .getattr("_original")
                .ok()
                .and_then(|original| crate::python::convert::kept(env, &original));
            Ok(match original {
                Some(original) => (data, handle, original).encode(env),
                None => (data, handle).encode(env),
            })
        })
        .collect()
}

/// What is left when an exception cannot even be described, for want of memory or because its
/// class resists: its type and its text.
fn bare<'a>(py: Python<'_>, env: Env<'a>, error: &PyErr) -> Term<'a> {
    let name = error
        .get_type(py)
        .qualname()
        .map_or_else(|_| "Exception".into(), |name| name.to_string());
    let message = error.value(py).str().map(|text| text.to_string());
    let message = message.unwrap_or_default();
    let (nil, nothing) = (atoms::nil().encode(env), Vec::<Term<'_>>::new().encode(env));
    // As `_data` there has it.
    let data = [
        name.encode(env),
        "builtins".encode(env),
        false.encode(env),
        message.encode(env),
        nothing,
        nothing,
        nil,
        nil,
        nil,
    ];
    let decoder = Decoder::new(py, env, false);
    (
        make_tuple(env, &data),
        decoder.object(error.value(py).as_any()),
    )
        .encode(env)
}
