//! Copies of the VM: the children that Python code forks.
//!
//! Of the VM's threads a child has only the one that forked. Whoever sends, waits for an answer or takes a
//! lock of erts there may wait for ever, and what is in memory to be done would be done twice. So a child runs
//! Python and nothing else, until it executes a program or exits: the functions that reach Elixir refuse, what
//! it prints goes to the descriptors, terms are not given back, and when Python comes back to us the child
//! ends (`end_if_child`).

use crate::call::Error;
use pyo3::exceptions::{PyRuntimeError, PySystemExit};
use pyo3::prelude::*;
use std::cell::Cell;
use std::ffi::c_int;
use std::fs::File;
use std::io::{Read, Write};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{FromRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

static CHILD: AtomicBool = AtomicBool::new(false);

/// Sees to it that children know what they are. For the start of the interpreter.
#[cfg(unix)]
pub fn install() -> Result<(), String> {
    // SAFETY: the functions live as long as the process: this library is never closed.
    match unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) } {
        0 => Ok(()),
        error => Err(std::io::Error::from_raw_os_error(error).to_string()),
    }
}

#[cfg(not(unix))]
pub fn install() -> Result<(), String> {
    Ok(())
}

#[cfg(unix)]
thread_local! {
    /// The signals that the thread which forks has blocked.
    static BLOCKED: Cell<MaybeUninit<libc::sigset_t>> = const { Cell::new(MaybeUninit::uninit()) };
}

/// Called by libc on the thread that forks. (Not for children that share the memory of the VM until they
/// execute a program: no code of ours runs there.) The VM's handlers of signals write to pipes that a child
/// has in common with it: a signal to the child would be one to the VM. So none comes through before it has
/// let go of them.
#[cfg(unix)]
unsafe extern "C" fn before() {
    let mut all = MaybeUninit::uninit();
    let mut blocked = MaybeUninit::uninit();
    // SAFETY: pointers to sets of signals, which are written.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), blocked.as_mut_ptr());
    }
    BLOCKED.set(blocked);
}

#[cfg(unix)]
unsafe extern "C" fn in_parent() {
    let blocked = BLOCKED.get();
    // SAFETY: `before` has written it, on this thread.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, blocked.as_ptr(), std::ptr::null_mut()) };
}

#[cfg(unix)]
unsafe extern "C" fn in_child() {
    CHILD.store(true, Ordering::Relaxed);
    crate::interpreter::signals::forget_those_of_the_vm();
    // SAFETY: the thread is the one that has forked.
    unsafe { in_parent() };
}

/// Whether this process is a copy of the VM.
pub fn is_child() -> bool {
    CHILD.load(Ordering::Relaxed)
}

/// An exception in a child.
pub fn refuse_in_child() -> PyResult<()> {
    if is_child() {
        return Err(PyRuntimeError::new_err(
            "this process was forked from the VM, and Elixir cannot be reached from it: what it needs of \
             Elixir is to be asked for before the fork",
        ));
    }
    Ok(())
}

/// What a child prints: 1 is its standard output, 2 its standard error.
pub fn write(descriptor: RawFd, text: &str) -> PyResult<()> {
    Ok(standard(descriptor).write_all(text.as_bytes())?)
}

/// What a child reads from its standard input: up to the end of a line, or so many characters.
pub fn read(count: Option<usize>) -> PyResult<String> {
    let mut input = standard(0);
    let mut read = Vec::new();
    let mut byte = [0];
    let mut characters = 0;
    while count.is_none_or(|count| characters < count) && input.read(&mut byte)? == 1 {
        read.push(byte[0]);
        if count.is_none() && byte[0] == b'\n' {
            break;
        }
        // Of a character in UTF-8 the first byte says how many there are.
        characters = String::from_utf8_lossy(&read).chars().count();
        if std::str::from_utf8(&read).is_err_and(|error| error.error_len().is_none()) {
            characters -= 1;
        }
    }
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// Not the library's own handles, whose locks a thread of the VM may have.
fn standard(descriptor: RawFd) -> ManuallyDrop<File> {
    // SAFETY: it is never closed by this.
    ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) })
}

/// To be asked where Python code has come back to us. A child does not go on from there: its code has ended,
/// as a script does.
pub fn end_if_child(py: Python<'_>) {
    if is_child() {
        let error = PyErr::take(py).map(Error::Exception);
        end(py, error.map_or(0, |error| status(py, &error)));
    }
}

/// The same, where what it has raised is known already.
pub fn end_if_child_failed(py: Python<'_>, error: &Error) {
    if is_child() {
        end(py, status(py, error));
    }
}

/// As the interpreter tells and counts the exception that ends a script.
fn status(py: Python<'_>, error: &Error) -> c_int {
    let error = match error {
        Error::Exception(error) => error,
        Error::At(_, error) => return status(py, error),
        _ => return 1,
    };
    if !error.is_instance_of::<PySystemExit>(py) {
        error.display(py);
        return 1;
    }
    match error.value(py).getattr("code") {
        Ok(code) if code.is_none() => 0,
        Ok(code) => code.extract().unwrap_or_else(|_| {
            let _ = write(2, &format!("{code}\n"));
            1
        }),
        Err(_) => 1,
    }
}

fn end(py: Python<'_>, status: c_int) -> ! {
    for name in ["stdout", "stderr"] {
        // There is nobody to tell.
        let _ = py
            .import("sys")
            .and_then(|sys| sys.getattr(name)?.call_method0("flush"));
    }
    // SAFETY: it does not return. What was to be done at the exit of the VM is not run.
    unsafe { libc::_exit(status) }
}
