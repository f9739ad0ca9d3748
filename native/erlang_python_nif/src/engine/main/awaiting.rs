//! What code in an event loop waits for, without holding the loop up.

use crate::pool::request::Request;
use pyo3::prelude::*;
use std::sync::Arc;

/// Something that is settled by another thread.
pub trait Awaited: Send + Sync {
    /// `wake` is to be called when it is settled: on any thread, never while a lock is held.
    fn on_settled(&self, wake: Box<dyn Fn() + Send + Sync>);

    /// What has come of it.
    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;

    /// Nobody waits for it any more.
    fn give_up(&self);
}

/// An event loop of ours.
pub trait EventLoop: Send + Sync {
    /// A future of the loop for what comes of it. On the loop's thread.
    fn future<'py>(
        self: Arc<Self>,
        py: Python<'py>,
        awaited: Arc<dyn Awaited>,
    ) -> PyResult<Bound<'py, PyAny>>;

    /// A future that is done when something may be in this mailbox, known by a number.
    fn mail<'py>(&self, py: Python<'py>, mailbox: usize) -> PyResult<Bound<'py, PyAny>>;

    /// A step of a task begins, of the request at this address (0: of none that runs). Gives what `end_step` is to be told.
    fn begin_step(&self, request: usize) -> usize;

    /// It is over.
    fn end_step(&self, before: usize);

    /// All that this request has printed is written, and its end waits for that. On any thread.
    fn written(&self, request: Arc<Request>);

    /// Tells another one who waits for that mailbox.
    fn pass_mail(&self, mailbox: usize);
}
