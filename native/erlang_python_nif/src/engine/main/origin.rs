//! Whose work a thread does that Python started: that of the call which started it.
//!
//! In an event loop it is a context variable that says so: for the tasks that a call starts, for what it has the loop
//! call, and for threads that are given its context.
//!
//! What it prints goes where that call's output goes. And while it waits for Elixir, the call may be
//! waiting for the thread, which Python alone knows: its worker then counts as one that waits.

use crate::base::atoms;
use crate::base::fork;
use crate::base::term_env::OwnedTerm;
use crate::engine::main::own::Main;
use crate::engine::main::seat;
use crate::pool::Blocked;
use crate::pool::request::Request;
use crate::python::contextvars::Variable;
use crate::python::made::Made;
use pyo3::prelude::*;
use rustler::{Env, LocalPid, Term};
use std::cell::RefCell;
use std::sync::{Arc, OnceLock, Weak};

/// Handed from the thread that starts another to that one.
#[pyclass(frozen, module = "erlang", name = "_Origin")]
pub struct OriginObject(Made<Origin>);

impl OriginObject {
    pub fn new(origin: Origin) -> Self {
        OriginObject(Made::new(origin))
    }

    pub fn get(&self) -> PyResult<&Origin> {
        self.0.or_raise()
    }
}

#[derive(Clone)]
pub struct Origin {
    leader: OwnedTerm,
    request: Weak<Request>,
    caller: Option<LocalPid>,
    in_loop: bool,
}

/// The context variable, once there are event loops of ours.
static VARIABLE: OnceLock<Variable> = OnceLock::new();

/// Its value is an `OriginObject`.
pub fn variable(py: Python<'_>) -> PyResult<&'static Variable> {
    if let Some(variable) = VARIABLE.get() {
        return Ok(variable);
    }
    let variable = Variable::new(py, c"erlang.call")?;
    Ok(VARIABLE.get_or_init(|| variable))
}

/// What the context variable says.
pub fn of_context(py: Python<'_>) -> Option<Origin> {
    let value = VARIABLE.get()?.value(py)?;
    let object = value.cast::<OriginObject>().ok()?;
    object.get().get().ok().cloned()
}

/// What is said of the current thread, which runs no request itself.
fn of_thread(py: Python<'_>) -> Option<Origin> {
    of_context(py).or_else(|| ORIGIN.with_borrow(Clone::clone))
}

thread_local! {
    static ORIGIN: RefCell<Option<Origin>> = const { RefCell::new(None) };
}

impl Origin {
    /// That of a thread which the current one starts.
    pub fn current(py: Python<'_>) -> Option<Self> {
        if fork::is_child() {
            return None;
        }
        let Some(request) = seat::running().and_then(|running| running.request(py)) else {
            return of_thread(py);
        };
        Some(Self::of(&request))
    }

    /// That of a thread which works for a request.
    pub fn of(request: &Arc<Request>) -> Self {
        Origin {
            leader: request.leader(),
            request: Arc::downgrade(request),
            caller: request.caller(),
            in_loop: Main::of(&request.pool).is_some_and(|main| main.in_loops),
        }
    }

    /// The request, as long as it runs.
    pub fn request(&self) -> Option<Arc<Request>> {
        self.request.upgrade().filter(|r| r.place().is_some())
    }

    /// The process that asked for it.
    pub fn caller(&self) -> Option<LocalPid> {
        self.caller
    }

    pub fn leader<'a>(&self, env: Env<'a>) -> Term<'a> {
        self.leader.in_env(env)
    }

    /// Makes it the current thread's, which Python started.
    pub fn adopt(&self) {
        ORIGIN.set(Some(self.clone()));
    }

    /// The same for what Python code has: of a call in an event loop, the context of the thread has it from now on, with
    /// which it may have the loop call something.
    pub fn adopt_object(object: &Bound<'_, OriginObject>) -> PyResult<()> {
        let origin = object.get().get()?;
        origin.adopt();
        match VARIABLE.get().filter(|_| origin.in_loop) {
            Some(variable) => variable.set(object.as_any()),
            None => Ok(()),
        }
    }
}

/// The call that the current thread works for, if that is not over.
pub fn request(py: Python<'_>) -> Option<Arc<Request>> {
    let own = seat::running().and_then(|running| running.request(py));
    own.or_else(|| of_thread(py)?.request())
}

/// The call whose code the current thread runs: itself, or as an event loop says.
pub fn running(py: Python<'_>) -> Option<Arc<Request>> {
    let own = seat::running().and_then(|running| running.request(py));
    own.or_else(|| of_context(py)?.request())
}

/// Where what the current thread prints goes. `request`: what it runs.
pub fn leader<'a>(
    py: Python<'_>,
    request: Option<&Arc<Request>>,
    env: Env<'a>,
) -> Option<Term<'a>> {
    match request {
        Some(request) => Some(request.leader().in_env(env)),
        None => of_thread(py).map(|origin| origin.leader(env)),
    }
}

/// What the objects are to bear that the current thread hands out: the name of the pool that it works for,
/// or the process of the context. Nil if it works for none.
pub fn home(env: Env<'_>) -> Term<'_> {
    let home = seat::home().or_else(|| {
        let request = ORIGIN.with_borrow(|origin| origin.as_ref()?.request.upgrade())?;
        Some(request.pool.home)
    });
    match home {
        Some(home) => home.load(env),
        None => atoms::nil().to_term(env),
    }
}

/// Counts the worker that the current thread works for as one that waits. None if there is none.
pub fn block() -> Option<Blocked> {
    let request = ORIGIN.with_borrow(|origin| origin.as_ref()?.request.upgrade())?;
    // Once its call is over, the thread is on its own.
    request.place()?;
    Some(request.pool.block_for(&request))
}
