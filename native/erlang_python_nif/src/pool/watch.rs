//! What becomes of requests that are to end and do not.
//!
//! A request that was given up while it runs is interrupted at once. If it still runs `GRACE` after that, its
//! worker is given up and the pool told to replace it. Not before: as long as the GIL cannot be had, another
//! worker could not have it either, and with one more thread to compete for it everything would be slower
//! still. The interrupt is repeated while the request runs: Python code may have caught it.

use crate::base::atoms;
use crate::base::clock::{self, Limit, Limited};
use crate::base::side;
use crate::base::term_env::{Sender, TermEnv};
use crate::pool::request::{Progress, Request};
use rustler::Encoder;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long an interrupted request may take to end before its worker is replaced.
const GRACE: Duration = Duration::from_millis(20);

/// How long a request may take to end after the process of its worker has died. What was begun that very
/// moment, or was about to end, need not fail.
const ORPHANED: Duration = Duration::from_millis(20);

/// How long `finally` blocks have before the next interrupt.
pub const AGAIN: Duration = Duration::from_secs(1);

/// Interrupts a request that was cancelled or answered while it ran, and sees to its worker. Never waits.
pub fn watch(request: Arc<Request>) {
    request.pool.engine.interrupt(Arc::clone(&request));
    clock::after(AGAIN, move |sender, message| {
        request.place()?;
        // Should the interrupting thread be stuck itself.
        replace(&request, sender, message);
        request.pool.engine.interrupt(Arc::clone(&request));
        Some(AGAIN)
    });
}

/// Looks whether a request ends, now that an interrupt was aimed at it.
pub fn tried(request: Arc<Request>) {
    clock::after(GRACE, move |sender, message| {
        replace(&request, sender, message);
        None
    });
}

/// Answers a request whose worker's process has died, if it goes on all the same.
pub fn orphaned(request: Arc<Request>) {
    clock::after(ORPHANED, move |sender, message| {
        let answered = request.answer(sender, message, |env| {
            (atoms::error(), atoms::worker_down()).encode(env)
        });
        if answered {
            watch(Arc::clone(&request));
        }
        None
    });
}

/// Answers a request with a timeout if nothing else has within so many ms. For requests whose
/// caller is not waiting, and so cannot look at the clock itself.
pub fn limit(request: &Arc<Request>, timeout: u64) {
    set(
        request,
        Duration::from_millis(timeout),
        Limit::Answer(timeout),
    );
}

/// Gives a request up if it is not over within so many ms, without a word to its caller, who is not
/// waiting and will see.
pub fn expire(request: &Arc<Request>, timeout: u64) {
    set(request, Duration::from_millis(timeout), Limit::GiveUp);
}

/// Cancels a request that is not over by then.
pub fn give_up_later(request: &Arc<Request>, patience: Duration) {
    set(request, patience, Limit::Cancel);
}

fn set(request: &Arc<Request>, time: Duration, limit: Limit) {
    let request = Arc::downgrade(request);
    clock::limit(request, time, limit);
}

impl Limited for Request {
    fn is_pending(&self) -> bool {
        Request::is_pending(self)
    }

    fn expire(self: Arc<Self>, limit: Limit, sender: Sender, message: &mut TermEnv) {
        let timed_out = match limit {
            Limit::Answer(timeout) => {
                let running = self.place().is_some();
                let told = self.answer(sender, message, |env| {
                    (atoms::error(), (atoms::timed_out(), timeout, running)).encode(env)
                });
                if told {
                    watch(Arc::clone(&self));
                }
                told
            }
            Limit::GiveUp => self.cancel(false) != Progress::Answered,
            Limit::Cancel => {
                self.cancel(false);
                false
            }
        };
        if timed_out {
            let stats = &self.pool.stats;
            stats.timed_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Gives up the worker that is still at a cancelled request.
fn replace(request: &Arc<Request>, sender: Sender, message: &mut TermEnv) {
    let Some(place) = request.place() else { return };
    if request.pool.engine.outlived(request) {
        request.pool.count_stuck(request);
    }
    // A context is its thread: it can only be waited for. A process of Python's own is ended as a whole.
    if request.pool.pinned || side::is_worker() || !request.pool.engine.leaves_workers() {
        return;
    }
    if place.worker.stop_if_running(request) {
        request.pool.remove(&place.worker, sender);
        message.send(sender, &request.pool.owner, |env| {
            (atoms::worker_stuck(), place.worker.id).encode(env)
        });
    }
}
