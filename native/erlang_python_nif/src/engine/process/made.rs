//! Answers with large maps, which only a thread of the VM's own makes fast: the process that looks after the worker has
//! it done by one.

use super::incoming;
use super::leaf;
use super::link::{Link, Unmade};
use super::over;
use super::owner;
use super::run::Ending;
use crate::base::atoms;
use crate::base::term_env::{SavedTerm, Sender, TermEnv};
use rustler::{Encoder, Term};
use std::sync::Arc;

/// Leaves an answer to the process that looks after the worker.
pub fn leave(link: &Arc<Link>, unmade: Unmade, sender: Sender) {
    link.leave(unmade);
    owner::tell(link, sender, |message| {
        SavedTerm::save((atoms::python_process(), atoms::make()).encode(message.env()))
    });
}

/// Makes what was left, and answers the requests. On a scheduler.
pub fn make(link: &Arc<Link>, sender: Sender) {
    while let Some(unmade) = link.take_left() {
        let env = TermEnv::new();
        let made = leaf::from_external(env.env(), &unmade.bytes);
        // SAFETY: made in this environment.
        let made = made.map(|term| SavedTerm::save(unsafe { Term::new(env.env(), term) }));
        let (answer, failed) = match made {
            Ok(answer) => (answer, false),
            Err(broken) => {
                over::broken(link, broken, sender);
                let reason = over::reason(link, env.env());
                (SavedTerm::save(env.env().error_tuple(reason)), true)
            }
        };
        let ending = Ending::Answer(env, answer, failed);
        incoming::settle(link, &unmade.request, ending, sender);
    }
}
