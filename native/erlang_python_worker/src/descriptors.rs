//! The descriptors that the process was started with.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::io::Error;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The least number for those of ours: code that counts on low ones finds them.
const LEAST: RawFd = 100;

/// The socket to the VM. Standard input is empty from then on.
pub fn take_socket() -> PyResult<OwnedFd> {
    if !is_socket(0) {
        return Err(PyRuntimeError::new_err(
            "expected a socket as standard input. Only the VM starts this process",
        ));
    }
    let socket = apart(0)?;
    // SAFETY: a null-terminated path; the descriptor that comes of it is closed here.
    unsafe {
        let empty = libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if empty < 0 || libc::dup2(empty, 0) < 0 {
            return Err(Error::last_os_error().into());
        }
        libc::close(empty);
    }
    Ok(socket)
}

/// Where faults are reported, wherever standard error goes later.
pub fn take_errors() -> Option<OwnedFd> {
    apart(2).ok()
}

/// A copy which is not handed on to programs.
fn apart(descriptor: RawFd) -> std::io::Result<OwnedFd> {
    // SAFETY: no preconditions.
    let copy = |least: RawFd| unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, least) };
    let mut copied = copy(LEAST);
    if copied < 0 {
        // There may be no more than that.
        copied = copy(3);
    }
    if copied < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: a new one, which is ours.
    Ok(unsafe { OwnedFd::from_raw_fd(copied) })
}

fn is_socket(descriptor: RawFd) -> bool {
    // SAFETY: all zeroes is a valid stat, which is written.
    unsafe {
        let mut found: libc::stat = std::mem::zeroed();
        libc::fstat(descriptor, &mut found) == 0 && found.st_mode & libc::S_IFMT == libc::S_IFSOCK
    }
}
