//! The body of a `with`, which runs in Elixir while its worker waits.
//!
//! A request enters the context manager, tells its caller so, and waits as for a callback: whatever the
//! caller asks of Python meanwhile is handed to the thread (`Callback::nest`) and runs on it, in the same
//! context of variables. The caller's answer ends the wait, and the manager is left. So does the caller's
//! death, or that the request was given up: then the manager is told of an error.
//!
//! A process can be at most in one such wait of a request, but these can be nested, in each other and in
//! callbacks.

use crate::base::atoms;
use crate::base::term_env::Sender;
use crate::engine::main::callback::{self, Callback, CallbackHandle};
use crate::engine::main::kept;
use crate::engine::main::seat;
use crate::pool::marks::TOLD;
use crate::pool::request::Request;
use crate::python::contextvars::Kept;
use crate::python::convert::Decoder;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use rustler::{Encoder, ResourceArc};
use std::sync::Arc;

/// A caller that dies with so many ms left is one whose time is over: by the clock that deadlines are read from, it
/// may be a little early.
const CLOSE: u64 = 20;

/// The same in an event loop: a future that is done when the body has ended. What the body asks of Python runs in
/// the loop like anything else.
#[pyfunction]
#[pyo3(name = "_hold_in_loop")]
pub fn hold_in_loop<'py>(
    py: Python<'py>,
    entered: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let outside =
        || PyRuntimeError::new_err("expected a call by Python.with/3: only it waits for a body");
    let running = seat::running().ok_or_else(outside)?;
    let event_loop = running.event_loop.clone().ok_or_else(outside)?;
    let request = running.request(py).ok_or_else(outside)?;
    let callback = Callback::of_hold(&request);
    let tracers = kept::make_tracers(&request).cloned().unwrap_or_default();
    callback.set_surroundings(Kept::of_current(py)?, tracers);
    callback.set_place(&running.pool, running.worker.id);
    let future = event_loop.future(py, Arc::clone(&callback) as _)?;
    if !tell(py, &callback, &request, entered, running.sender) {
        // It is being cancelled.
        future.call_method0(intern!(py, "cancel"))?;
    }
    Ok(future)
}

/// The body in an event loop has ended, and its manager is left: that has some time. `cancelled`: it was told so.
#[pyfunction]
#[pyo3(name = "_leave_in_loop")]
pub fn leave_in_loop(py: Python<'_>, cancelled: bool) {
    if let Some(running) = seat::running()
        && let Some(request) = running.request(py)
    {
        request.leave_body();
        if !cancelled {
            request.marks.set(TOLD);
            running.runner.pre_empt(py, &request);
        }
    }
}

/// Tells the caller that the manager was entered. False if it waits no more.
fn tell(
    py: Python<'_>,
    callback: &Arc<Callback>,
    request: &Arc<Request>,
    entered: &Bound<'_, PyAny>,
    sender: Sender,
) -> bool {
    request.enter_body();
    request.tell(sender, |env| {
        let handle = ResourceArc::new(CallbackHandle(Arc::clone(callback)));
        let decoder = Decoder::new(entered.py(), env, false).handing_out();
        let entered = decoder.object(entered);
        kept::hand_out(py, Some(request), decoder.handed_out());
        (atoms::held(), handle, entered).encode(env)
    })
}

/// Waits for the body. Raises what that raises, as an `erlang.Error`; `erlang.Interrupt` when nobody waits
/// any more.
#[pyfunction]
#[pyo3(name = "_hold")]
pub fn hold(py: Python<'_>, entered: &Bound<'_, PyAny>) -> PyResult<()> {
    let outside =
        || PyRuntimeError::new_err("expected a call by Python.with/3: only it holds a worker");
    let running = seat::running().ok_or_else(outside)?;
    let request = running.request(py).ok_or_else(outside)?;
    let pool = Arc::clone(&running.pool);
    let callback = Callback::of_hold(&request);
    if !tell(py, &callback, &request, entered, running.sender) {
        return Err(callback::given_up(py, Some(&running), Some(&request)));
    }
    let held = pool.hold();
    let result = callback::wait(
        py,
        &callback,
        Some(&request),
        Some(&running),
        running.sender,
    );
    drop(held);
    callback.close(running.sender);
    let dead = callback.is_down();
    // Whatever else that leads to is not to interrupt the leaving.
    request.leave_body();
    if dead {
        request.cancel(false);
    }
    // The leaving has some time, however the body has ended. What comes after that interrupts it.
    request.marks.set(TOLD);
    running.runner.pre_empt(py, &request);
    if dead && request.deadline.left().is_some_and(|left| left <= CLOSE) {
        // It died with the body of an outer `with`, whose time is over.
        return Err(callback::given_up(py, Some(&running), Some(&request)));
    }
    result.map(drop)
}
