//! What Python objects ask of those who run the code that has them.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rustler::{Atom, Env, Term};
use std::sync::OnceLock;

pub trait Host: Sync {
    /// Calls a function of the other side and waits for what it gives.
    fn call<'py>(
        &self,
        py: Python<'py>,
        target: Target<'_>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>>;

    /// What the objects are to bear that the current thread hands out: the name of the pool that it works
    /// for, or the process of the context. Nil if it works for none.
    fn home<'a>(&self, env: Env<'a>) -> Term<'a>;
}

/// What is called: a function, or the name of a registered one.
pub enum Target<'a> {
    Function(Term<'a>),
    Name(&'a str),
    /// One of the streams of text: `:stdin`, `:stdout` or `:stderr`. Or `:log`.
    Device(Atom),
}

static HOST: OnceLock<&'static dyn Host> = OnceLock::new();

/// Before the interpreter starts.
pub fn set(host: &'static dyn Host) {
    let _ = HOST.set(host);
}

pub fn call<'py>(
    py: Python<'py>,
    target: Target<'_>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let host = HOST
        .get()
        .ok_or_else(|| PyRuntimeError::new_err("the interpreter has not started"))?;
    host.call(py, target, args, kwargs)
}

pub fn home(env: Env<'_>) -> Term<'_> {
    match HOST.get() {
        Some(host) => host.home(env),
        None => rustler::types::atom::nil().to_term(env),
    }
}
