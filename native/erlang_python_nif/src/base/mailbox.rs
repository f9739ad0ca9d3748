//! Messages from Elixir to Python code that runs: `Python.send` and `erlang.receive`.

use crate::base::lock::{self, Condvar, Mutex};
use crate::base::sleepers::{Limit, Wake};
use crate::base::term_env::{SavedTerm, TermEnv};
use rustler::Term;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// A context's mailbox, or a request's. First in, first out.
#[derive(Default)]
pub struct Mailbox {
    messages: Mutex<VecDeque<(TermEnv, SavedTerm)>>,
    /// Something was put there, ever.
    used: AtomicBool,
    changed: Condvar,
}

pub enum Received {
    Message(TermEnv, SavedTerm),
    TimedOut,
    GivenUp,
}

impl Mailbox {
    pub fn put(&self, message: Term<'_>) {
        let env = TermEnv::new();
        let saved = env.copy(message);
        self.used.store(true, Ordering::Relaxed);
        let mut messages = self.messages.lock();
        messages.push_back((env, saved));
        drop(messages);
        self.changed.notify_one();
    }

    /// What has come, without waiting.
    pub fn take_now(&self) -> Option<(TermEnv, SavedTerm)> {
        self.messages.lock().pop_front()
    }

    /// Whether there may be something that was put there before, without a lock: it may miss what is being put.
    pub fn may_have_some(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.messages.lock().is_empty()
    }

    /// Waits for a message, until the deadline if there is one, and as long as `limit` allows. When that changes,
    /// the mailbox is to be woken.
    pub fn take(&self, deadline: Option<Instant>, limit: impl Fn() -> Limit) -> Received {
        lock::forbid("a message is waited for");
        let mut messages = self.messages.lock();
        loop {
            if let Some((env, message)) = messages.pop_front() {
                return Received::Message(env, message);
            }
            let until = match limit() {
                Limit::Over => return Received::GivenUp,
                Limit::At(limit) => Some(deadline.map_or(limit, |deadline| deadline.min(limit))),
                Limit::Open => deadline,
            };
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Received::TimedOut;
            }
            messages = self.changed.wait_until(messages, until);
        }
    }
}

impl Wake for Mailbox {
    fn wake(&self) {
        // A thread that has looked and does not sleep yet holds the lock.
        drop(self.messages.lock());
        self.changed.notify_all();
    }
}
