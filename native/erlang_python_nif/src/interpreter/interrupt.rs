//! The thread that raises `erlang.Interrupt` in requests that nobody waits for any more.
//!
//! It may wait for the GIL as long as it takes; nothing else waits for it.
//!
//! An exception out of the blue leaves a lock locked if it strikes after the lock was taken and
//! before the `try` that gives it back is reached. For a lock of a script's own that is the script's
//! loss. For those of imports, of `logging` and of conditions (so of `queue`) it would be everybody's,
//! for good: threads are not interrupted in their code, or elsewhere where `delicate.rs` says so.

use super::delicate::is_delicate;
use super::{enter, python};
use crate::atoms;
use crate::request::{Place, Request};
use crate::term_env::{Sender, TermEnv};
use crate::watchdog;
use pyo3::prelude::*;
use rustler::Encoder;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When to look again at a thread that is not to be interrupted where it is. It may be there most of
/// the time, so this is often enough to meet it elsewhere. It may wait there for long: each look takes
/// twice as long to come as the one before, up to the second.
const SOON: Duration = Duration::from_millis(1);
const LATER: Duration = Duration::from_millis(8);

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
            let mut aims: Vec<Aim> = Vec::new();
            loop {
                for request in posted(aims.iter().map(|aim| aim.due).min()) {
                    aims.retain(|aim| !Arc::ptr_eq(&aim.request, &request));
                    aims.push(Aim::new(request));
                }
                let now = Instant::now();
                aims.retain(|aim| aim.request.place().is_some());
                if aims.iter().any(|aim| aim.due <= now) {
                    // All at once: where many threads compete for the GIL, it takes long to get.
                    enter(|py, _| {
                        aims.retain_mut(|aim| {
                            aim.due > now || !aim.strike(py, sender, &mut message)
                        });
                    });
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

/// Waits for requests, until then at most.
fn posted(until: Option<Instant>) -> Vec<Arc<Request>> {
    let posted = POSTED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut posted = match until {
        Some(due) => {
            let left = due.saturating_duration_since(Instant::now());
            CHANGED
                .wait_timeout_while(posted, left, |posted| posted.is_empty())
                .unwrap_or_else(PoisonError::into_inner)
                .0
        }
        None => CHANGED
            .wait_while(posted, |posted| posted.is_empty())
            .unwrap_or_else(PoisonError::into_inner),
    };
    std::mem::take(&mut *posted)
}

/// A request that is to be interrupted, and when.
struct Aim {
    request: Arc<Request>,
    due: Instant,
    delay: Duration,
}

impl Aim {
    fn new(request: Arc<Request>) -> Self {
        Aim {
            request,
            due: Instant::now(),
            delay: SOON,
        }
    }

    /// Interrupts the request. False if it is to be tried again.
    fn strike(&mut self, py: Python<'_>, sender: Sender, message: &mut TermEnv) -> bool {
        let first = self.delay == SOON;
        let Some(place) = self.request.place() else {
            return true;
        };
        let struck = interrupt(py, &self.request, place, first, sender, message);
        if first {
            watchdog::tried(Arc::clone(&self.request));
        }
        if !struck {
            self.due = Instant::now() + self.delay;
            self.delay = LATER.min(self.delay * 2);
        }
        struck
    }
}

/// False if its thread is where it should not be interrupted.
fn interrupt(
    py: Python<'_>,
    request: &Arc<Request>,
    place: &Place,
    first: bool,
    sender: Sender,
    message: &mut TermEnv,
) -> bool {
    let Some(helpers) = python::helpers() else {
        return true;
    };
    // The place first: once interrupted, Python is elsewhere.
    if first {
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
    }
    // From the look to the interrupt no Python code runs, so the GIL stays here and the thread
    // where it is.
    if is_delicate(py, helpers, &place.thread) {
        return false;
    }
    if !place.thread.interrupt(request, helpers.interrupt.bind(py)) {
        // What its callbacks have asked for in turn is asked for by nobody any more.
        for nested in place.thread.nested_in(py, request) {
            if nested.answer(sender, message, |env| {
                (atoms::error(), atoms::outer_ended()).encode(env)
            }) {
                watchdog::watch(nested);
            }
        }
    }
    true
}
