//! A coroutine in place of that of a call, or of a task that a call has started: each of its steps is known to be
//! one of the call's code, with all that follows from that (`Runner`, `origin`). The call's own ends with its answer.

use crate::base::atoms;
use crate::base::term_env::TermEnv;
use crate::engine::asyncio::end::Flight;
use crate::engine::asyncio::streams;
use crate::engine::main::answer;
use crate::engine::main::call::{Answer, Work};
use crate::engine::main::error::Error;
use crate::engine::main::isolation::{self, Isolated};
use crate::engine::main::kept;
use crate::engine::main::origin::Origin;
use crate::engine::main::output;
use crate::engine::main::seat::{self, Running};
use crate::pool::stream::Limits;
use crate::python::contextvars;
use crate::python::current;
use crate::python::handle::Handle;
use crate::python::interpreter::GilCell;
use crate::python::made::Made;
use crate::python::object;
use pyo3::exceptions::PyStopIteration;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use rustler::Encoder;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What becomes of what the coroutine of a call gives.
#[derive(Clone, Copy)]
pub enum Gives {
    /// The value of a call, or of an `eval`.
    Value,
    /// Nothing: an `exec`.
    Nothing,
    /// The results of a `map`, a list, or `(index, exception)`.
    Results,
    /// What a stream is to have its items from, in the loop of this worker.
    Stream(Limits, u64),
}

#[pyclass(frozen, module = "erlang", name = "_Step")]
pub struct Step {
    own: Made<Own>,
    /// None in an instance that is not from us.
    coroutine: Option<Py<PyAny>>,
}

struct Own {
    origin: GilCell<Origin>,
    /// In which its steps run, where that is not the task's.
    context: Option<Handle>,
    of_stream: bool,
    /// Of the call's own coroutine, until that has ended.
    flight: GilCell<Option<(Flight, Gives)>>,
    /// Its task was cancelled because nobody waits for the call.
    told: AtomicBool,
}

impl Step {
    pub fn of_call(coroutine: Py<PyAny>, origin: Origin, flight: Flight, gives: Gives) -> Self {
        Self::new(coroutine, origin, None, Some((flight, gives)), false)
    }

    /// Of a task that the call has started.
    pub fn of_task(coroutine: Py<PyAny>, origin: Origin) -> Self {
        Self::new(coroutine, origin, None, None, false)
    }

    /// Of the task of a stream, which has context variables of its own.
    pub fn of_stream(coroutine: Py<PyAny>, origin: Origin, context: Option<Handle>) -> Self {
        Self::new(coroutine, origin, context, None, true)
    }

    fn new(
        coroutine: Py<PyAny>,
        origin: Origin,
        context: Option<Handle>,
        flight: Option<(Flight, Gives)>,
        of_stream: bool,
    ) -> Self {
        Step {
            own: Made::new(Own {
                origin: GilCell::new(origin),
                context,
                of_stream,
                flight: GilCell::new(flight),
                told: AtomicBool::new(false),
            }),
            coroutine: Some(coroutine),
        }
    }

    /// Its steps are those of another request from now on.
    pub fn adopt(&self, py: Python<'_>, origin: Origin) {
        if let Some(own) = self.own.get() {
            let before = own.origin.with(py, |own| std::mem::replace(own, origin));
            drop(before);
        }
    }

    /// Its task is cancelled, or was interrupted.
    pub fn tell(&self) {
        if let Some(own) = self.own.get() {
            own.told.store(true, Ordering::Relaxed);
        }
    }

    fn coroutine<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        self.own.or_raise()?;
        let coroutine = self.coroutine.as_ref();
        Ok(coroutine
            .ok_or_else(|| PyStopIteration::new_err(()))?
            .bind(py))
    }

    /// Does something of the coroutine as a step of its call.
    fn step<'py>(
        &self,
        py: Python<'py>,
        work: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let coroutine = self.coroutine(py)?;
        let own = self.own.or_raise()?;
        let Some(running) = seat::running().filter(|running| running.event_loop.is_some()) else {
            // It was taken to another loop, or is closed by the garbage collector.
            return work(coroutine);
        };
        let request = own.origin.with(py, |origin| origin.request());
        if let Some(request) = &request {
            running.runner.begin(py, request);
        }
        let context = own.context.as_ref().map(|context| context.get(py));
        let entered = context.filter(|context| contextvars::enter(context).is_ok());
        let at = request.as_ref().map_or(0, |r| Arc::as_ptr(r) as usize);
        let before = running.event_loop.as_ref().map(|l| l.begin_step(at));
        // A `Python.Context` keeps what its calls set.
        let traced = request.as_ref().filter(|_| !running.pool.pinned);
        let traced = traced.map(|r| (r, running.runner.resume_traced(py, kept::tracers(r))));
        let result = work(coroutine);
        if let Some((request, traced)) = traced {
            traced.suspend(kept::tracers(request), || {
                kept::make_tracers(request).map(|tracers| &**tracers)
            });
        }
        if let (Some(event_loop), Some(before)) = (&running.event_loop, before) {
            event_loop.end_step(before);
        }
        if let Some(context) = entered {
            contextvars::leave(&context);
        }
        match result {
            Ok(yielded) => {
                if let Some(request) = &request {
                    output::finish(py);
                    running.runner.end(py, request);
                }
                let struck = match &request {
                    Some(request) => request.marks.struck(),
                    None => running.runner.was_nobodys_struck(py),
                };
                // The task of a stream outlives the request that was interrupted.
                if struck && !own.of_stream {
                    self.tell();
                }
                Ok(yielded)
            }
            Err(error) => {
                if let Some((flight, gives)) = own.flight.with(py, Option::take) {
                    return Err(end(py, &running, flight, gives, error));
                }
                if let Some(request) = &request {
                    output::finish(py);
                    running.runner.end(py, request);
                }
                Err(as_cancelled(py, error))
            }
        }
    }
}

impl Step {
    /// Its task could not be started.
    pub fn fail(&self, py: Python<'_>, error: PyErr) {
        let Ok(own) = self.own.or_raise() else { return };
        if let (Some((flight, gives)), Some(running)) =
            (own.flight.with(py, Option::take), seat::running())
        {
            let _ = end(py, &running, flight, gives, error);
        }
    }
}

/// The interrupt of a call ends a task of its, and not the loop.
fn as_cancelled(py: Python<'_>, error: PyErr) -> PyErr {
    let interrupted =
        current::helpers().is_some_and(|helpers| error.is_instance(py, helpers.interrupt.bind(py)));
    if !interrupted {
        return error;
    }
    let cancelled = py
        .import(intern!(py, "asyncio"))
        .and_then(|asyncio| asyncio.getattr(intern!(py, "CancelledError"))?.call0());
    cancelled.map_or_else(|error| error, PyErr::from_value)
}

/// Answers, and says what is to become of the task.
fn end(py: Python<'_>, running: &Running, flight: Flight, gives: Gives, error: PyErr) -> PyErr {
    let mut reply = TermEnv::new();
    let request = flight.request.clone();
    let ended = if error.is_instance_of::<PyStopIteration>(py) {
        let value = error.value(py).getattr(intern!(py, "value"));
        drop(error);
        value
    } else {
        Err(error)
    };
    let result = ended
        .as_ref()
        .map_or(ptr::null(), |value| value.as_ptr().cast_const());
    // The error goes to the caller alone.
    let left = match &ended {
        Ok(value) => PyStopIteration::new_err((value.clone().unbind(),)),
        Err(error) if is_cancelled(py, error) => error.clone_ref(py),
        Err(_) => PyStopIteration::new_err(()),
    };
    if ended.is_ok() {
        isolation::keep_base(py, &request);
    }
    // Those who close a pool may not have come as far as to answer.
    if flight.own.stops.load(Ordering::Acquire)
        && ended.as_ref().is_err_and(|error| is_cancelled(py, error))
    {
        request.answer(running.sender, &mut reply, |env| {
            (atoms::error(), atoms::stopped()).encode(env)
        });
    }
    let outcome = (!request.is_over()).then(|| {
        let operation = flight.body.operation();
        let isolated = Isolated::here(py);
        answer::perform_by(&request, operation, &mut reply, &isolated, |work, _tag| {
            answer_of(work, gives, ended)
        })
    });
    if outcome.is_some() && !flight.given.is_empty() {
        // Its coroutine has let go of them, as an error has.
        let given = flight.given.iter();
        let grown = given.map(|watch| watch.weigh_after(py, result)).sum();
        object::ballast(reply.env(), grown);
    }
    flight.end(py, &running.runner, outcome, &mut reply, running.sender);
    left
}

fn answer_of<'a>(
    work: &Work<'_, '_, '_, 'a>,
    gives: Gives,
    ended: PyResult<Bound<'_, PyAny>>,
) -> Result<Answer<'a>, Error> {
    // `work` is of the same moment, with the GIL held all along.
    let value = ended?.unbind().into_bound(work.py);
    let answer = match gives {
        Gives::Nothing => atoms::ok().to_term(work.env),
        Gives::Value => work.value(value)?,
        Gives::Stream(limits, worker) => streams::open(work, &value, limits, worker)?,
        Gives::Results => {
            if let Ok(failed) = value.cast::<PyTuple>() {
                let (index, error): (usize, Bound<'_, PyAny>) = failed.extract()?;
                return Err(Error::At(index, Box::new(PyErr::from_value(error).into())));
            }
            let items = value.cast::<PyList>().map_err(PyErr::from)?;
            let mut results = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                let result = work.item(&item);
                results.push(result.map_err(|error| Error::At(index, Box::new(error)))?);
            }
            (atoms::ok(), results).encode(work.env)
        }
    };
    Ok(Answer::Here(answer))
}

fn is_cancelled(py: Python<'_>, error: &PyErr) -> bool {
    let name = error.get_type(py).name();
    name.is_ok_and(|name| name == "CancelledError")
}

#[pymethods]
impl Step {
    fn send<'py>(&self, py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.step(py, |coroutine| {
            coroutine.call_method1(intern!(py, "send"), (value,))
        })
    }

    #[pyo3(signature = (*error))]
    fn throw<'py>(
        &self,
        py: Python<'py>,
        error: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.step(py, |coroutine| {
            coroutine.call_method1(intern!(py, "throw"), error)
        })
    }

    /// Whether its task was told to end: at the end of the loop, too, its `finally` blocks have time.
    #[getter]
    fn _told(&self) -> bool {
        self.own
            .get()
            .is_some_and(|own| own.told.load(Ordering::Relaxed))
    }

    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.coroutine(py)?.call_method0(intern!(py, "close"))
    }

    fn __await__<'py>(slf: Bound<'py, Self>) -> Bound<'py, Self> {
        slf
    }

    fn __iter__<'py>(slf: Bound<'py, Self>) -> Bound<'py, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.send(py, py.None().bind(py))
    }

    fn __getattr__<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.coroutine(py)?
            .getattr(name.cast::<pyo3::types::PyString>()?)
    }

    // Cycles through it are broken elsewhere, as those through tuples are.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.coroutine
            .as_ref()
            .map_or(Ok(()), |coroutine| visit.call(coroutine))
    }
}
