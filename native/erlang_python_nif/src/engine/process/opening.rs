//! The way of a worker from its start to its first request, and what is done if it does not get there.

use super::link::{Killed, Link, Stage};
use super::own::Process;
use super::run;
use super::sent::Sent;
use super::turns;
use crate::base::atoms;
use crate::base::flags::Flags;
use crate::base::term_env::{OwnedTerm, SavedTerm, Sender, TermEnv};
use crate::pool::queue::Start;
use crate::pool::request::Request;
use crate::pool::sink::Receiver;
use rustler::LocalPid;
use std::sync::{Arc, Weak};

/// The package is imported: the `:init` is next, if there is one.
pub fn ready(link: &Arc<Link>, sender: Sender) {
    if link.wear.is_template {
        link.advance(Stage::Ready);
        return turns::ready(link, sender);
    }
    let init = Process::of(&link.pool).and_then(|process| process.init.as_ref());
    let Some((operation, leader)) = init else {
        return turns::ready(link, sender);
    };
    if !link.advance(Stage::Opening) {
        return;
    }
    let receiver: Arc<dyn Receiver> = Arc::new(Init(Arc::downgrade(link)));
    let request = Request::of_receiver(
        receiver,
        leader.clone(),
        Arc::clone(&link.pool),
        atoms::exec(),
        Flags::new(Flags::INIT),
    );
    let env = TermEnv::new();
    let sent = Sent::encode(operation.in_env(env.env()));
    request.keep_prepared(Box::new(sent));
    if request.start() {
        run::run(link, &request, 0, sender);
    }
}

/// It cannot start. What follows is the end of its process.
pub fn fail(link: &Arc<Link>, reason: OwnedTerm) {
    if link.stage() < Stage::Ready {
        link.set_reason(reason);
        link.kill(Killed::Late);
    }
}

/// What the `:init` is for.
struct Init(Weak<Link>);

impl Receiver for Init {
    fn deliver(self: Arc<Self>, sender: Sender, env: &mut TermEnv, answer: SavedTerm) {
        let Some(link) = self.0.upgrade() else { return };
        let answer = env.term(answer);
        match answer.decode::<(rustler::Atom, rustler::Term)>() {
            Ok((tag, reason)) if tag == atoms::error() => fail(&link, OwnedTerm::new(reason)),
            _ => turns::ready(&link, sender),
        }
    }

    fn tell(&self, _sender: Sender, _env: &mut TermEnv, _location: SavedTerm) {}

    fn consumer(&self) -> Option<LocalPid> {
        None
    }
}
