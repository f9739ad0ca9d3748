//! Copies of the VM: the children that Python code forks.
//!
//! Of the VM's threads a child has only the one that forked. Whoever sends, waits for an answer or takes a
//! lock of erts there may wait for ever, and what is in memory to be done would be done twice. So a child runs
//! Python and nothing else, until it executes a program or exits: the functions that reach Elixir refuse, what
//! it prints goes to the descriptors, terms are not given back, and when Python comes back to us the child
//! ends (`child`).

use crate::base::signals;
use std::cell::Cell;
use std::mem::MaybeUninit;
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
    signals::forget_those_of_the_vm();
    // SAFETY: the thread is the one that has forked.
    unsafe { in_parent() };
}

/// Whether this process is a copy of the VM.
pub fn is_child() -> bool {
    CHILD.load(Ordering::Relaxed)
}
