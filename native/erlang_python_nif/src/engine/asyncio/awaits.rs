//! What a loop knows of coroutines: its functions in `priv/python/erlang/_loop.py`.

use crate::base::Location;
use crate::engine::asyncio::slices::{Slices, SlicesObject};
use crate::engine::asyncio::step::Step;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyType};

/// What a loop is told when it starts.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Awaits {
    /// Makes a task of a coroutine, and begins with it where that is possible.
    task: Py<PyAny>,
    /// The class of coroutines.
    coroutine: Py<PyType>,
    /// A coroutine for what can be awaited, or None for what cannot.
    awaitable: Py<PyAny>,
    /// A coroutine that awaits some of a list, at the same time.
    together: Py<PyAny>,
    /// The same for calls that are made some ms at a time.
    in_slices: Py<PyAny>,
    /// Where a task waits.
    place: Py<PyAny>,
}

impl Awaits {
    /// The coroutine to await for an object, if there is something to be awaited. `as_it_is`: only if it stands for
    /// code with `await`, and is no value.
    pub fn coroutine<'py>(
        &self,
        object: &Bound<'py, PyAny>,
        as_it_is: bool,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = object.py();
        if object.get_type().is(self.coroutine.bind(py)) {
            let own = !as_it_is || is_code(object)?;
            return Ok(own.then(|| object.clone()));
        }
        if as_it_is || is_plain(object) {
            return Ok(None);
        }
        let coroutine = self.awaitable.bind(py).call1((object,))?;
        Ok((!coroutine.is_none()).then_some(coroutine))
    }

    /// The task of a step, which may have ended by now.
    pub fn start<'py>(
        &self,
        py: Python<'py>,
        step: Step,
    ) -> Result<Bound<'py, PyAny>, (Unstarted, PyErr)> {
        let step = match Bound::new(py, step) {
            Ok(step) => step,
            // For want of memory, which has taken the step as well.
            Err(error) => return Err((Unstarted(None), error)),
        };
        match self.task.bind(py).call1((&step,)) {
            Ok(task) => Ok(task),
            Err(error) => Err((Unstarted(Some(step.unbind())), error)),
        }
    }

    /// A coroutine that puts what the others give into the list, at their places: it gives that, or the index of one
    /// that has failed with its exception.
    pub fn together<'py>(
        &self,
        results: &Bound<'py, PyList>,
        waiting: Vec<(usize, Py<PyAny>)>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = results.py();
        self.together.bind(py).call1((results, waiting))
    }

    /// A coroutine that goes on with the calls of a `map`, and gives what `together` gives.
    pub fn in_slices<'py>(&self, py: Python<'py>, slices: Slices) -> PyResult<Bound<'py, PyAny>> {
        let slices = Bound::new(py, SlicesObject::new(slices))?;
        self.in_slices.bind(py).call1((slices,))
    }

    pub fn clone_ref(&self, py: Python<'_>) -> Self {
        Awaits {
            task: self.task.clone_ref(py),
            coroutine: self.coroutine.clone_ref(py),
            awaitable: self.awaitable.clone_ref(py),
            together: self.together.clone_ref(py),
            in_slices: self.in_slices.clone_ref(py),
            place: self.place.clone_ref(py),
        }
    }

    /// Where a task waits, if that can be said.
    pub fn place(&self, task: &Bound<'_, PyAny>) -> Option<Location> {
        let place = self.place.bind(task.py()).call1((task,)).ok()?;
        place.extract().ok()
    }
}

/// A step without a task.
pub struct Unstarted(Option<Py<Step>>);

impl Unstarted {
    pub fn fail(self, py: Python<'_>, error: PyErr) {
        if let Some(step) = &self.0 {
            step.bind(py).get().fail(py, error);
        }
    }
}

/// Whether a coroutine is that of code which was compiled with `await` in it.
fn is_code(coroutine: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = coroutine.py();
    let code = coroutine.getattr(intern!(py, "cr_code"))?;
    let name = code.getattr(intern!(py, "co_name"))?;
    // The latter is Python's `with`, which gives no object.
    Ok(name.eq(intern!(py, "<module>"))? || name.eq(intern!(py, "hold_in_loop"))?)
}

/// Whether it is of one of the classes that most results are of, and cannot be awaited.
fn is_plain(object: &Bound<'_, PyAny>) -> bool {
    let object = object.as_ptr();
    // SAFETY: an object, and the GIL is held.
    unsafe {
        object == ffi::Py_None()
            || ffi::PyUnicode_CheckExact(object) != 0
            || ffi::PyLong_CheckExact(object) != 0
            || ffi::PyFloat_CheckExact(object) != 0
            || ffi::PyBool_Check(object) != 0
            || ffi::PyDict_CheckExact(object) != 0
            || ffi::PyList_CheckExact(object) != 0
            || ffi::PyTuple_CheckExact(object) != 0
            || ffi::PyBytes_CheckExact(object) != 0
    }
}

/// Closes coroutines that are not awaited.
pub fn close(waiting: &[(usize, Bound<'_, PyAny>)]) {
    for (_, coroutine) in waiting {
        if let Err(error) = coroutine.call_method0(intern!(coroutine.py(), "close")) {
            error.write_unraisable(coroutine.py(), Some(coroutine));
        }
    }
}

/// Cancels the task of a call.
pub fn cancel(task: &Bound<'_, PyAny>) {
    let py = task.py();
    let told = task.call_method0(intern!(py, "get_coro")).map(|coroutine| {
        if let Ok(step) = coroutine.cast::<Step>() {
            step.get().tell();
        }
    });
    let cancelled = task.call_method0(intern!(py, "cancel"));
    if let Err(error) = told.and(cancelled) {
        error.write_unraisable(py, Some(task));
    }
}

/// What a loop that was not made by us says.
pub fn foreign() -> PyErr {
    PyRuntimeError::new_err("expected an event loop of a pool")
}
