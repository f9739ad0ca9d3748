//! The native functions of the Python package `erlang`.

use crate::base::atoms;
use crate::base::fork;
use crate::base::lock::Mutex;
use crate::base::mailbox::Received;
use crate::base::processes;
use crate::base::signals;
use crate::base::term_env::{OwnedTerm, SavedTerm, Sender, TermEnv};
use crate::engine::main::callback;
use crate::engine::main::foreign;
use crate::engine::main::hold;
use crate::engine::main::kept;
use crate::engine::main::on_interrupt;
use crate::engine::main::origin::{Origin, OriginObject, request as current_request};
use crate::engine::main::output;
use crate::engine::main::patience::Patience;
use crate::engine::main::seat;
use crate::python::child;
use crate::python::convert::{self, Decoder};
use crate::python::handle;
use crate::python::host::Target;
use pyo3::exceptions::{PyRuntimeError, PyTimeoutError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule, PyString, PyTuple};
use rustler::{Encoder as _, Env, LocalPid, Term};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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
    made: Option<Made>,
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

/// A callable that can be dropped by whoever has no GIL.
struct Made(NonNull<ffi::PyObject>);

// SAFETY: it is used with the GIL held, and dropped by the reaper.
unsafe impl Send for Made {}

impl Made {
    fn new(made: &Bound<'_, PyAny>) -> Self {
        // SAFETY: a Bound is never null.
        Self(unsafe { NonNull::new_unchecked(made.clone().into_ptr()) })
    }

    fn get<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        // SAFETY: the GIL is held, and this owns a reference.
        unsafe { Bound::from_borrowed_ptr(py, self.0.as_ptr()) }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        handle::release(self.0);
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
fn take(name: &str) -> bool {
    let names = REGISTERED.lock();
    if names.as_ref().is_some_and(|names| names.contains_key(name)) {
        return false;
    }
    taken(|taken| taken.insert(name.into()));
    true
}

/// A decoder was registered.
#[pyfunction]
#[pyo3(name = "_decoders_exist")]
fn decoders_exist() {
    convert::mark_decoders();
}

#[pyfunction]
#[pyo3(name = "_give_back")]
fn give_back(name: &str) {
    taken(|taken| taken.remove(name));
}

pub fn unregister(name: &str) {
    let mut names = REGISTERED.lock();
    let former = names.get_or_insert_default().remove(name);
    drop(names);
    drop(former);
}

/// Puts classes and functions into the package.
pub fn add_to(package: &Bound<'_, PyModule>) -> PyResult<()> {
    convert::add_to(package)?;
    crate::python::interpreter::stand::add_to(package)?;
    package.add_function(wrap_pyfunction!(call, package)?)?;
    package.add_function(wrap_pyfunction!(is_registered, package)?)?;
    package.add_function(wrap_pyfunction!(registered, package)?)?;
    package.add_function(wrap_pyfunction!(decoders_exist, package)?)?;
    package.add_function(wrap_pyfunction!(take, package)?)?;
    package.add_function(wrap_pyfunction!(give_back, package)?)?;
    package.add_function(wrap_pyfunction!(hold::hold, package)?)?;
    package.add_function(wrap_pyfunction!(send, package)?)?;
    package.add_function(wrap_pyfunction!(whereis, package)?)?;
    package.add_function(wrap_pyfunction!(caller, package)?)?;
    package.add_function(wrap_pyfunction!(receive, package)?)?;
    package.add_function(wrap_pyfunction!(write, package)?)?;
    package.add_function(wrap_pyfunction!(write_error, package)?)?;
    package.add_function(wrap_pyfunction!(flush, package)?)?;
    package.add_function(wrap_pyfunction!(read_line, package)?)?;
    package.add_function(wrap_pyfunction!(read, package)?)?;
    package.add_function(wrap_pyfunction!(terminal, package)?)?;
    package.add_function(wrap_pyfunction!(origin, package)?)?;
    package.add_function(wrap_pyfunction!(adopt, package)?)?;
    package.add_class::<foreign::Guarded>()?;
    package.add_function(wrap_pyfunction!(time_left, package)?)?;
    package.add_function(wrap_pyfunction!(trust_callbacks, package)?)?;
    package.add_function(wrap_pyfunction!(on_interrupt::on_interrupt, package)?)?;
    package.add_function(wrap_pyfunction!(on_interrupt::on_interrupts, package)?)?;
    package.add_function(wrap_pyfunction!(
        crate::python::namespace::make_young,
        package
    )?)?;
    package.add_function(wrap_pyfunction!(foreign::entries_are_seen, package)?)?;
    package.add_function(wrap_pyfunction!(is_forked, package)?)?;
    package.add_function(wrap_pyfunction!(ends_the_vm, package)?)?;
    package.add_function(wrap_pyfunction!(is_the_vms_signal, package)?)?;
    package.add_function(wrap_pyfunction!(end_workers, package)?)?;
    package.add_function(wrap_pyfunction!(log, package)?)
}

/// What is left of the timeout of the call that this is part of, in seconds; None if it has none, and 0.0
/// once it was given up. A call that a callback makes has no longer than the call that the callback is for.
#[pyfunction]
fn time_left(py: Python<'_>) -> Option<f64> {
    Some(current_request(py)?.time_left()? as f64 / 1_000.0)
}

/// Says whether a library is at work that hands on what its callbacks raise: they may be interrupted.
#[pyfunction]
#[pyo3(name = "_trust_callbacks")]
fn trust_callbacks(py: Python<'_>, trusts: bool) {
    if let Some(running) = seat::running() {
        running.runner.trust_callbacks(py, trusts);
    }
}

/// Calls a registered function of Elixir or Erlang and returns what it returns.
#[pyfunction]
#[pyo3(signature = (name, /, *args, **kwargs))]
fn call<'py>(
    py: Python<'py>,
    name: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let name = &*text_or_atom(name)?;
    if let Some(described) = described(name) {
        return described_function(py, name, &described)?.call(args, kwargs);
    }
    callback::call(py, Target::Name(name), args, kwargs)
}

/// How the function of this name was described, if it was.
fn described(name: &str) -> Option<OwnedTerm> {
    // There the lock may be a thread's that is gone.
    if fork::is_child() {
        return None;
    }
    let names = REGISTERED.lock();
    names.as_ref()?.get(name)?.described.clone()
}

fn described_function<'py>(
    py: Python<'py>,
    name: &str,
    described: &OwnedTerm,
) -> PyResult<Bound<'py, PyAny>> {
    child::refuse_in_child()?;
    let own = TermEnv::new();
    let term = described.in_env(own.env());
    convert::described_function(&mut convert::Encoder::new(py), term, Some(name))
        .map_err(|failure| failure.into_python("was registered and"))
}

/// The registered function of this name, as a callable.
#[pyfunction]
#[pyo3(name = "_registered")]
fn registered<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
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
        return Ok(now.made.get_or_insert_with(|| Made::new(&function)).get(py));
    }
    Ok(function)
}

#[pyfunction]
#[pyo3(name = "_is_registered")]
fn is_registered(name: &str) -> bool {
    // There calling any of them says why it cannot be called, and the lock may be a thread's that is gone.
    // Names of the package's own, such as those of modules to be imported, are none of them.
    if fork::is_child() {
        return !name.starts_with('_');
    }
    let names = REGISTERED.lock();
    names.as_ref().is_some_and(|names| names.contains_key(name))
}

/// Sends a message to a process, given by its pid or its registered name.
#[pyfunction]
#[pyo3(signature = (to, message, /))]
fn send(py: Python<'_>, to: &Bound<'_, PyAny>, message: &Bound<'_, PyAny>) -> PyResult<()> {
    child::refuse_in_child()?;
    let sender = sender()?;
    let mut own = TermEnv::new();
    let (pid, message) = {
        let env = own.env();
        let mut decoder = Decoder::new(py, env, false).handing_out();
        let message = decoder
            .value(message)
            .map_err(|failure| failure.into_python("cannot be sent"))?;
        let request = seat::running().and_then(|running| running.request(py));
        kept::hand_out(py, request.as_ref(), decoder.handed_out());
        let to = if let Some(name) = process_name(to) {
            find(env, &name)
                .ok_or_else(|| {
                    PyValueError::new_err(format!("no process is registered as {name:?}"))
                })?
                .encode(env)
        } else {
            decoder
                .value(to)
                .map_err(|failure| failure.into_python("is not a pid"))?
        };
        match to.decode::<LocalPid>() {
            Ok(pid) => (pid, message),
            Err(_) if to.is_pid() => {
                // On another node: only a process can send there.
                let server = callback::server()?;
                (server, (atoms::forward(), to, message).encode(env))
            }
            Err(_) => {
                return Err(PyTypeError::new_err(
                    "messages go to an erlang.Pid or the name of a registered process",
                ));
            }
        }
    };
    let message = SavedTerm::save(message);
    // As in Elixir, nobody is told that the process does not exist.
    own.send(sender, &pid, |env| message.load(env));
    Ok(())
}

/// The pid of the process that is registered by a name, or None.
#[pyfunction]
fn whereis<'py>(py: Python<'py>, name: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    child::refuse_in_child()?;
    let own = TermEnv::new();
    let env = own.env();
    let name = process_name(name)
        .ok_or_else(|| PyTypeError::new_err("the name of a process is a str or an erlang.Atom"))?;
    match find(env, &name) {
        Some(pid) => convert::Encoder::new(py)
            .value(pid.encode(env))
            .map(Some)
            .map_err(|failure| failure.into_python("cannot be found")),
        None => Ok(None),
    }
}

/// The text of a `str` or of an `erlang.Atom`.
fn text_or_atom<'a>(name: &'a Bound<'_, PyAny>) -> PyResult<Cow<'a, str>> {
    match convert::atom_name(name) {
        Some(name) => Ok(Cow::Owned(name)),
        None => Ok(name.cast::<PyString>()?.to_cow()?),
    }
}

/// The name in an `erlang.Atom` or a `str`.
fn process_name(name: &Bound<'_, PyAny>) -> Option<String> {
    convert::atom_name(name).or_else(|| name.extract().ok())
}

fn find(env: Env<'_>, name: &str) -> Option<LocalPid> {
    // Python's text never becomes an atom: a name that is none yet is nobody's.
    let atom = convert::existing_atom(env, name)?;
    let mut pid = std::mem::MaybeUninit::uninit();
    let sender = sender().ok()?;
    // SAFETY: the environment of the running NIF, or null on threads of our own, as it is wanted;
    // the pid is written on success.
    unsafe {
        let found = rustler::sys::enif_whereis_pid(
            sender.as_c_arg(),
            atom.to_term(env).as_c_arg(),
            pid.as_mut_ptr(),
        );
        (found != 0).then(|| LocalPid::from_c_arg(pid.assume_init()))
    }
}

/// The process that made the call which this code is part of.
#[pyfunction]
#[pyo3(name = "self")]
fn caller(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    child::refuse_in_child()?;
    let pid = seat::running()
        .and_then(|running| running.request(py))
        .and_then(|request| request.caller())
        .ok_or_else(|| {
            PyRuntimeError::new_err("this thread runs no call of a process; Python started it")
        })?;
    let own = TermEnv::new();
    let env = own.env();
    convert::Encoder::new(py)
        .value(pid.encode(env))
        .map_err(|failure| failure.into_python("cannot be given"))
}

/// Waits for a message that was sent with `Python.send` to the context or call that this is, and
/// returns it. `timeout` is in seconds; then `TimeoutError` is raised.
#[pyfunction]
#[pyo3(signature = (timeout = None))]
fn receive<'py>(py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
    child::refuse_in_child()?;
    let running = seat::running();
    let (Some(running), Some(request)) = (
        running.as_ref(),
        running.as_ref().and_then(|running| running.request(py)),
    ) else {
        return Err(PyRuntimeError::new_err(
            "messages are received by the thread that runs a call, not by those that it starts",
        ));
    };
    let deadline = match timeout {
        None => None,
        Some(timeout) => {
            if timeout.is_nan() {
                return Err(PyValueError::new_err("the timeout is not a number"));
            }
            // Longer than can be said is for ever.
            Duration::try_from_secs_f64(timeout.max(0.0))
                .ok()
                .and_then(|timeout| Instant::now().checked_add(timeout))
        }
    };
    output::flush(py)?;
    let blocked = running.pool.block();
    let mailbox = if running.pool.pinned {
        &running.pool.mailbox
    } else {
        &request.mailbox
    };
    let patience = Patience::of(py, &request);
    let received = py.detach(|| mailbox.take(deadline, || patience.is_over()));
    drop(blocked);
    match received {
        Received::Message(env, message) => convert::Encoder::new(py)
            .value(env.term(message))
            .map_err(|failure| failure.into_python("was sent and")),
        Received::TimedOut => Err(PyTimeoutError::new_err("no message came in time")),
        Received::GivenUp => Err(callback::given_up(py, Some(running), Some(&request))),
    }
}

#[pyfunction]
#[pyo3(name = "_write")]
fn write(py: Python<'_>, text: &str) -> PyResult<()> {
    output::write(py, text)
}

#[pyfunction]
#[pyo3(name = "_write_error")]
fn write_error(py: Python<'_>, text: &str) -> PyResult<()> {
    output::write_error(py, text)
}

#[pyfunction]
#[pyo3(name = "_flush")]
fn flush(py: Python<'_>) -> PyResult<()> {
    output::flush(py)
}

#[pyfunction]
#[pyo3(name = "_read_line")]
fn read_line(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    output::read_line(py)
}

#[pyfunction]
#[pyo3(name = "_read")]
fn read(py: Python<'_>, count: usize) -> PyResult<Bound<'_, PyAny>> {
    output::read(py, count)
}

/// The columns and rows of the terminal that a stream goes to, or None if it goes to none.
#[pyfunction]
#[pyo3(name = "_terminal")]
fn terminal<'py>(py: Python<'py>, device: &str) -> PyResult<Bound<'py, PyAny>> {
    output::terminal(py, device)
}

/// Whose work the thread does, for a thread that it starts.
#[pyfunction]
#[pyo3(name = "_origin")]
fn origin(py: Python<'_>) -> Option<OriginObject> {
    Origin::current(py).map(OriginObject::new)
}

/// Makes the thread do the work of another.
#[pyfunction]
#[pyo3(name = "_adopt")]
fn adopt(origin: Option<&Bound<'_, OriginObject>>) -> PyResult<()> {
    if let Some(origin) = origin {
        origin.get().get()?.adopt();
    }
    Ok(())
}

/// Whether this process is a copy of the VM.
#[pyfunction]
#[pyo3(name = "_is_forked")]
fn is_forked() -> bool {
    fork::is_child()
}

/// Whether a signal to this process would end the VM, or stop it.
#[pyfunction]
#[pyo3(name = "_ends_the_vm")]
fn ends_the_vm(signal: i32) -> bool {
    signals::is_fatal(signal)
}

/// Whether the VM handles a signal.
#[pyfunction]
#[pyo3(name = "_is_the_vms_signal")]
fn is_the_vms_signal(signal: i32) -> bool {
    signals::is_handled_by_the_vm(signal)
}

/// Ends the processes that Python has started for itself.
#[pyfunction]
#[pyo3(name = "_end_workers")]
fn end_workers(py: Python<'_>) {
    py.detach(processes::end_workers);
}

/// Writes to the log of the other side.
#[pyfunction]
#[pyo3(signature = (level, text, /, **meta))]
fn log(
    py: Python<'_>,
    level: &Bound<'_, PyAny>,
    text: &str,
    meta: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    const LEVELS: [&str; 8] = [
        "debug",
        "info",
        "notice",
        "warning",
        "error",
        "critical",
        "alert",
        "emergency",
    ];
    let level = &*text_or_atom(level)?;
    if !LEVELS.contains(&level) {
        return Err(PyValueError::new_err(format!(
            "{level:?} is no level; the levels are {}",
            LEVELS.join(", ")
        )));
    }
    if fork::is_child() {
        return output::write_error(py, &format!("{level}: {text}\n"));
    }
    // Waits until it is written: whoever logs much must not fill a mailbox with it.
    let meta = match meta {
        Some(meta) => meta.clone(),
        None => PyDict::new(py),
    };
    let args = (level, text, meta).into_pyobject(py)?;
    callback::call(py, Target::Device(atoms::log()), &args, None).map(drop)
}

fn sender() -> PyResult<Sender> {
    seat::running()
        .map(|running| running.sender)
        .or_else(Sender::own_thread)
        .ok_or_else(|| PyRuntimeError::new_err("this thread cannot send messages"))
}
