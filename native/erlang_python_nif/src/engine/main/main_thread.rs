//! A worker that is Python's main thread, in a process of Python's own. It handles signals, as that thread does
//! everywhere: those that come while code runs are that code's, and when nothing runs they are handled here.

use crate::base::term_env::Sender;
use crate::engine::Drained;
use crate::engine::main::drain::drain;
use crate::engine::main::own;
use crate::pool::{Pool, Worker};
use crate::python::interpreter::{self, nudge};
use crate::python::namespace;
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::prelude::*;
use std::sync::Arc;

/// How long it waits without a look at signals, in ms: one that another thread has been given wakes nobody.
const LOOK: i32 = 1_000;

/// Why it comes to its end.
pub enum End {
    /// The pool was closed.
    Closed,
    /// A signal's handler has asked for it, as `sys.exit` does: the value of the `SystemExit`.
    Exit(Py<PyAny>),
}

/// Runs what comes, until the pool is closed. The thread must not hold the GIL.
pub fn serve(pool: &Arc<Pool>, worker: &Arc<Worker>, sender: Sender) -> End {
    let _ = interpreter::enter(|py, thread| {
        nudge::set_main_thread(thread.ident);
        if let (true, Some(helpers)) = (pool.pinned, crate::python::current::helpers()) {
            // For want of memory it starts with an empty one.
            let _ = helpers.base.enter(py);
        }
    });
    loop {
        match drain(pool, worker, sender) {
            Drained::Stop => return End::Closed,
            Drained::Idle => {
                while !worker.wait_as_main(LOOK) {
                    if let Some(code) = handle_signals(pool) {
                        return End::Exit(code);
                    }
                }
                // What has woken it may be in no queue, which then takes it for idle.
                pool.has_come(worker);
            }
        }
    }
}

/// Has Python's handlers run for signals that have come. Some if one of them asks for the end.
fn handle_signals(pool: &Arc<Pool>) -> Option<Py<PyAny>> {
    let handled = interpreter::enter(|py, _| {
        namespace::within(py, own::namespace(pool), || {
            let error = py.check_signals().err()?;
            if error.is_instance_of::<PySystemExit>(py) {
                let code = error.value(py).getattr("code");
                return Some(code.map_or_else(|_| py.None(), Bound::unbind));
            }
            // Nothing runs that Ctrl-C could interrupt.
            if !error.is_instance_of::<PyKeyboardInterrupt>(py) {
                error.display(py);
            }
            None
        })
    });
    handled?
}
