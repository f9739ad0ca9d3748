//! Objects that something else stands for: by a decoder that Python code has registered, or because
//! the request asks for it. `priv/python/erlang/_decode.py` knows what.

use crate::python::helpers;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a decoder was ever registered. Until then nobody need be asked.
static DECODERS: AtomicBool = AtomicBool::new(false);

pub fn mark_decoders() {
    DECODERS.store(true, Ordering::Relaxed);
}

pub fn decoders_exist() -> bool {
    DECODERS.load(Ordering::Relaxed)
}

/// What stands for an object. None if it stands for itself.
pub fn ask<'py>(object: &Bound<'py, PyAny>, settings: u16) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    let Some(helpers) = helpers::get() else {
        return Ok(None);
    };
    let replaced = helpers.replaced.bind(py).call1((object, settings))?;
    Ok((!replaced.is(py.NotImplemented())).then_some(replaced))
}
