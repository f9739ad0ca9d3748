//! The requests of a callback, or of a body of a `with`, that others run.

use crate::base::atoms;
use crate::base::term_env::{Sender, TermEnv};
use crate::pool::request::Request;
use crate::pool::watch;
use rustler::Encoder;
use std::sync::{Arc, Weak};

#[derive(Default)]
pub struct Elsewhere(Vec<Weak<Request>>);

impl Elsewhere {
    /// One goes to the queue of a pool.
    pub fn note(&mut self, request: &Arc<Request>) {
        // A callback may make any number, one after the other.
        const MANY: usize = 8;
        if self.0.len() >= MANY {
            self.0.retain(|request| request.strong_count() > 0);
        }
        self.0.push(Arc::downgrade(request));
    }

    /// Nobody waits for the callback any more, nor for what it has asked of others.
    pub fn end(self, sender: Sender) {
        for request in self.0.iter().filter_map(Weak::upgrade) {
            end(request, sender, &mut TermEnv::new());
        }
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
