//! What Python prints, on its way to the group leader of the process that made the call.
//!
//! Text is collected per thread and written in larger pieces: at a line's end if the last piece was
//! written some time ago, when there is much of it, before Python waits for Elixir, and before the
//! call is answered. An event loop goes on meanwhile (`outbox`). Elsewhere writing waits for the group leader, so that everything is there, in order, when
//! the call returns, and a slow reader holds up only those who print.

use crate::base::atoms;
use crate::base::fork;
use crate::base::server;
use crate::base::term_env::{OwnedTerm, TermEnv};
use crate::engine::main::callback;
use crate::engine::main::outbox;
use crate::engine::main::seat;
use crate::python::child;
use crate::python::host::Target;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::cell::RefCell;
use std::io::Write;
use std::time::{Duration, Instant};

/// A piece is written at a line's end if the last one was this long ago.
const PAUSE: Duration = Duration::from_millis(20);

/// A piece is written when it has this many bytes.
const LARGE: usize = 16 << 10;

#[derive(Default)]
struct Pending {
    text: String,
    written: Option<Instant>,
    /// The group leader that was written to last, and whether it is a terminal.
    leader: Option<(OwnedTerm, bool)>,
}

thread_local! {
    static PENDING: RefCell<Pending> = RefCell::default();
}

/// Adds text to what the current thread has printed.
pub fn write(py: Python<'_>, text: &str) -> PyResult<()> {
    if fork::is_child() {
        return child::write(1, text);
    }
    let (due, line) = PENDING.with_borrow_mut(|pending| {
        pending.text.push_str(text);
        let line = text.contains(['\n', '\r']);
        let now = line
            && (seat::running().is_none_or(|running| running.request(py).is_none())
                || pending.written.is_none_or(|at| at.elapsed() >= PAUSE));
        (now || pending.text.len() >= LARGE, line)
    });
    // In front of a terminal somebody sits who wants to see each line, and each step of a bar.
    if due || line && goes_to_terminal(py)? {
        flush(py)
    } else {
        Ok(())
    }
}

/// Whether the group leader is a terminal. It is asked once for each leader, not for each line.
fn goes_to_terminal(py: Python<'_>) -> PyResult<bool> {
    let Some(request) = seat::running().and_then(|running| running.request(py)) else {
        return Ok(false);
    };
    let leader = request.leader();
    let known = PENDING.with_borrow(|pending| {
        let (known, terminal) = pending.leader.as_ref()?;
        let env = TermEnv::new();
        (known.in_env(env.env()) == leader.in_env(env.env())).then_some(*terminal)
    });
    if let Some(known) = known {
        return Ok(known);
    }
    let found = !terminal(py, "stdout")?.is_none();
    PENDING.with_borrow_mut(|pending| pending.leader = Some((leader, found)));
    Ok(found)
}

/// The columns and rows of the terminal that a stream goes to, or None.
pub fn terminal<'py>(py: Python<'py>, device: &str) -> PyResult<Bound<'py, PyAny>> {
    if fork::is_child() || server::get().is_none() {
        return Ok(py.None().into_bound(py));
    }
    let args = PyTuple::new(py, [device])?;
    callback::call(py, Target::Device(atoms::terminal()), &args, None)
}

/// Writes what the current thread has printed, and waits for that in an event loop, too.
pub fn flush_now(py: Python<'_>) -> PyResult<()> {
    flush(py)?;
    let running = seat::running().filter(|running| running.event_loop.is_some());
    let request = running.as_ref().and_then(|running| running.request(py));
    let outbox = request.as_ref().and_then(|request| outbox::of(request));
    if outbox.is_none_or(|outbox| outbox.wait(py, 0)) {
        return Ok(());
    }
    Err(callback::given_up(py, running.as_ref(), request.as_ref()))
}

/// Writes what the current thread has printed. In an event loop it is written while that goes on.
pub fn flush(py: Python<'_>) -> PyResult<()> {
    if fork::is_child() {
        // What was pending at the fork is the VM's.
        return Ok(());
    }
    let text = PENDING.with_borrow_mut(|pending| {
        if pending.text.is_empty() {
            return None;
        }
        pending.written = Some(Instant::now());
        Some(std::mem::take(&mut pending.text))
    });
    match text {
        Some(text) => send(py, atoms::stdout(), text),
        None => Ok(()),
    }
}

/// Writes to the standard error of the other side, after what was printed before.
pub fn write_error(py: Python<'_>, text: &str) -> PyResult<()> {
    if fork::is_child() {
        return child::write(2, text);
    }
    flush(py)?;
    send(py, atoms::stderr(), text.into())
}

fn send(py: Python<'_>, device: rustler::Atom, text: String) -> PyResult<()> {
    if !server::has_begun() {
        // While Python starts: there is no caller yet. As Python itself, it goes on if that fails.
        let _ = std::io::stderr().write_all(text.as_bytes());
        return Ok(());
    }
    let running = seat::running().filter(|running| running.event_loop.is_some());
    if let Some(running) = &running
        && let Some(event_loop) = &running.event_loop
        && let Some(request) = running.request(py)
        && let Some(outbox) = outbox::make(&request, event_loop)
    {
        if outbox.push(py, device, text) {
            return Ok(());
        }
        return Err(callback::given_up(py, Some(running), Some(&request)));
    }
    let args = PyTuple::new(py, [text])?;
    callback::call(py, Target::Device(device), &args, None).map(drop)
}

/// A line from the group leader; empty at its end.
pub fn read_line<'py>(py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
    if fork::is_child() {
        return Ok(child::read(None)?.into_pyobject(py)?.into_any());
    }
    flush(py)?;
    let nothing = PyTuple::empty(py);
    callback::call(py, Target::Device(atoms::stdin()), &nothing, None)
}

/// So many characters from the group leader, or fewer if its end comes first.
pub fn read<'py>(py: Python<'py>, count: usize) -> PyResult<Bound<'py, PyAny>> {
    if fork::is_child() {
        return Ok(child::read(Some(count))?.into_pyobject(py)?.into_any());
    }
    flush(py)?;
    let count = PyTuple::new(py, [count])?;
    callback::call(py, Target::Device(atoms::stdin()), &count, None)
}

/// Forgets what could not be written. For the end of a request.
pub fn finish(py: Python<'_>) {
    if PENDING.with_borrow(|pending| pending.text.is_empty()) {
        return;
    }
    // There is nobody left to tell if the group leader is gone.
    let _ = flush(py);
    PENDING.with_borrow_mut(|pending| {
        pending.text.clear();
        pending.written = None;
    });
}
