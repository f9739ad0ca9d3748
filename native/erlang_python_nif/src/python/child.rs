//! Python code in a copy of the VM (`fork`): what it is refused, what it prints and reads, and its end.

use crate::base::fork;
use pyo3::exceptions::{PyRuntimeError, PySystemExit};
use pyo3::prelude::*;
use std::ffi::c_int;
use std::fs::File;
use std::io::{Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};

/// An exception in a child.
pub fn refuse_in_child() -> PyResult<()> {
    if fork::is_child() {
        return Err(PyRuntimeError::new_err(
            "Elixir cannot be reached from this process, which was forked by Python code. Ask Elixir before \
             the fork",
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
    if fork::is_child() {
        let error = PyErr::take(py);
        end(py, error.map_or(0, |error| status(py, &error)));
    }
}

/// The same, where it has failed. `error`: what it has raised.
pub fn end_if_child_failed(py: Python<'_>, error: Option<&PyErr>) {
    if fork::is_child() {
        end(py, error.map_or(1, |error| status(py, error)));
    }
}

/// As the interpreter tells and counts the exception that ends a script.
fn status(py: Python<'_>, error: &PyErr) -> c_int {
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
