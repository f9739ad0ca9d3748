//! The requests of a callback, or of a body of a `with`, that others run.

use crate::base::atoms;
use crate::base::term_env::{Sender, TermEnv};
use crate::pool::request::Request;
use crate::pool::watch;
use rustler::Encoder;
use std::sync::{Arc, Weak};

#[derive(Default)]
pub struct Elsewhere {
    noted: Vec<Weak<Request>>,
    given_up: bool,
}

impl Elsewhere {
    /// One goes to the queue of a pool. False if the callback was given up: it is to be ended.
    #[must_use]
    pub fn note(&mut self, request: &Arc<Request>) -> bool {
        if self.given_up {
            return false;
        }
        // A callback may make any number, one after the other.
        const MANY: usize = 8;
        if self.noted.len() >= MANY {
            self.noted.retain(|request| request.strong_count() > 0);
        }
        self.noted.push(Arc::downgrade(request));
        true
    }

    /// Nobody waits for the callback any more, nor for what it has asked of others, or may still ask: its process
    /// goes on. Gives what is to be ended (`end_all`).
    #[must_use]
    pub fn give_up(&mut self) -> Vec<Weak<Request>> {
        self.given_up = true;
        std::mem::take(&mut self.noted)
    }

    pub fn is_given_up(&self) -> bool {
        self.given_up
    }
}

/// Ends those that a callback has asked for.
pub fn end_all(requests: &[Weak<Request>], sender: Sender) {
    for request in requests.iter().filter_map(Weak::upgrade) {
        end(request, sender, &mut TermEnv::new());
    }
}

/// Ends a request from what nobody waits for any more.
pub fn end(request: Arc<Request>, sender: Sender, message: &mut TermEnv) {
    let told = request.answer(sender, message, |env| {
        (atoms::error(), atoms::outer_ended()).encode(env)
    });
    if told {
        watch::watch(request);
    }
}
