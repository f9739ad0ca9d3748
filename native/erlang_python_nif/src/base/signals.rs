//! Whose the handlers of signals are.

use std::ffi::c_int;
use std::sync::OnceLock;

/// The signals that have a number in every system: beyond them are those of real time.
const SIGNALS: std::ops::Range<c_int> = 1..32;

/// What was there before Python started.
static OF_THE_VM: OnceLock<Vec<(c_int, libc::sigaction)>> = OnceLock::new();

/// Does something that changes dispositions, and puts them back.
pub fn kept<R>(work: impl FnOnce() -> R) -> R {
    let saved = OF_THE_VM.get_or_init(|| {
        SIGNALS
            .filter_map(|signal| Some((signal, action(signal)?)))
            .collect()
    });
    let result = work();
    for (signal, action) in saved {
        // SAFETY: a disposition that was in force before.
        unsafe { libc::sigaction(*signal, action, std::ptr::null_mut()) };
    }
    result
}

fn action(signal: c_int) -> Option<libc::sigaction> {
    // SAFETY: asks for the disposition only; all zeroes is a valid sigaction.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        (libc::sigaction(signal, std::ptr::null(), &mut action) == 0).then_some(action)
    }
}

fn is_function(handler: libc::sighandler_t) -> bool {
    handler != libc::SIG_DFL && handler != libc::SIG_IGN
}

fn is_the_vms(handler: libc::sighandler_t) -> bool {
    is_function(handler)
        && OF_THE_VM
            .get()
            .is_some_and(|saved| saved.iter().any(|(_, of)| of.sa_sigaction == handler))
}

pub fn is_handled_by_the_vm(signal: c_int) -> bool {
    action(signal).is_some_and(|action| is_the_vms(action.sa_sigaction))
}

/// In a child: signals that the VM handles do what they do to other programs.
pub fn forget_those_of_the_vm() {
    for signal in SIGNALS {
        if action(signal).is_some_and(|action| is_the_vms(action.sa_sigaction)) {
            // SAFETY: SIG_DFL is a valid disposition.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
}

/// Whether a signal to this process would end the VM, or stop it.
pub fn is_fatal(signal: c_int) -> bool {
    // The first is none, and asks whether there is such a process.
    const HARMLESS: [c_int; 5] = [
        0,
        libc::SIGCHLD,
        libc::SIGCONT,
        libc::SIGURG,
        libc::SIGWINCH,
    ];
    // They cannot be handled, or say that the program is in error and does not go on.
    const ALWAYS: [c_int; 8] = [
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGABRT,
        libc::SIGTRAP,
        libc::SIGSYS,
    ];
    if HARMLESS.contains(&signal) {
        return false;
    }
    if ALWAYS.contains(&signal) {
        return true;
    }
    match action(signal).map(|action| action.sa_sigaction) {
        Some(libc::SIG_IGN) => false,
        Some(libc::SIG_DFL) => true,
        // What the VM does with these is to end. Others it hands to whoever has asked it to.
        Some(handler) if is_the_vms(handler) => {
            [libc::SIGTERM, libc::SIGQUIT, libc::SIGUSR1, libc::SIGINT].contains(&signal)
        }
        // Somebody's own handler, such as one of `faulthandler.register`.
        Some(_) => false,
        // No such signal: sending it is the error that it is elsewhere.
        None => false,
    }
}
