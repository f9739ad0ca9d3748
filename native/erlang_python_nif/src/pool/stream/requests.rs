//! The requests by which a stream is filled and closed on its pool.

use super::Stream;
use super::state::{Phase, State, Waiter};
use crate::base::atoms;
use crate::base::flags::Flags;
use crate::base::lock::MutexGuard;
use crate::base::term_env::{SavedTerm, Sender, TermEnv};
use crate::pool::Submitted;
use crate::pool::request::Request;
use crate::pool::sink::Receiver;
use rustler::{Encoder, LocalPid};
use std::any::Any;
use std::sync::Arc;

/// Hands a request to one who waits for the consumer and runs what it asks for meanwhile. False if there is none.
pub type Nest<'n> = &'n dyn Fn(&Arc<Request>) -> bool;

/// What a stream asks its pool for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Fill,
    Close,
}

impl Stream {
    /// Hands in a request, to a body of a `with` that its consumer is in, if that is of this pool, or to
    /// the pool. `state` is idle and becomes filling. If it is refused, nobody is to wait
    /// for it: whoever would comes back.
    pub(super) fn submit(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        task: Task,
        nest: Nest<'_>,
        sender: Sender,
    ) -> Result<(), (Submitted, Option<Waiter>)> {
        let tag = match task {
            Task::Fill => atoms::fill(),
            Task::Close => atoms::close(),
        };
        let request = Request::of_receiver(
            Arc::clone(self) as _,
            self.leader.clone(),
            Arc::clone(&self.pool),
            tag,
            Flags::new(0),
        );
        request.pin_to(self.source.worker());
        state.phase = Phase::Filling;
        state.begun = None;
        let before = (
            state.filled.take(),
            state.request.replace(Arc::clone(&request)),
        );
        drop(state);
        drop(before);
        if nest(&request) {
            return Ok(());
        }
        let submitted = match task {
            Task::Fill => self.pool.submit(request, sender),
            // Closing has to happen, however long the queue is.
            Task::Close => self.pool.submit_anyway(request, sender),
        };
        if matches!(submitted, Submitted::Queued) {
            return Ok(());
        }
        let (waiter, _left) = {
            let mut state = self.lock();
            let left = state.abandon();
            (state.waiter.take(), left)
        };
        Err((submitted, waiter))
    }

    /// Sees to it that chunks are ready before they are asked for.
    pub fn prefetch(self: &Arc<Self>, sender: Sender) {
        let state = self.lock();
        let wanted = state.phase == Phase::Idle
            && !state.is_over()
            && !state.closing
            // Its thread is for the body of a `with` alone.
            && !self.pool.is_reserved()
            && state.ready.len() < self.limits.prefetch;
        if !wanted {
            return;
        }
        // Should the queue be full, the next demand asks again. One that came while this was being
        // refused is told.
        if let Err((refused, Some(waiter))) = self.submit(state, Task::Fill, &|_| false, sender) {
            let reason = match refused {
                Submitted::Overloaded => atoms::overloaded(),
                _ => atoms::closed(),
            };
            waiter.send(sender, &mut TermEnv::new(), |env| {
                (atoms::error(), reason).encode(env)
            });
        }
    }

    /// A request that was given up is over before it has begun.
    pub fn turned_down(&self, request: &Arc<Request>, sender: Sender) {
        // Dropped when the lock is free again.
        let _left;
        let mut state = self.lock();
        match &state.request {
            Some(current) if Arc::ptr_eq(current, request) => _left = state.abandon(),
            _ => return,
        }
        if state.closing && state.phase != Phase::Closed {
            self.source.release();
            self.closed(state, false, sender);
        }
    }

    /// Takes a part of a chunk, for the one who waits or for later. The request that fills it goes on.
    pub fn take_part(&self, sender: Sender, env: &mut TermEnv, answer: SavedTerm) {
        let waiter = {
            let mut state = self.lock();
            if state.phase == Phase::Closed || state.closing {
                return;
            }
            state.wanted = false;
            // Who is giving up waits for the place, or takes what is ready: see `cancel`.
            let waiter = if state.given_up {
                None
            } else {
                state.waiter.take()
            };
            if waiter.is_none() {
                state.ready.push_back((std::mem::take(env), answer));
            }
            waiter
        };
        if let Some(waiter) = waiter {
            waiter.send(sender, env, |env| answer.load(env));
        }
    }

    /// The end of a request, answered or not.
    fn settle(self: &Arc<Self>, request: &Arc<Request>, sender: Sender) {
        // Dropped when the lock is free again.
        let _left;
        let mut state = self.lock();
        match &state.request {
            Some(current) if Arc::ptr_eq(current, request) => _left = state.abandon(),
            // The consumer was quick and has asked for the next chunk: that request settles.
            Some(_) => return,
            None => {}
        }
        if !state.closing || state.phase == Phase::Closed {
            drop(state);
            return self.prefetch(sender);
        }
        if state.orphaned && !self.pool.pinned {
            state.closing = false;
            drop(state);
            return self.close_soon();
        }
        if state.phase == Phase::Idle {
            // By a request of its own: what a `finally` block does can take long, or for ever.
            match self.submit(state, Task::Close, &|_| false, sender) {
                Ok(()) => return,
                // There is no other worker any more.
                Err((_, waiter)) => {
                    self.source.close();
                    state = self.lock();
                    state.waiter = waiter;
                }
            }
        }
        self.closed(state, false, sender);
    }
}

impl Receiver for Stream {
    /// Takes the answer of a request, for the one who waits or for later.
    fn deliver(self: Arc<Self>, sender: Sender, env: &mut TermEnv, answer: SavedTerm) {
        // Dropped when the lock is free again.
        let _left;
        let mut state = self.lock();
        let began = state.begun.is_some() || state.phase == Phase::Closed;
        let running = state.is_running();
        if running {
            // The request is over when it settles. What it has made so far is given before the error.
            state.over = true;
            state.orphaned = true;
            if let Some(chunk) = state.take_filled() {
                state.ready.push_back(chunk.answer());
            }
        } else {
            _left = state.abandon();
        }
        if state.closing && state.phase != Phase::Closed {
            // `settle` sees to the closing, which answers.
            if running || began {
                return;
            }
            // There is nothing to settle, and no worker any more.
            self.source.release();
            self.closed(state, false, sender);
            return;
        }
        let waiter = state.waiter.take();
        if waiter.is_none() && state.phase == Phase::Closed {
            return;
        }
        state.ready.push_back((std::mem::take(env), answer));
        if let Some(waiter) = waiter
            && let Some((mut chunk, answer)) = state.ready.pop_front()
        {
            drop(state);
            waiter.send(sender, &mut chunk, |env| answer.load(env));
        }
    }

    fn tell(&self, sender: Sender, env: &mut TermEnv, location: SavedTerm) {
        let waiter = {
            let mut state = self.lock();
            // Who waits now may be waiting for the end.
            if state.closing {
                None
            } else {
                state.waiter.take()
            }
        };
        if let Some(waiter) = waiter {
            waiter.send(sender, env, |env| location.load(env));
        }
    }

    fn consumer(&self) -> Option<LocalPid> {
        self.consumer
    }
}

/// The end of a request, answered or not, if it is a stream's.
pub fn settle(request: &Arc<Request>, sender: Sender) {
    let Some(receiver) = request.receiver() else {
        return;
    };
    let receiver: Arc<dyn Any + Send + Sync> = Arc::clone(receiver) as _;
    if let Ok(stream) = receiver.downcast::<Stream>() {
        stream.settle(request, sender);
    }
}
