//! The two signals that matter here. All others are blocked.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

static TOLD: AtomicBool = AtomicBool::new(false);

extern "C" fn note(signal: libc::c_int) {
    if signal == libc::SIGTERM {
        TOLD.store(true, Ordering::Relaxed);
    }
}

/// SIGTERM was sent, by the VM or for its end.
pub fn was_told_to_end() -> bool {
    TOLD.load(Ordering::Relaxed)
}

fn set(fill: bool) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: a place for a set, which either function writes.
    unsafe {
        if fill {
            libc::sigfillset(set.as_mut_ptr());
        } else {
            libc::sigemptyset(set.as_mut_ptr());
        }
        set.assume_init()
    }
}

fn set_mask(mask: &libc::sigset_t) {
    // SAFETY: a set.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, mask, ptr::null_mut()) };
}

/// From here on signals come in `wait` only.
pub fn block() {
    set_mask(&set(true));
    for signal in [libc::SIGCHLD, libc::SIGTERM] {
        let handler: extern "C" fn(libc::c_int) = note;
        // SAFETY: the handler only writes a flag.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
    // Rust's own start ignores it, and a program would inherit that.
    // SAFETY: the default is a valid disposition.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// As a program finds them. What handles signals here ends when a program is executed.
pub fn unblock() {
    set_mask(&set(false));
}

fn polled(descriptor: libc::c_int) -> libc::pollfd {
    libc::pollfd {
        fd: descriptor,
        events: libc::POLLIN,
        revents: 0,
    }
}

/// Whether something was written to a socket, or its other end is closed.
pub fn has_come(socket: libc::c_int) -> bool {
    // SAFETY: one of them.
    unsafe { libc::poll(&mut polled(socket), 1, 0) > 0 }
}

/// Until a signal comes, or something by the socket, where it can be waited for all others; elsewhere for a while.
pub fn wait(socket: Option<libc::c_int>) {
    #[cfg(target_os = "linux")]
    {
        // A negative one is passed over.
        let mut polled = polled(socket.unwrap_or(-1));
        let mut mask = set(true);
        // SAFETY: a set, and one descriptor.
        unsafe {
            libc::sigdelset(&mut mask, libc::SIGCHLD);
            libc::sigdelset(&mut mask, libc::SIGTERM);
            libc::ppoll(&mut polled, 1, ptr::null(), &mask);
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = socket;
        unblock();
        std::thread::sleep(std::time::Duration::from_millis(3));
        set_mask(&set(true));
    }
}

/// Ends this process as another one was ended.
pub fn end_by(signal: libc::c_int) -> ! {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: no preconditions; a limit, and the default disposition.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &none);
        libc::signal(signal, libc::SIG_DFL);
        libc::kill(libc::getpid(), signal);
    }
    unblock();
    // It was a signal that ends nobody.
    // SAFETY: no preconditions.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    std::process::exit(1)
}
