//! What is kept with a request while it runs. Hardly any has something.

use crate::engine::main::on_interrupt::Functions;
use crate::pool::request::Request;
use crate::python::contextvars::Kept as Context;
use crate::python::growth::HandedOut;
use crate::python::interpreter::traced::Tracers;
use crate::python::object::Watch;
use pyo3::Python;
use std::any::Any;
use std::sync::{Arc, OnceLock};

/// An `Outbox`.
pub type Printed = Arc<dyn Any + Send + Sync>;

#[derive(Default)]
pub struct Kept {
    /// What its code has registered.
    functions: OnceLock<Box<Functions>>,
    /// What its code has given to others.
    handed_out: OnceLock<Box<HandedOut>>,
    /// The context variables of the body of a `with` that it is from.
    surroundings: OnceLock<Arc<Context>>,
    /// What traces its code, or that of the `with`, in an event loop.
    tracers: OnceLock<Arc<Tracers>>,
    /// What it has printed in an event loop.
    printed: OnceLock<Printed>,
}

/// It is from a body that an event loop goes on beside.
pub fn surround(request: &Request, (context, tracers): &(Arc<Context>, Arc<Tracers>)) {
    if let Some(kept) = request.keep_for_engine::<Kept>() {
        let _ = kept.surroundings.set(Arc::clone(context));
        let _ = kept.tracers.set(Arc::clone(tracers));
    }
}

/// What its code is traced by in an event loop, if it has set anything.
pub fn tracers(request: &Request) -> Option<&Tracers> {
    request.kept::<Kept>()?.tracers.get().map(|t| &**t)
}

/// The same, made if there is none yet.
pub fn make_tracers(request: &Request) -> Option<&Arc<Tracers>> {
    let kept = request.keep_for_engine::<Kept>()?;
    Some(kept.tracers.get_or_init(Arc::default))
}

pub fn surroundings(request: &Request) -> Option<&Context> {
    request.kept::<Kept>()?.surroundings.get().map(|c| &**c)
}

/// What it has printed in an event loop, if it has.
pub fn printed(request: &Request) -> Option<&Printed> {
    request.kept::<Kept>()?.printed.get()
}

/// The same, made if there is none yet.
pub fn make_printed(request: &Request, make: impl FnOnce() -> Printed) -> Option<&Printed> {
    let kept = request.keep_for_engine::<Kept>()?;
    Some(kept.printed.get_or_init(make))
}

/// What its code has registered for its interrupt, if it has.
pub fn functions(request: &Request) -> Option<&Functions> {
    request.kept::<Kept>()?.functions.get().map(|f| &**f)
}

/// The same, made if there is none yet.
pub fn make_functions(request: &Request) -> Option<&Functions> {
    let kept = request.keep_for_engine::<Kept>()?;
    Some(kept.functions.get_or_init(Box::default))
}

/// What its code has given to others, if anything.
pub fn handed_out(request: &Request) -> Option<&HandedOut> {
    request.kept::<Kept>()?.handed_out.get().map(|h| &**h)
}

/// What threads have that Python code has started: they are of no request.
static OF_THREADS: HandedOut = HandedOut::new();

/// `request`: whose code hands it out.
pub fn hand_out(py: Python<'_>, request: Option<&Arc<Request>>, watches: Vec<Arc<Watch>>) {
    if watches.is_empty() {
        return;
    }
    let kept = request.and_then(|request| request.keep_for_engine::<Kept>());
    match kept {
        Some(kept) => kept.handed_out.get_or_init(Box::default).add(py, watches),
        None => OF_THREADS.add(py, watches),
    }
}
