//! What stands between the VM and a worker: the program `erlang_python_guard`.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;

/// It ends with the worker, and the worker with it.
pub enum Guard {
    /// A child of the VM.
    Child(libc::pid_t),
    /// The guard of a worker that was forked: what it says, and whether it is to end, goes by this socket.
    Apart(UnixStream),
}

impl Guard {
    /// Has it kill all that it guards. Nobody has waited for it yet.
    pub fn end(&self) {
        match self {
            // It may have been stopped by somebody.
            // SAFETY: no preconditions. The number is its own.
            Guard::Child(pid) => unsafe {
                libc::kill(*pid, libc::SIGTERM);
                libc::kill(*pid, libc::SIGCONT);
            },
            Guard::Apart(socket) => {
                let _ = socket.shutdown(std::net::Shutdown::Write);
            }
        }
    }

    /// The status of the worker, when the guard has ended or is about to. None if nobody can tell.
    pub fn wait(self) -> Option<libc::c_int> {
        match self {
            Guard::Child(pid) => wait(pid),
            Guard::Apart(mut socket) => {
                let mut status = [0; size_of::<libc::c_int>()];
                socket.read_exact(&mut status).ok()?;
                Some(libc::c_int::from_ne_bytes(status))
            }
        }
    }
}

fn wait(pid: libc::pid_t) -> Option<libc::c_int> {
    let mut status = 0;
    loop {
        // SAFETY: a place for the status.
        match unsafe { libc::waitpid(pid, &mut status, 0) } {
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            // Somebody else has waited for it.
            -1 => return None,
            _ => return Some(status),
        }
    }
}
