//! The native functions of the Python package `erlang`.

use crate::base::atoms;
use crate::base::fork;
use crate::base::mailbox::Received;
use crate::base::processes;
use crate::base::signals;
use crate::base::sleepers::Wake;
use crate::base::term_env::{SavedTerm, Sender, TermEnv};
use crate::engine::main::callback;
use crate::engine::main::foreign;
use crate::engine::main::hold;
use crate::engine::main::kept;
use crate::engine::main::on_interrupt;
use crate::engine::main::origin::{
    Origin, OriginObject, of_context as origin_of_context, request as current_request,
    running as origin_running,
};
use crate::engine::main::output;
use crate::engine::main::patience::Patience;
use crate::engine::main::registered;
use crate::engine::main::seat;
use crate::pool::request::Request;
use crate::python::child;
use crate::python::convert::{self, Decoder};
use crate::python::host::Target;
use pyo3::exceptions::{PyRuntimeError, PyTimeoutError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule, PyString, PyTuple};
use rustler::{Encoder as _, Env, LocalPid, Term};
use std::borrow::Cow;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// A decoder was registered.
#[pyfunction]
#[pyo3(name = "_decoders_exist")]
fn decoders_exist() {
    convert::mark_decoders();
}

/// Puts classes and functions into the package.
pub fn add_to(package: &Bound<'_, PyModule>) -> PyResult<()> {
    convert::add_to(package)?;
    crate::python::interpreter::stand::add_to(package)?;
    package.add_function(wrap_pyfunction!(
        crate::python::interpreter::entrance::alone,
        package
    )?)?;
    package.add_function(wrap_pyfunction!(call, package)?)?;
    package.add_function(wrap_pyfunction!(registered::is_registered, package)?)?;
    package.add_function(wrap_pyfunction!(registered::registered, package)?)?;
    package.add_function(wrap_pyfunction!(decoders_exist, package)?)?;
    package.add_function(wrap_pyfunction!(registered::take, package)?)?;
    package.add_function(wrap_pyfunction!(registered::give_back, package)?)?;
    package.add_function(wrap_pyfunction!(hold::hold, package)?)?;
    package.add_function(wrap_pyfunction!(hold::hold_in_loop, package)?)?;
    package.add_function(wrap_pyfunction!(hold::leave_in_loop, package)?)?;
    package.add_function(wrap_pyfunction!(send, package)?)?;
    package.add_function(wrap_pyfunction!(whereis, package)?)?;
    package.add_function(wrap_pyfunction!(caller, package)?)?;
    package.add_function(wrap_pyfunction!(receive, package)?)?;
    package.add_function(wrap_pyfunction!(in_loop, package)?)?;
    package.add_function(wrap_pyfunction!(take_message, package)?)?;
    package.add_function(wrap_pyfunction!(mail_future, package)?)?;
    package.add_function(wrap_pyfunction!(pass_mail, package)?)?;
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
    package.add_function(wrap_pyfunction!(
        crate::python::namespace::finalize,
        package
    )?)?;
    package.add_function(wrap_pyfunction!(foreign::entries_are_seen, package)?)?;
    package.add_function(wrap_pyfunction!(is_forked, package)?)?;
    package.add_function(wrap_pyfunction!(ends_the_vm, package)?)?;
    package.add_function(wrap_pyfunction!(is_the_vms_signal, package)?)?;
    package.add_function(wrap_pyfunction!(end_workers, package)?)?;
    package.add_function(wrap_pyfunction!(is_ending, package)?)?;
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
    refuse_on_loop("erlang.call", "await erlang.acall(...)")?;
    let name = &*text_or_atom(name)?;
    if let Some(described) = registered::described(name) {
        return registered::described_function(py, name, &described)?.call(args, kwargs);
    }
    callback::call(py, Target::Name(name), args, kwargs)
}

/// Sends a message to a process, given by its pid or its registered name.
#[pyfunction]
#[pyo3(signature = (to, message, /))]
fn send(py: Python<'_>, to: &Bound<'_, PyAny>, message: &Bound<'_, PyAny>) -> PyResult<()> {
    child::refuse_in_child()?;
    let sender = sender()?;
    let local = convert::local_pid(to);
    // As in Elixir, nobody is told that the process does not exist.
    if let (Some(pid), Some(word)) = (&local, convert::word(message)) {
        sender.send_word(pid, word);
        return Ok(());
    }
    let mut own = TermEnv::new();
    let (pid, message) = {
        let env = own.env();
        let mut decoder = Decoder::new(py, env, false).handing_out();
        let message = decoder
            .value(message)
            .map_err(|failure| failure.into_python("the message"))?;
        hand_out(py, &decoder);
        match local {
            Some(pid) => (pid, message),
            None => receiver(env, to, message, &mut decoder)?,
        }
    };
    let message = SavedTerm::save(message);
    own.send(sender, &pid, |env| message.load(env));
    Ok(())
}

/// What the message has handles of is in the hands of others.
fn hand_out(py: Python<'_>, decoder: &Decoder<'_, '_, '_>) {
    let handed_out = decoder.handed_out();
    if !handed_out.is_empty() {
        let request = seat::running().and_then(|running| running.request(py));
        kept::hand_out(py, request.as_ref(), handed_out);
    }
}

/// Who gets a message that is for a name or for a process of another node, and what.
fn receiver<'py, 'a>(
    env: Env<'a>,
    to: &Bound<'py, PyAny>,
    message: Term<'a>,
    decoder: &mut Decoder<'py, 'a, '_>,
) -> PyResult<(LocalPid, Term<'a>)> {
    if let Some(name) = process_name(to) {
        let pid = find(env, &name).ok_or_else(|| {
            PyValueError::new_err(format!("no process is registered as {name:?}"))
        })?;
        return Ok((pid, message));
    }
    let to = decoder
        .value(to)
        .map_err(|failure| failure.into_python("the receiver"))?;
    if !to.is_pid() {
        return Err(PyTypeError::new_err(
            "expected an erlang.Pid or the name of a registered process",
        ));
    }
    match to.decode::<LocalPid>() {
        Ok(pid) => Ok((pid, message)),
        Err(_) => {
            // On another node: only a process can send there.
            let server = callback::server()?;
            Ok((server, (atoms::forward(), to, message).encode(env)))
        }
    }
}

/// The pid of the process that is registered by a name, or None.
#[pyfunction]
fn whereis<'py>(py: Python<'py>, name: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    child::refuse_in_child()?;
    let own = TermEnv::new();
    let env = own.env();
    let name = process_name(name).ok_or_else(|| {
        PyTypeError::new_err("expected the name of a process, a str or an erlang.Atom")
    })?;
    match find(env, &name) {
        Some(pid) => convert::Encoder::new(py)
            .value(pid.encode(env))
            .map(Some)
            .map_err(|failure| failure.into_python("the pid")),
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
    convert::atom_name(name).or_else(|| name.cast::<PyString>().ok()?.extract().ok())
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
    let own = seat::running().and_then(|running| running.request(py));
    let pid = own
        .and_then(|request| request.caller())
        .or_else(|| origin_of_context(py)?.caller())
        .ok_or_else(|| {
            PyRuntimeError::new_err("expected a thread that runs a call of a process, got: a thread that Python started")
        })?;
    let own = TermEnv::new();
    let env = own.env();
    convert::Encoder::new(py)
        .value(pid.encode(env))
        .map_err(|failure| failure.into_python("the pid"))
}

/// Waits for a message that was sent with `Python.send` to the context or call that this is, and
/// returns it. `timeout` is in seconds; then `TimeoutError` is raised.
#[pyfunction]
#[pyo3(signature = (timeout = None))]
fn receive<'py>(py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
    child::refuse_in_child()?;
    refuse_on_loop("erlang.receive", "await erlang.areceive()")?;
    let running = seat::running();
    let (Some(running), Some(request)) = (
        running.as_ref(),
        running.as_ref().and_then(|running| running.request(py)),
    ) else {
        return Err(PyRuntimeError::new_err(
            "expected the thread that runs a call, got: a thread that Python started. Receive messages in the thread of the call",
        ));
    };
    let deadline = match timeout {
        None => None,
        Some(timeout) => {
            if timeout.is_nan() {
                return Err(PyValueError::new_err(
                    "expected the timeout to be a number of seconds, got: nan",
                ));
            }
            // Longer than can be said is for ever.
            Duration::try_from_secs_f64(timeout.max(0.0))
                .ok()
                .and_then(|timeout| Instant::now().checked_add(timeout))
        }
    };
    output::flush_now(py)?;
    let mailbox = if running.pool.pinned {
        &running.pool.mailbox
    } else {
        &request.mailbox
    };
    // Who only looks does not wait: no other worker is needed in its place.
    if let Some((env, message)) = mailbox.take_now() {
        return message_of(py, &env, message);
    }
    if timeout.is_some_and(|timeout| timeout <= 0.0) && !request.is_over() {
        return Err(no_message());
    }
    let blocked = running.pool.block();
    let patience = Patience::of(py, &request);
    let sleeper: Weak<dyn Wake> = if running.pool.pinned {
        Arc::downgrade(&running.pool) as _
    } else {
        Arc::downgrade(&request) as _
    };
    let received = py.detach(|| {
        let _asleep = patience.sleep(sleeper);
        mailbox.take(deadline, || patience.limit())
    });
    drop(blocked);
    match received {
        Received::Message(env, message) => message_of(py, &env, message),
        Received::TimedOut => Err(no_message()),
        Received::GivenUp => Err(callback::given_up(py, Some(running), Some(&request))),
    }
}

fn message_of<'py>(
    py: Python<'py>,
    env: &TermEnv,
    message: SavedTerm,
) -> PyResult<Bound<'py, PyAny>> {
    convert::Encoder::new(py)
        .value(env.term(message))
        .map_err(|failure| failure.into_python("the message"))
}

fn no_message() -> PyErr {
    PyTimeoutError::new_err("no message arrived within the timeout")
}

/// An event loop is not to be held up by what waits for Elixir.
fn refuse_on_loop(what: &str, remedy: &str) -> PyResult<()> {
    if !seat::is_loop() {
        return Ok(());
    }
    Err(PyRuntimeError::new_err(format!(
        "{what} would hold up the event loop, and with it all calls that run there. Use {remedy}; in a thread that \
         asyncio.to_thread starts it may wait"
    )))
}

/// Whether the thread runs an event loop of ours.
#[pyfunction]
#[pyo3(name = "_in_loop")]
fn in_loop() -> bool {
    seat::is_loop()
}

/// The next message for the call that the current code is of, in a tuple, or None if there is none yet.
#[pyfunction]
#[pyo3(name = "_take_message")]
fn take_message(py: Python<'_>) -> PyResult<Option<(Bound<'_, PyAny>,)>> {
    child::refuse_in_child()?;
    let request = current_call(py)?;
    let mailbox = if request.pool.pinned {
        &request.pool.mailbox
    } else {
        &request.mailbox
    };
    let Some((env, message)) = mailbox.take_now() else {
        return Ok(None);
    };
    Ok(Some((message_of(py, &env, message)?,)))
}

/// A future that is done when there may be a message. None where the loop is none of ours.
#[pyfunction]
#[pyo3(name = "_mail_future")]
fn mail_future(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let request = current_call(py)?;
    let event_loop = seat::running().and_then(|running| running.event_loop);
    event_loop
        .map(|event_loop| event_loop.mail(py, mailbox_of(&request)))
        .transpose()
}

/// Who has been told of a message leaves it to others.
#[pyfunction]
#[pyo3(name = "_pass_mail")]
fn pass_mail(py: Python<'_>) -> PyResult<()> {
    let request = current_call(py)?;
    if let Some(event_loop) = seat::running().and_then(|running| running.event_loop) {
        event_loop.pass_mail(mailbox_of(&request));
    }
    Ok(())
}

/// What loops know a mailbox by.
fn mailbox_of(request: &Arc<Request>) -> usize {
    if request.pool.pinned {
        Arc::as_ptr(&request.pool) as usize
    } else {
        Arc::as_ptr(request) as usize
    }
}

fn current_call(py: Python<'_>) -> PyResult<Arc<Request>> {
    origin_running(py).ok_or_else(|| {
        PyRuntimeError::new_err(
            "expected code of a call that is not over, got: a thread or a task that belongs to none. Receive messages in \
             the call, or in a task that it waits for",
        )
    })
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
    refuse_on_loop("reading from sys.stdin", "await asyncio.to_thread(input)")?;
    output::read_line(py)
}

#[pyfunction]
#[pyo3(name = "_read")]
fn read(py: Python<'_>, count: usize) -> PyResult<Bound<'_, PyAny>> {
    refuse_on_loop("reading from sys.stdin", "await asyncio.to_thread(input)")?;
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
    match origin {
        Some(origin) => Origin::adopt_object(origin),
        None => Ok(()),
    }
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

/// Whether the VM's process is about to end.
#[pyfunction]
#[pyo3(name = "_is_ending")]
fn is_ending() -> bool {
    processes::are_over()
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
            "expected a level ({}), got: {level:?}",
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
    seat::sender()
        .or_else(Sender::own_thread)
        .ok_or_else(|| PyRuntimeError::new_err("this thread cannot send messages"))
}
