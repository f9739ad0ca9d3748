//! What a stream is at, and what it holds for its consumer.

use crate::base::atoms;
use crate::base::term_env::{SavedTerm, Sender, TermEnv};
use crate::pool::request::Request;
use rustler::{Encoder, Env, LocalPid, Term};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

#[derive(Default)]
pub struct State {
    pub phase: Phase,
    /// What the request that fills a chunk has found out. It counts when that is delivered: until
    /// then the consumer is to wait.
    pub found: Found,
    /// It failed: no further item is asked for.
    pub over: bool,
    /// Its consumer waits no more: no further item is asked for.
    pub given_up: bool,
    /// Its worker or its pool was ended while it was being filled, and it was answered for that. What
    /// comes next is left to the clock: the VM sends nothing for a process that has ended.
    pub orphaned: bool,
    /// It is to be closed as soon as the request that fills it is over.
    pub closing: bool,
    /// Since when the chunk is being filled.
    pub begun: Option<Instant>,
    /// How many chunks were begun.
    pub chunks: u32,
    /// Its consumer has asked for what there is of it, and found nothing.
    pub wanted: bool,
    /// What has been filled in so far.
    pub filled: Option<Chunk>,
    pub ready: VecDeque<(TermEnv, SavedTerm)>,
    /// Who waits for the next chunk, or for the end.
    pub waiter: Option<Waiter>,
    pub request: Option<Arc<Request>>,
}

/// What a request leaves behind.
#[must_use]
pub struct Left {
    _request: Option<Arc<Request>>,
    _filled: Option<Chunk>,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
pub enum Phase {
    #[default]
    Idle,
    /// A request is filling a chunk, or waits to.
    Filling,
    /// The iterator came to its end and is gone; only ready chunks are left.
    Ended,
    Closed,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
pub enum Found {
    #[default]
    More,
    /// The iterator has come to its end.
    End,
    /// The iterator has failed.
    Failure,
}

/// Items in an environment of their own.
#[derive(Default)]
pub struct Chunk {
    pub env: TermEnv,
    pub items: Vec<SavedTerm>,
}

/// A demand that has not been met: who, and the reference that the answer is to bear.
pub struct Waiter {
    pid: LocalPid,
    env: TermEnv,
    reference: SavedTerm,
}

impl State {
    /// Whether Python still is at it, answered or not.
    pub fn is_running(&self) -> bool {
        self.request
            .as_ref()
            .is_some_and(|request| request.place().is_some())
    }

    /// Whether no further item is asked for.
    pub fn is_over(&self) -> bool {
        self.over || self.given_up
    }

    /// What there is of an unfinished chunk, if there is anything.
    pub fn take_filled(&mut self) -> Option<Chunk> {
        self.filled.take_if(|chunk| !chunk.items.is_empty())
    }

    /// The request is over, or will never run. What it leaves is to be dropped without the lock.
    pub fn abandon(&mut self) -> Left {
        let left = Left {
            _request: self.request.take(),
            _filled: self.filled.take(),
        };
        self.begun = None;
        self.wanted = false;
        self.over |= self.found == Found::Failure;
        if self.phase == Phase::Filling {
            self.phase = if self.found == Found::End {
                Phase::Ended
            } else {
                Phase::Idle
            };
        }
        left
    }
}

impl Waiter {
    pub fn new(pid: LocalPid, reference: Term<'_>) -> Self {
        let own = TermEnv::new();
        let reference = own.copy(reference);
        Waiter {
            pid,
            env: own,
            reference,
        }
    }

    pub fn send(
        self,
        sender: Sender,
        env: &mut TermEnv,
        build: impl for<'a> FnOnce(Env<'a>) -> Term<'a>,
    ) {
        env.send(sender, &self.pid, |env| {
            let reference = self.env.term(self.reference).in_env(env);
            (reference, build(env)).encode(env)
        });
    }
}

impl Chunk {
    /// `{:ok, {:more, items}}`
    pub fn answer(self) -> (TermEnv, SavedTerm) {
        let answer = {
            let env = self.env.env();
            SavedTerm::save((atoms::ok(), (atoms::more(), self.list(env))).encode(env))
        };
        (self.env, answer)
    }

    /// The items; `env` is its own.
    pub fn list<'a>(&self, env: Env<'a>) -> Term<'a> {
        SavedTerm::list(&self.items, env)
    }
}
