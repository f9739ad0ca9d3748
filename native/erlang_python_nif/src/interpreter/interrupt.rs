//! The thread that raises `erlang.Interrupt` in requests that nobody waits for any more.
//!
//! It may wait for the GIL as long as it takes; nothing else waits for it.

use super::{enter, python};
use crate::atoms;
use crate::request::Request;
use crate::term_env::{Sender, TermEnv};
use crate::watchdog;
use pyo3::prelude::*;
use rustler::Encoder;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

static POSTED: Mutex<Vec<Arc<Request>>> = Mutex::new(Vec::new());
static CHANGED: Condvar = Condvar::new();

/// Starts the thread. Once per VM, when the interpreter has started.
pub fn start() -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("py_interrupt".into())
        .stack_size(super::stack_size())
        .spawn(|| {
            let Some(sender) = Sender::own_thread() else {
                return;
            };
            let mut message = TermEnv::new();
            loop {
                for request in posted() {
                    interrupt(&request, sender, &mut message);
                }
            }
        })
        .map(drop)
}

/// Hands a cancelled request over. Never waits.
pub fn post(request: Arc<Request>) {
    POSTED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(request);
    CHANGED.notify_one();
}

fn posted() -> Vec<Arc<Request>> {
    let posted = POSTED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut posted = CHANGED
        .wait_while(posted, |posted| posted.is_empty())
        .unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *posted)
}

fn interrupt(request: &Arc<Request>, sender: Sender, message: &mut TermEnv) {
    if request.place().is_none() {
        return;
    }
    enter(|py, _| {
        let Some(place) = request.place() else { return };
        let Some(helpers) = python::helpers() else {
            return;
        };
        // The place first: once interrupted, Python is elsewhere.
        let location = helpers
            .location
            .bind(py)
            .call1((place.thread.ident(),))
            .and_then(|found| found.extract::<(String, i64, String, String)>());
        request.tell_location(sender, message, |env| match location {
            Ok(location) => (atoms::location(), location).encode(env),
            // In no Python code, but in a C function that was called directly.
            Err(_) => (atoms::location(), atoms::none()).encode(env),
        });
        if !place.thread.interrupt(request, helpers.interrupt.bind(py)) {
            // What its callbacks have asked for in turn is asked for by nobody any more.
            for nested in place.thread.nested_in(request) {
                if nested.answer(sender, message, |env| {
                    (atoms::error(), atoms::outer_ended()).encode(env)
                }) {
                    watchdog::watch(nested);
                }
            }
        }
    });
}
