//! The end of a request that ran in an event loop: its answer.

use crate::base::term_env::{Sender, TermEnv};
use crate::engine::asyncio::blocked;
use crate::engine::asyncio::event_loop::Loop;
use crate::engine::main::answer::Outcome;
use crate::engine::main::drain;
use crate::engine::main::kept;
use crate::engine::main::outbox;
use crate::engine::main::output;
use crate::engine::main::runner::Runner;
use crate::engine::main::seat;
use crate::pool::Worker;
use crate::pool::request::Request;
use crate::pool::sink::Body;
use crate::pool::stats::Counted;
use crate::pool::stream;
use crate::python::object::Watch;
use pyo3::Python;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A request whose work is done.
struct Ended(Flight, Option<Outcome>, Sender);

// SAFETY: made and used on the thread of the loop, and without references of Python's. The sender is that of a thread of our
// own.
unsafe impl Send for Ended {}

/// A request that runs.
pub struct Flight {
    pub request: Arc<Request>,
    pub body: Arc<Body>,
    pub own: Arc<Loop>,
    pub worker: Arc<Worker>,
    /// The objects whose handles it was given, until its coroutine has ended.
    pub given: Vec<Arc<Watch>>,
}

impl Flight {
    pub fn begin(request: &Arc<Request>, own: &Arc<Loop>, worker: &Arc<Worker>) -> Option<Self> {
        let Some(body) = request.body() else {
            request.pool.ended();
            return None;
        };
        worker.begin_beside(request);
        // It may have been woken for something else.
        blocked::watch(own);
        let busy = &request.pool.stats.busy;
        busy.fetch_add(1, Ordering::SeqCst);
        Some(Flight {
            request: Arc::clone(request),
            body,
            own: Arc::clone(own),
            worker: Arc::clone(worker),
            given: Vec::new(),
        })
    }

    /// The end of its work: its answer, when what it has printed is written. The loop goes on meanwhile.
    pub fn end(
        self,
        py: Python<'_>,
        runner: &Runner,
        mut outcome: Option<Outcome>,
        reply: &mut TermEnv,
        sender: Sender,
    ) {
        output::finish(py);
        let outbox = outbox::of(&self.request);
        let Some(outbox) = outbox.filter(|_| outcome.is_some() && !self.request.is_over()) else {
            self.land(py, runner);
            self.answer(outcome, reply, sender);
            return;
        };
        // Its references are not for the time after that.
        if let Some(outcome) = &mut outcome {
            drop(std::mem::take(&mut outcome.leftovers));
        }
        // Nothing of it is to be interrupted any more.
        runner.end(py, &self.request);
        self.own.forget(py, &self.request);
        let mut reply = std::mem::take(reply);
        let ended = Ended(self, outcome, sender);
        let end = outbox.at_end(Box::new(move |py| {
            let ended = ended;
            let Ended(flight, outcome, sender) = ended;
            if let Some(running) = seat::running() {
                flight.land(py, &running.runner);
            }
            flight.answer(outcome, &mut reply, sender);
        }));
        if let Some(end) = end {
            end(py);
        }
    }

    /// It runs no more: nothing of it can be interrupted or cancelled.
    fn land(&self, py: Python<'_>, runner: &Runner) {
        if let Some(functions) = kept::functions(&self.request) {
            functions.end(py, &self.request);
        }
        runner.end(py, &self.request);
        self.own.forget(py, &self.request);
        self.leave();
    }

    fn leave(&self) {
        self.request.leave();
        self.worker.end_beside(&self.request);
        self.request.pool.ended();
        self.own.expect();
        if self.own.hold.is_lost() {
            // That may have been its last one.
            self.own.ring();
        }
    }

    /// Answers, after `land`. None: it was given up before its work was done.
    fn answer(self, outcome: Option<Outcome>, reply: &mut TermEnv, sender: Sender) {
        let request = &self.request;
        let busy = Counted::added(&request.pool.stats.busy);
        let answered = outcome.is_some_and(|outcome| {
            drain::answer(
                request,
                Arc::clone(&self.body),
                outcome,
                busy,
                reply,
                sender,
            )
        });
        if !answered {
            request.done(&self.body);
        }
        drop(self.body);
        request.forget_body();
        if request.receiver().is_some() {
            reply.clear();
            stream::settle(request, sender);
        }
    }
}
