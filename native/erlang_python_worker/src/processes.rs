//! What this process has to do with others: the VM, whose end is its own, and what Python code starts, whose end is
//! this process's.

use erlang_python::remote::kill_all;

/// Before Python code of the user's runs. It ends with its parent, the guard, even before anybody reads the socket.
pub fn tie() {
    #[cfg(target_os = "linux")]
    // SAFETY: no preconditions.
    unsafe {
        // Should the VM be gone already, the socket says so.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    // SAFETY: no preconditions.
    unsafe {
        if libc::getpgrp() != libc::getpid() {
            libc::setpgid(0, 0);
        }
    }
}

/// The socket is read from here on: its end comes with that of the VM, and leaves time to end the others.
pub fn untie() {
    #[cfg(target_os = "linux")]
    // SAFETY: no preconditions.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, 0);
    }
}

/// Ends what was started from here, and this process, whatever it is at.
pub fn end() -> ! {
    // What has left the group first, while it can be found: by its parents.
    kill_all();
    // SAFETY: no preconditions. The first does not return if the process is in a group of its own.
    unsafe {
        if libc::getpgrp() == libc::getpid() {
            libc::kill(0, libc::SIGKILL);
        }
        libc::kill(libc::getpid(), libc::SIGKILL);
        libc::_exit(1)
    }
}

/// Does something with all signals blocked for the current thread: a thread that it starts leaves them to others.
pub fn without_signals<R>(work: impl FnOnce() -> R) -> R {
    let mut all = std::mem::MaybeUninit::uninit();
    let mut before = std::mem::MaybeUninit::uninit();
    // SAFETY: sets of signals, which are written before they are read.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let done = work();
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        done
    }
}
