//! What the consumer's process asks of a stream: chunks, and its end.

use super::Stream;
use super::requests::{Nest, Task};
use super::state::{Phase, State, Waiter};
use crate::base::atoms;
use crate::base::lock::MutexGuard;
use crate::base::term_env::{Sender, TermEnv};
use crate::pool::Submitted;
use crate::pool::queue::Start;
use crate::pool::request::Progress;
use crate::pool::watch;
use rustler::{Encoder, Env, LocalPid, Term};
use std::sync::Arc;
use std::time::Duration;

/// How long a generator may take to its next `yield` before it is interrupted to be closed.
const PATIENCE: Duration = Duration::from_millis(100);

/// What a consumer is told at once.
pub enum Demanded {
    /// The chunk is in its mailbox, or will be.
    Coming,
    /// There are no more.
    Ended,
    Refused(Submitted),
}

/// What came of asking for an unfinished chunk.
pub enum Flushed {
    /// It is in the mailbox.
    Sent,
    /// The chunk has not been filled for `max_wait` yet.
    Early,
    /// There is no item yet. The next one will be sent as soon as it is made.
    Empty,
}

impl Stream {
    /// `{reference, answer}` is to be sent to `pid`.
    pub fn demand(
        self: &Arc<Self>,
        pid: LocalPid,
        reference: Term<'_>,
        nest: Nest<'_>,
        sender: Sender,
    ) -> Demanded {
        // Dropped when the lock is free again.
        let _before;
        let mut state = self.lock();
        if let Some((mut chunk, answer)) = state.ready.pop_front() {
            drop(state);
            chunk.send(sender, &pid, |chunk| {
                (reference.in_env(chunk), answer.load(chunk)).encode(chunk)
            });
            self.prefetch(sender);
            return Demanded::Coming;
        }
        match state.phase {
            _ if state.is_over() => Demanded::Ended,
            Phase::Ended | Phase::Closed => Demanded::Ended,
            Phase::Filling => {
                _before = state.waiter.replace(Waiter::new(pid, reference));
                Demanded::Coming
            }
            Phase::Idle => {
                _before = state.waiter.replace(Waiter::new(pid, reference));
                match self.submit(state, Task::Fill, nest, sender) {
                    Ok(()) => Demanded::Coming,
                    Err((refused, _waiter)) => Demanded::Refused(refused),
                }
            }
        }
    }

    /// Sends what there is of a chunk that is long in the making.
    pub fn flush(&self, sender: Sender) -> Flushed {
        let mut state = self.lock();
        // Who waits for the end does not wait for items.
        if state.waiter.is_none() || state.given_up || state.closing {
            return Flushed::Sent;
        }
        match state.begun {
            Some(begun) if begun.elapsed() >= self.limits.max_wait => {}
            _ => return Flushed::Early,
        }
        let Some(chunk) = state.take_filled() else {
            state.wanted = true;
            drop(state);
            self.source.flush();
            return Flushed::Empty;
        };
        let waiter = state.waiter.take();
        drop(state);
        if let Some(waiter) = waiter {
            let (mut env, answer) = chunk.answer();
            waiter.send(sender, &mut env, |env| answer.load(env));
        }
        Flushed::Sent
    }

    /// Gives up the chunk that is waited for. As `Request::cancel`; the place is told to the one
    /// who waits.
    pub fn cancel(self: &Arc<Self>) -> Progress {
        let request = {
            let mut state = self.lock();
            if state.waiter.is_none() {
                // It has been sent. The request that there may be is the next one's.
                return Progress::Answered;
            }
            // Now, or a request that ends this moment is followed by another.
            state.given_up = true;
            state.request.clone()
        };
        let progress = request.map_or(Progress::Answered, |request| request.cancel(true));
        match progress {
            Progress::Queued => drop(self.abandon()),
            Progress::Running => {}
            Progress::Answered => self.lock().given_up = false,
        }
        progress
    }

    /// The one who waits does so no more. False if something is in its mailbox, or about to be.
    pub fn stop_listening(&self) -> bool {
        let waiter = self.lock().waiter.take();
        waiter.is_some()
    }

    /// Closes the iterator, or sees to it that it is closed. True if it is already; otherwise
    /// `{reference, {:ok, :closed}}` is sent to `waiter` when it has been. Without one, whoever waits
    /// already is told.
    pub fn close(self: &Arc<Self>, waiter: Option<Waiter>, nest: Nest<'_>, sender: Sender) -> bool {
        let asked = waiter.is_some();
        // Dropped when the lock is free again.
        let (_before, _ready, _left);
        let mut state = self.lock();
        if asked {
            _before = std::mem::replace(&mut state.waiter, waiter);
        }
        _ready = std::mem::take(&mut state.ready);
        if state.phase == Phase::Closed || state.phase == Phase::Ended {
            return self.closed(state, asked, sender);
        }
        if state.closing {
            return false;
        }
        state.closing = true;
        if let Some(request) = state.request.clone() {
            drop(state);
            // In the queue it only is in the way. Should it begin this moment, it is interrupted.
            if !request.is_waiting() || request.cancel(false) != Progress::Queued {
                // Between two items it closes by itself. If it is not there soon, it is interrupted.
                watch::give_up_later(&request, PATIENCE);
                return false;
            }
            state = self.lock();
            _left = state.abandon();
        }
        match self.submit(state, Task::Close, nest, sender) {
            Ok(()) => false,
            // There are no workers any more.
            Err((_, waiter)) => {
                self.source.release();
                let mut state = self.lock();
                state.waiter = waiter;
                self.closed(state, asked, sender)
            }
        }
    }

    /// Interrupts what closes it. What has not begun to will not: then the iterator is given up.
    pub fn interrupt_closing(&self, sender: Sender) {
        let request = self.lock().request.clone();
        if let Some(request) = request
            && request.cancel(false) == Progress::Queued
        {
            self.turned_down(&request, sender);
        }
    }

    /// It is closed: whoever waits knows (`told`) or is told.
    pub(super) fn closed(
        &self,
        mut state: MutexGuard<'_, State>,
        told: bool,
        sender: Sender,
    ) -> bool {
        state.phase = Phase::Closed;
        let waiter = state.waiter.take();
        drop(state);
        if let (Some(waiter), false) = (waiter, told) {
            waiter.send(sender, &mut TermEnv::new(), closed);
        }
        true
    }
}

pub fn closed(env: Env<'_>) -> Term<'_> {
    (atoms::ok(), atoms::closed()).encode(env)
}
