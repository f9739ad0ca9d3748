//! What is to be known of an extra worker that has come into Python.

use crate::pool::growth::Arrival;
use crate::python::current;
use pyo3::prelude::*;
use std::time::Instant;

pub fn arrival(py: Python<'_>, asked: Instant) -> Arrival {
    let interval = current::helpers().and_then(|helpers| {
        let seconds = helpers.switch_interval.bind(py).call0().ok()?;
        seconds.extract::<f64>().ok()
    });
    Arrival {
        asked,
        interval: interval.map(|seconds| (seconds * 1e6) as u64),
    }
}
