//! The process that looks after a worker.

use super::link::Link;
use crate::base::term_env::{SavedTerm, Sender, TermEnv};

/// Sends something to the process that looks after the worker.
pub fn tell(link: &Link, sender: Sender, build: impl FnOnce(&TermEnv) -> SavedTerm) {
    let mut message = TermEnv::new();
    let term = build(&message);
    message.send(sender, &link.owner, |env| term.load(env));
}
