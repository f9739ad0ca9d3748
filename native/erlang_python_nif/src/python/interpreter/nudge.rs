//! Has a thread look for what is to strike it, where it waits in C: a signal ends the wait.
//!
//! Only Python's main thread handles signals, and only in a process of Python's own it runs code of users.
//! `priv/python/erlang/_interrupts.py` has the handler.

use std::ffi::c_ulong;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The main thread, if it is to be nudged.
static MAIN: AtomicUsize = AtomicUsize::new(0);

/// `ident`: that of the current thread, as Python has it.
pub fn set_main_thread(ident: c_ulong) {
    MAIN.store(ident as usize, Ordering::Release);
}

/// If it is the main thread, and to be nudged.
pub fn nudge(ident: c_ulong) {
    if ident as usize == MAIN.load(Ordering::Acquire) && ident != 0 {
        // SAFETY: Python's ident is that of the thread, and the main thread lives as long as the process.
        unsafe { libc::pthread_kill(ident as libc::pthread_t, libc::SIGURG) };
    }
}
