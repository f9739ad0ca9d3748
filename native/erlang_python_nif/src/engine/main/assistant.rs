//! The thread that runs Python code for the interrupter, which runs none itself: should this one be held up, by
//! the garbage collector's callbacks say, interrupts go on.
//!
//! It removes the mark of interrupts that cannot strike yet. Up to Python 3.12 a pending interrupt marks the
//! whole interpreter: each thread looks, between two bytecodes, whether it is meant. A thread that blocks in a
//! C function does not look, and its mark stays, for hours if need be. All loops are slower meanwhile, and in
//! 3.11 code that is traced or profiled stands still. Only an interrupt that strikes removes the mark: this
//! thread is struck by one of its own. The other thread sets it again by itself when it gets the GIL.
//!
//! For Python 3.14 it finds out what is ahead in code (`Ahead`).

use crate::base::inbox::Inbox;
use crate::base::once::start_once;
use crate::python::current;
use crate::python::interpreter::{Detached, absorb, raise_in, stack_size, wait_for_python};
use pyo3::prelude::*;
use std::sync::atomic::AtomicBool;

enum Job {
    RemoveMark,
    Examine(Py<PyAny>),
}

static JOBS: Inbox<Job> = Inbox::new();

/// Starts the thread, which ends if this Python does not need it. Once per VM.
pub fn start() -> std::io::Result<()> {
    static STARTED: AtomicBool = AtomicBool::new(false);
    start_once(&STARTED, || {
        std::thread::Builder::new()
            .name("py_assistant".into())
            .stack_size(stack_size())
            .spawn(|| {
                wait_for_python();
                if !current::helpers()
                    .is_some_and(|helpers| helpers.one_mark || helpers.delicate.ahead.is_some())
                {
                    return;
                }
                let own = Detached::new();
                loop {
                    let jobs = JOBS.wait(None);
                    own.attach(|py| jobs.into_iter().for_each(|job| job.run(py, &own)));
                }
            })
            .map(drop)
    })
}

impl Job {
    fn run(self, py: Python<'_>, own: &Detached) {
        let Some(helpers) = current::helpers() else {
            return;
        };
        match self {
            Job::RemoveMark => {
                raise_in(own.ident(), helpers.interrupt.bind(py));
                absorb(py, own.ident());
            }
            Job::Examine(code) => {
                if let Some(ahead) = &helpers.delicate.ahead {
                    ahead.examine(py, code);
                }
            }
        }
    }
}

/// An interrupt is pending that has not struck for a while. Never waits.
pub fn remove_mark() {
    if current::helpers().is_some_and(|helpers| helpers.one_mark) {
        // One is enough for all.
        JOBS.post_unless(Job::RemoveMark, |jobs| !jobs.is_empty());
    }
}

/// Finds out what is ahead in code. Never waits. With the GIL.
pub fn examine(code: Py<PyAny>) {
    // Should the thread be held up, there is an end to it.
    JOBS.post_unless(Job::Examine(code), |jobs| jobs.len() >= 1_000);
}
