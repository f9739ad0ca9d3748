//! Where an answer goes, and the terms that it refers to.

use crate::base::lock::Mutex;
use crate::base::term_env::{SavedTerm, Sender, TermEnv};
use rustler::{Encoder, Env, LocalPid, Term};
use std::any::Any;
use std::sync::Arc;

/// Where the answer goes.
pub enum Sink {
    /// To a process, as a message with this reference, which is a term of the body.
    Caller(LocalPid, SavedTerm),
    /// To a stream, for whoever demands the next chunk.
    Receiver(Arc<dyn Receiver>),
    /// To the process that runs it itself, as what the native function returns. If others answer,
    /// their answer waits here.
    Here(LocalPid, Mutex<Option<(TermEnv, SavedTerm)>>),
}

/// A stream, for its requests.
pub trait Receiver: Any + Send + Sync {
    /// Takes the answer, a term of this environment.
    fn deliver(self: Arc<Self>, sender: Sender, env: &mut TermEnv, answer: SavedTerm);

    /// Tells whoever waits where Python was: a term of this environment.
    fn tell(&self, sender: Sender, env: &mut TermEnv, location: SavedTerm);

    /// The process that asks for the answers.
    fn consumer(&self) -> Option<LocalPid>;
}

impl Sink {
    /// The process that the answer is for.
    pub fn caller(&self) -> Option<LocalPid> {
        match self {
            Sink::Caller(pid, _) | Sink::Here(pid, _) => Some(*pid),
            Sink::Receiver(receiver) => receiver.consumer(),
        }
    }
}

/// The terms of a request, freed as soon as it is over.
pub struct Body {
    env: TermEnv,
    operation: SavedTerm,
}

// SAFETY: only the thread that runs the request uses the environment (`operation`). All others
// read the reference, an immutable term in it, to copy it elsewhere (`send`).
unsafe impl Sync for Body {}

impl Body {
    /// `operation`: a term of the environment.
    pub fn new(env: TermEnv, operation: SavedTerm) -> Arc<Self> {
        Arc::new(Body { env, operation })
    }

    /// What is asked of Python. For the thread that runs the request.
    pub fn operation(&self) -> Term<'_> {
        self.env.term(self.operation)
    }

    /// Another term of it, to be read.
    pub fn term(&self, saved: SavedTerm) -> Term<'_> {
        self.env.term(saved)
    }

    /// Sends `{reference, answer}`. `reference`: one of its terms.
    pub fn send(
        &self,
        reference: SavedTerm,
        to: &LocalPid,
        sender: Sender,
        env: &mut TermEnv,
        build: impl for<'a> FnOnce(Env<'a>) -> Term<'a>,
    ) {
        env.send(sender, to, |env| {
            let reference = self.env.term(reference).in_env(env);
            (reference, build(env)).encode(env)
        });
    }
}
