//! `exec`: a request that every worker of a pool runs.
//!
//! The caller's request is in no queue. Each worker has one of its own, and the last answer of these is the
//! caller's, unless there was an error before.

use super::own::Process;
use super::sent::Sent;
use crate::base::atoms;
use crate::base::lock::Mutex;
use crate::base::term_env::{OwnedTerm, SavedTerm, Sender, TermEnv};
use crate::pool::Submitted;
use crate::pool::queue::Start;
use crate::pool::request::Request;
use crate::pool::sink::Receiver;
use rustler::{Atom, LocalPid, Term};
use std::sync::{Arc, Weak};

pub struct Everywhere {
    request: Weak<Request>,
    caller: Option<LocalPid>,
    /// Held for a move.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many have not answered yet.
    left: usize,
    error: Option<OwnedTerm>,
    /// A worker has run it.
    ran: bool,
    own: Vec<Arc<Request>>,
}

/// Hands a request in to all workers. `nest`: to a worker that waits for the process which asks, if there is one.
/// None if there are not two of them: then it is a request like any other.
pub fn hand_in(
    request: &Arc<Request>,
    sent: &Sent,
    nest: &dyn Fn(&Arc<Request>) -> bool,
    sender: Sender,
) -> Option<Submitted> {
    let pool = &request.pool;
    let links = Process::of(pool)?.hopes();
    if links.len() < 2 {
        return None;
    }
    let everywhere = Arc::new(Everywhere {
        request: Arc::downgrade(request),
        caller: request.caller(),
        state: Mutex::new(State {
            left: links.len(),
            error: None,
            ran: false,
            own: Vec::new(),
        }),
    });
    let own = links.iter().filter_map(|link| {
        let receiver: Arc<dyn Receiver> = Arc::clone(&everywhere) as _;
        let own = Request::of_receiver(
            receiver,
            request.leader(),
            Arc::clone(pool),
            atoms::exec(),
            request.flags,
        );
        own.keep_prepared(Box::new(sent.again()?));
        own.pin_to(link.worker.id);
        own.set_outer(Arc::clone(request));
        Some(own)
    });
    let own: Vec<_> = own.collect();
    everywhere.state.lock().own = own.clone();
    let _ = sent.everywhere.set(Arc::clone(&everywhere));
    // It is not in the queue, so that it is interrupted when it is given up.
    if !request.start() {
        return Some(Submitted::Queued);
    }
    for (at, own) in own.into_iter().enumerate() {
        if nest(&own) {
            continue;
        }
        let submitted = match at {
            0 => pool.submit(Arc::clone(&own), sender),
            _ => pool.submit_anyway(Arc::clone(&own), sender),
        };
        match submitted {
            Submitted::Queued => {}
            refused if at == 0 => return Some(refused),
            // The pool has been closed, which answers the others.
            _ => everywhere.done(sender, Done::Lost),
        }
    }
    Some(Submitted::Queued)
}

impl Everywhere {
    /// Nobody waits for it any more.
    pub fn cancel(&self) {
        let own = std::mem::take(&mut self.state.lock().own);
        for own in own {
            own.cancel(true);
        }
    }

    fn done(&self, sender: Sender, done: Done) {
        let (last, ran, error) = {
            let mut state = self.state.lock();
            state.left -= 1;
            match done {
                Done::Ran => state.ran = true,
                Done::Failed(error) if state.error.is_none() => state.error = Some(error),
                Done::Failed(_) | Done::Lost => {}
            }
            (state.left == 0, state.ran, state.error.clone())
        };
        let Some(request) = self.request.upgrade().filter(|_| last) else {
            return;
        };
        request.answer(sender, &mut TermEnv::new(), |env| {
            request.pool.stats.count(error.is_some() || !ran);
            match &error {
                Some(error) => error.in_env(env),
                None if ran => atoms::ok().to_term(env),
                None => env.error_tuple(atoms::worker_down()),
            }
        });
        request.forget_body();
    }
}

/// What has come of it in one worker.
enum Done {
    Ran,
    Failed(OwnedTerm),
    /// It has ended before. What its successor needs is in the `:init`.
    Lost,
}

impl Receiver for Everywhere {
    fn deliver(self: Arc<Self>, sender: Sender, env: &mut TermEnv, answer: SavedTerm) {
        let answer = env.term(answer);
        let done = match answer.decode::<(Atom, Term)>() {
            Ok((_, reason)) if atoms::worker_down() == reason => Done::Lost,
            Ok(_) => Done::Failed(OwnedTerm::new(answer)),
            Err(_ok) => Done::Ran,
        };
        self.done(sender, done);
    }

    fn tell(&self, sender: Sender, env: &mut TermEnv, location: SavedTerm) {
        let Some(request) = self.request.upgrade() else {
            return;
        };
        if let Some(body) = request.body() {
            request.tell_location(&body, sender, env, |env| location.load(env));
        }
    }

    fn consumer(&self) -> Option<LocalPid> {
        self.caller
    }
}
