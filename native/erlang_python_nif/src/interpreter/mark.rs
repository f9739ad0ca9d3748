//! The thread that removes the mark of interrupts which cannot strike yet.
//!
//! Up to Python 3.12 a pending interrupt marks the whole interpreter: each thread looks, between two bytecodes,
//! whether it is meant. A thread that blocks in a C function does not look, and its mark stays, for hours if
//! need be. All loops are slower meanwhile, and in 3.11 code that is traced or profiled stands still. Only an
//! interrupt that strikes removes the mark: this thread is struck by one of its own. The other thread sets it
//! again by itself when it gets the GIL.
//!
//! It is a thread of its own because it runs bytecode, where Python's garbage collector may run, and with it
//! anybody's code. Should that block, interrupts go on.

use super::thread::{Detached, absorb, raise_in};
use super::{python, stack_size};
use std::sync::{Condvar, Mutex, PoisonError};

static WANTED: Mutex<bool> = Mutex::new(false);
static CHANGED: Condvar = Condvar::new();

/// Starts the thread, if this Python needs it. Once per VM.
pub fn start() -> std::io::Result<()> {
    if !python::helpers().is_some_and(|helpers| helpers.one_mark) {
        return Ok(());
    }
    std::thread::Builder::new()
        .name("py_mark".into())
        .stack_size(stack_size())
        .spawn(|| {
            let own = Detached::new();
            loop {
                wait();
                own.attach(|py| {
                    if let Some(helpers) = python::helpers() {
                        raise_in(own.ident(), helpers.interrupt.bind(py));
                        absorb(py, own.ident());
                    }
                });
            }
        })
        .map(drop)
}

/// An interrupt is pending that has not struck for a while. Never waits.
pub fn remove() {
    *WANTED.lock().unwrap_or_else(PoisonError::into_inner) = true;
    CHANGED.notify_one();
}

fn wait() {
    let wanted = WANTED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut wanted = CHANGED
        .wait_while(wanted, |wanted| !*wanted)
        .unwrap_or_else(PoisonError::into_inner);
    *wanted = false;
}
