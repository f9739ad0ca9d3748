//! The functions of Elixir and Erlang that Python calls by a name, and the names of the package that are taken.

use crate::base::fork;
use crate::base::lock::Mutex;
use crate::base::term_env::{OwnedTerm, TermEnv};
use crate::python::child;
use crate::python::convert;
use crate::python::handle::Handle;
use pyo3::prelude::*;
use rustler::Term;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

/// The names of the registered functions. What they stand for is known to `Python.Callback`.
static REGISTERED: Mutex<Option<HashMap<String, Registration>>> = Mutex::new(None);

/// Tells registrations under the same name apart.
static SERIAL: AtomicU64 = AtomicU64::new(0);

struct Registration {
    serial: u64,
    /// The `%Python.Function{}` that it was registered with, if it was one.
    described: Option<OwnedTerm>,
    /// The callable, once it was asked for. It is always the same one: whoever keeps a weak reference to
    /// it, as signals do, keeps it for as long as it is registered.
    made: Option<Handle>,
}

impl Registration {
    fn new(described: Option<OwnedTerm>) -> Self {
        Self {
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            described,
            made: None,
        }
    }
}

/// Makes these the registered names, and no others.
pub fn set_registered(registered: Vec<(String, Term<'_>)>) {
    let mut registered: HashMap<String, Registration> = registered
        .into_iter()
        .map(|(name, described)| (name, Registration::new(owned(described))))
        .collect();
    let mut names = REGISTERED.lock();
    let mut former = names.take();
    for (name, registration) in &mut registered {
        let known = former.as_mut().and_then(|former| former.get_mut(name));
        if let Some(known) = known
            && known.described.is_none()
            && registration.described.is_none()
        {
            std::mem::swap(known, registration);
        }
    }
    *names = Some(registered);
    drop(names);
    // What terms and callables hold is not given up under the lock.
    drop(former);
}

fn owned(described: Term<'_>) -> Option<OwnedTerm> {
    described.is_map().then(|| OwnedTerm::new(described))
}

/// The names that the package has itself, whoever has put them there.
static TAKEN: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// False if the package has something else by this name.
pub fn register(name: &str, described: Term<'_>) -> bool {
    let registration = Registration::new(owned(described));
    // Both locks are held for a look-up, by nobody who waits for anything.
    let mut names = REGISTERED.lock();
    if taken(|taken| taken.contains(name)) {
        return false;
    }
    let former = names
        .get_or_insert_default()
        .insert(name.into(), registration);
    drop(names);
    drop(former);
    true
}

fn taken<T>(with: impl FnOnce(&mut HashSet<String>) -> T) -> T {
    let mut taken = TAKEN.lock();
    with(taken.get_or_insert_default())
}

/// Takes a name for something else than a function of the other side. False if such a function has
/// it.
#[pyfunction]
#[pyo3(name = "_take")]
pub fn take(name: &str) -> bool {
    let names = REGISTERED.lock();
    if names.as_ref().is_some_and(|names| names.contains_key(name)) {
        return false;
    }
    taken(|taken| taken.insert(name.into()));
    true
}

#[pyfunction]
#[pyo3(name = "_give_back")]
pub fn give_back(name: &str) {
    taken(|taken| taken.remove(name));
}

pub fn unregister(name: &str) {
    let mut names = REGISTERED.lock();
    let former = names.get_or_insert_default().remove(name);
    drop(names);
    drop(former);
}

/// How the function of this name was described, if it was.
pub fn described(name: &str) -> Option<OwnedTerm> {
    // There the lock may be a thread's that is gone.
    if fork::is_child() {
        return None;
    }
    let names = REGISTERED.lock();
    names.as_ref()?.get(name)?.described.clone()
}

pub fn described_function<'py>(
    py: Python<'py>,
    name: &str,
    described: &OwnedTerm,
) -> PyResult<Bound<'py, PyAny>> {
    child::refuse_in_child()?;
    let own = TermEnv::new();
    let term = described.in_env(own.env());
    convert::described_function(&mut convert::Encoder::new(py), term, Some(name))
        .map_err(|failure| failure.into_python("the registered function"))
}

/// The registered function of this name, as a callable.
#[pyfunction]
#[pyo3(name = "_registered")]
pub fn registered<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    if fork::is_child() {
        return convert::registered_function(py, name);
    }
    let (serial, described) = {
        let names = REGISTERED.lock();
        match names.as_ref().and_then(|names| names.get(name)) {
            Some(Registration {
                made: Some(made), ..
            }) => return Ok(made.get(py)),
            Some(registration) => (Some(registration.serial), registration.described.clone()),
            None => (None, None),
        }
    };
    let function = match described {
        Some(described) => described_function(py, name, &described)?,
        None => convert::registered_function(py, name)?,
    };
    let mut names = REGISTERED.lock();
    let now = names.as_mut().and_then(|names| names.get_mut(name));
    // Another thread can have made it meanwhile, and somebody registered another one.
    if let Some(now) = now
        && Some(now.serial) == serial
    {
        return Ok(now
            .made
            .get_or_insert_with(|| Handle::new(function.clone().unbind()))
            .get(py));
    }
    Ok(function)
}

#[pyfunction]
#[pyo3(name = "_is_registered")]
pub fn is_registered(name: &str) -> bool {
    // There calling any of them says why it cannot be called, and the lock may be a thread's that is gone.
    // Names of the package's own, such as those of modules to be imported, are none of them.
    if fork::is_child() {
        return !name.starts_with('_');
    }
    let names = REGISTERED.lock();
    names.as_ref().is_some_and(|names| names.contains_key(name))
}
