//! Objects that something else stands for: by a decoder that Python code has registered, or because
//! the request asks for it. `priv/python/erlang/_decode.py` knows what.

use crate::python::current;
use pyo3::prelude::*;
use std::sync::atomic::Ordering;

pub fn mark_decoders() {
    current::get().has_decoders.store(true, Ordering::Relaxed);
}

pub fn decoders_exist() -> bool {
    current::get().has_decoders.load(Ordering::Relaxed)
}

/// What stands for an object. None if it stands for itself.
pub fn ask<'py>(object: &Bound<'py, PyAny>, settings: u16) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    let Some(helpers) = current::helpers() else {
        return Ok(None);
    };
    let replaced = helpers.replaced.bind(py).call1((object, settings))?;
    Ok((!replaced.is(py.NotImplemented())).then_some(replaced))
}
