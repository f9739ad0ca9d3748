//! `erlang_python_guard PARENT PROGRAM ARGUMENT…`: runs a program, and ends with it, in the same way. Of all that the
//! program has started nothing is left then: daemons, which leave their group and their session and whose parents
//! have ended, become children of this process.
//!
//! It ends all when it gets SIGTERM, and when its parent, the process PARENT, has ended.
//!
//! `erlang_python_guard --template PARENT PROGRAM ARGUMENT…`: the same for a program that workers are forked from. When
//! it ends by itself, these live on, with guards of their own.
//!
//! `erlang_python_guard --of PID`: the guard of a worker that was forked, which is a child of this process already.
//! Standard input is a socket, by which it says how the worker has ended: its status, in four bytes. It ends all when
//! the other end is closed.

mod children;
mod signals;

use std::env;
use std::ffi::{CString, OsString};
use std::io::{Error, Write};
use std::os::unix::ffi::OsStringExt;
use std::process::exit;
use std::ptr;

/// Where a forked worker's end is told.
const SOCKET: libc::c_int = 0;

/// What shells exit with if there is no such program.
const NOT_STARTED: i32 = 127;

fn main() {
    let mut arguments = env::args_os().skip(1).peekable();
    let mode = arguments.next_if(|text| text == "--template" || text == "--of");
    if mode.as_ref().is_some_and(|mode| mode == "--of") {
        guard_forked(arguments.next());
    }
    let parent = arguments
        .next()
        .and_then(|text| text.to_str()?.parse().ok());
    let program: Vec<CString> = arguments.map(text).collect();
    let (Some(parent), false) = (parent, program.is_empty()) else {
        fail("usage: erlang_python_guard [--template] PARENT PROGRAM [ARGUMENT]...");
    };
    signals::block();
    adopt_and_follow(parent);
    let child = start(&program);
    let_go_of_descriptors(0);
    let status = wait(child, || is_orphan(parent), None);
    children::end_all(child, mode.is_some() && status.is_some());
    end_as(status)
}

/// As `main`, for a worker that was forked by this process before it became this program.
fn guard_forked(child: Option<OsString>) -> ! {
    let child = child.and_then(|text| text.to_str()?.parse().ok());
    let Some(child) = child else {
        fail("usage: erlang_python_guard --of PID");
    };
    signals::block();
    adopt();
    let_go_of_descriptors(1);
    let status = wait(child, || signals::has_come(SOCKET), Some(SOCKET));
    children::end_all(child, false);
    if let Some(status) = status {
        // SAFETY: so many bytes. The signal that a closed socket would send is blocked.
        unsafe { libc::write(SOCKET, status.to_ne_bytes().as_ptr().cast(), 4) };
    }
    exit(0)
}

fn text(argument: OsString) -> CString {
    // An argument has no zero byte.
    CString::new(argument.into_vec()).unwrap_or_default()
}

fn fail(message: &str) -> ! {
    let _ = writeln!(std::io::stderr(), "{message}");
    exit(NOT_STARTED)
}

/// Has orphans become children of this process, and a signal come when the parent ends.
fn adopt_and_follow(parent: libc::pid_t) {
    #[cfg(target_os = "linux")]
    // SAFETY: no preconditions.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
    }
    adopt();
    if is_orphan(parent) {
        exit(0);
    }
}

/// Has orphans become children of this process.
fn adopt() {
    #[cfg(target_os = "linux")]
    // SAFETY: no preconditions.
    unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
    }
}

fn is_orphan(parent: libc::pid_t) -> bool {
    // SAFETY: no preconditions.
    unsafe { libc::getppid() != parent }
}

/// Starts the program, the leader of a group of its own.
fn start(program: &[CString]) -> libc::pid_t {
    let pointers = program.iter().map(|text| text.as_ptr());
    let pointers: Vec<_> = pointers.chain([ptr::null()]).collect();
    // SAFETY: there is one thread. In the child, only functions are called that may be.
    match unsafe { libc::fork() } {
        -1 => fail(&format!("cannot fork: {}", Error::last_os_error())),
        0 => {
            // SAFETY: no preconditions.
            unsafe { libc::setpgid(0, 0) };
            signals::unblock();
            // SAFETY: a text, and a list of texts that ends with null.
            unsafe { libc::execvp(pointers[0], pointers.as_ptr()) };
            let error = Error::last_os_error();
            fail(&format!("cannot start {:?}: {error}", program[0]))
        }
        child => {
            // Whoever of both is first.
            // SAFETY: no preconditions.
            unsafe { libc::setpgid(child, child) };
            child
        }
    }
}

/// They are the program's: whoever reads the other ends sees when it has closed them.
fn let_go_of_descriptors(first: libc::c_int) {
    // SAFETY: a null-terminated path, and descriptors that nothing here uses any more.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        for descriptor in first..3 {
            libc::dup2(null, descriptor);
        }
        if null > 2 {
            libc::close(null);
        }
    }
}

/// Waits for the program, or until all is to end: when `is_over`, or a signal says so. The status of the program, which
/// has not been waited for if there is none. `socket`: looks at that too.
fn wait(
    child: libc::pid_t,
    is_over: impl Fn() -> bool,
    socket: Option<libc::c_int>,
) -> Option<libc::c_int> {
    loop {
        if children::has_ended(child) {
            // What is left of its group, before the number can be that of another one.
            // SAFETY: no preconditions.
            unsafe { libc::kill(-child, libc::SIGKILL) };
            return children::reap(child);
        }
        if signals::was_told_to_end() || is_over() {
            return None;
        }
        children::reap_others(child);
        signals::wait(socket);
    }
}

fn end_as(status: Option<libc::c_int>) -> ! {
    let signal = match status {
        Some(status) if libc::WIFEXITED(status) => exit(libc::WEXITSTATUS(status)),
        Some(status) => libc::WTERMSIG(status),
        None => libc::SIGKILL,
    };
    signals::end_by(signal)
}
