//! The calls of a `map` that takes its time: some ms of them, then the loop goes on with others.

use crate::engine::asyncio::awaits::{self, Awaits};
use crate::engine::main::own;
use crate::engine::main::seat;
use crate::pool::request::Request;
use crate::python::arguments::Arguments;
use crate::python::child;
use crate::python::interpreter::GilCell;
use crate::python::made::Made;
use crate::python::namespace;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long calls are made before the loop goes on.
pub const SLICE: Duration = Duration::from_millis(4);

/// Calls of one function, in their order.
pub struct Slices {
    pub request: Arc<Request>,
    pub awaits: Awaits,
    pub callable: Py<PyAny>,
    pub keywords: Option<Py<PyAny>>,
    /// The arguments of those that are left, as tuples.
    pub left: VecDeque<Py<PyAny>>,
    pub results: Py<PyList>,
    /// What is to be awaited of the results, with their indices.
    pub waiting: Vec<(usize, Py<PyAny>)>,
}

/// A call that has failed: its index, and its exception.
pub type Failed = (usize, PyErr);

impl Slices {
    /// Makes calls, for some ms. Whether that was all.
    pub fn make(&mut self, py: Python<'_>) -> Result<bool, Failed> {
        let begun = Instant::now();
        let results = self.results.bind(py).clone();
        let callable = self.callable.bind(py).clone();
        let keywords = self.keywords.as_ref().map(|k| k.bind(py).clone());
        let as_they_are = self.request.flags.return_object();
        while let Some(arguments) = self.left.pop_front() {
            child::end_if_child(py);
            if self.request.is_over() {
                return Ok(true);
            }
            let index = results.len();
            let made = Arguments::Many(arguments.into_bound(py))
                .apply(&callable, keywords.as_ref())
                .and_then(|result| Ok((self.awaits.coroutine(&result, as_they_are)?, result)))
                .and_then(|(coroutine, result)| results.append(result).map(|()| coroutine));
            match made {
                Ok(None) => {}
                Ok(Some(coroutine)) => self.waiting.push((index, coroutine.unbind())),
                Err(error) => return Err((index, error)),
            }
            if begun.elapsed() >= SLICE && !self.left.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Nothing of it is awaited any more.
    pub fn close(&mut self, py: Python<'_>) {
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let waiting: Vec<_> = waiting.map(|(at, one)| (at, one.into_bound(py))).collect();
        awaits::close(&waiting);
    }
}

/// The same for the coroutine that goes on with it, see `in_slices` in `_loop.py`.
#[pyclass(frozen, module = "erlang", name = "_Slices")]
pub struct SlicesObject(Made<GilCell<Option<Slices>>>);

impl SlicesObject {
    pub fn new(slices: Slices) -> Self {
        SlicesObject(Made::new(GilCell::new(Some(slices))))
    }
}

#[pymethods]
impl SlicesObject {
    /// Makes calls, for some ms. None if there are more of them, else the results with what is to be awaited of them, or
    /// the index of one that has failed with its exception.
    fn make<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let cell = self.0.or_raise()?;
        let slices = cell.with(py, Option::take);
        let mut slices = slices.ok_or_else(|| PyRuntimeError::new_err("its calls were made"))?;
        let running = seat::running();
        let own = running.as_ref().and_then(|r| own::namespace(&r.pool));
        // They stand in `__main__`, as calls do.
        match namespace::within(py, own, || slices.make(py)) {
            Ok(false) => {
                cell.with(py, |kept| *kept = Some(slices));
                Ok(None)
            }
            Ok(true) => {
                let waiting = std::mem::take(&mut slices.waiting);
                let results = slices.results.bind(py).clone();
                (results, waiting).into_pyobject(py).map(Some)
            }
            Err((index, error)) => {
                slices.close(py);
                (index, error.into_value(py)).into_pyobject(py).map(Some)
            }
        }
    }

    /// It is not gone on with.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(mut slices) = self.0.or_raise()?.with(py, Option::take) {
            slices.close(py);
        }
        Ok(())
    }
}
