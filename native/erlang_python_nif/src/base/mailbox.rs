//! Messages from Elixir to Python code that runs: `Python.send` and `erlang.receive`.

use crate::base::lock::{self, Condvar, Mutex};
use crate::base::term_env::{SavedTerm, TermEnv};
use rustler::Term;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A context's mailbox, or a request's. First in, first out.
#[derive(Default)]
pub struct Mailbox {
    messages: Mutex<VecDeque<(TermEnv, SavedTerm)>>,
    changed: Condvar,
}

/// How long a wait goes on, at most, before it is looked whether anybody still needs it.
const LOOK: Duration = Duration::from_millis(20);

pub enum Received {
    Message(TermEnv, SavedTerm),
    TimedOut,
    GivenUp,
}

impl Mailbox {
    pub fn put(&self, message: Term<'_>) {
        let env = TermEnv::new();
        let saved = env.copy(message);
        let mut messages = self.messages.lock();
        messages.push_back((env, saved));
        drop(messages);
        self.changed.notify_one();
    }

    /// Waits for a message, until the deadline if there is one, or until `given_up`.
    pub fn take(&self, deadline: Option<Instant>, given_up: impl Fn() -> bool) -> Received {
        lock::forbid("a message is waited for");
        let mut messages = self.messages.lock();
        loop {
            if let Some((env, message)) = messages.pop_front() {
                return Received::Message(env, message);
            }
            if given_up() {
                return Received::GivenUp;
            }
            let left = match deadline {
                None => LOOK,
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            };
            if left.is_zero() {
                return Received::TimedOut;
            }
            messages = self.changed.wait_timeout(messages, left.min(LOOK));
        }
    }
}
