//! Futures of a loop for what others settle: an answer of Elixir's, a message.

use crate::engine::asyncio::event_loop::{Letter, Loop};
use crate::engine::main::awaiting::{Awaited, EventLoop};
use crate::pool::request::Request;
use crate::python::made::Made;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use std::sync::{Arc, Weak};

impl EventLoop for Loop {
    fn future<'py>(
        self: Arc<Self>,
        py: Python<'py>,
        awaited: Arc<dyn Awaited>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let future = create(py, &self)?;
        self.expect();
        let own = future.clone().unbind();
        let waits = Arc::clone(&awaited);
        let number = self.waiting.with(py, |waiting| waiting.add(own, waits));
        let end = Bound::new(py, Ended(Made::new((Arc::downgrade(&self), number))))?;
        future.call_method1(intern!(py, "add_done_callback"), (end,))?;
        let own = Arc::downgrade(&self);
        awaited.on_settled(Box::new(move || {
            if let Some(own) = own.upgrade() {
                own.post(Letter::Settled(number));
            }
        }));
        Ok(future)
    }

    fn mail<'py>(&self, py: Python<'py>, mailbox: usize) -> PyResult<Bound<'py, PyAny>> {
        let future = create(py, self)?;
        let own = future.clone().unbind();
        self.waiting
            .with(py, |waiting| waiting.add_mail(mailbox, own));
        Ok(future)
    }

    fn begin_step(&self, request: usize) -> usize {
        Loop::begin_step(self, request)
    }

    fn end_step(&self, before: usize) {
        Loop::end_step(self, before);
    }

    fn written(&self, request: Arc<Request>) {
        self.post(Letter::Written(request));
    }

    fn pass_mail(&self, mailbox: usize) {
        self.post(Letter::Mail(mailbox));
    }
}

fn create<'py>(py: Python<'py>, own: &Loop) -> PyResult<Bound<'py, PyAny>> {
    let object = own.object.with(py, |object| {
        object.as_ref().map(|object| object.bind(py).clone())
    });
    let object = object.ok_or_else(|| PyRuntimeError::new_err("the event loop has ended"))?;
    object.call_method0(intern!(py, "create_future"))
}

/// What a future waits for is settled.
pub fn settle(py: Python<'_>, own: &Loop, number: u64) -> PyResult<()> {
    let Some((future, awaited)) = own.waiting.with(py, |waiting| waiting.take(number)) else {
        return Ok(());
    };
    let future = future.bind(py);
    if is_done(future)? {
        awaited.give_up();
        return Ok(());
    }
    match awaited.result(py) {
        Ok(value) => future.call_method1(intern!(py, "set_result"), (value,)),
        Err(error) => future.call_method1(intern!(py, "set_exception"), (error.value(py),)),
    }
    .map(drop)
}

/// Something is in a mailbox: one who waits for that may look.
pub fn deliver(py: Python<'_>, own: &Loop, mailbox: usize) -> PyResult<()> {
    while let Some(future) = own.waiting.with(py, |waiting| waiting.take_mail(mailbox)) {
        let future = future.bind(py);
        if !is_done(future)? {
            return future
                .call_method1(intern!(py, "set_result"), (py.None(),))
                .map(drop);
        }
    }
    Ok(())
}

fn is_done(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    future
        .call_method0(intern!(future.py(), "done"))?
        .is_truthy()
}

/// Called when a future is done: if it was cancelled, nobody waits any more.
#[pyclass(frozen, module = "erlang", name = "_Ended")]
struct Ended(Made<(Weak<Loop>, u64)>);

#[pymethods]
impl Ended {
    fn __call__(&self, py: Python<'_>, _future: &Bound<'_, PyAny>) -> PyResult<()> {
        let (own, number) = self.0.or_raise()?;
        let waiting = own
            .upgrade()
            .and_then(|own| own.waiting.with(py, |waiting| waiting.take(*number)));
        if let Some((_future, awaited)) = waiting {
            awaited.give_up();
        }
        Ok(())
    }
}
