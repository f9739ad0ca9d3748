//! The engine whose Python runs in processes of its own.
//!
//! A worker is a process, which the pool knows as a `Worker` without a thread: whoever wakes it takes the next
//! request and sends it (`run`). A `Link` is this side of the process; its thread reads what the process says
//! (`thread`, `incoming`). Everything that limits a request, such as its time and the life of its caller, is the
//! pool's: a worker that does not answer is interrupted, and killed after a while.

pub mod ahead;
pub mod at_once;
pub mod beside;
pub mod callback;
mod compiled;
pub mod decode;
pub mod decoding;
pub mod encode;
pub mod encoded;
pub mod everywhere;
pub mod frames;
pub mod guard;
pub mod helping;
pub mod incoming;
pub mod kick;
mod leaf;
pub mod lines;
pub mod link;
pub mod looking;
mod lying;
pub mod made;
mod mail;
pub mod memory;
mod names;
pub mod object;
pub mod opening;
pub mod outbox;
pub mod over;
pub mod own;
pub mod owner;
pub mod passing;
mod pid;
pub mod question;
pub mod run;
pub mod sent;
pub mod serving;
pub mod shared;
pub mod shown;
pub mod spawn;
pub mod start;
pub mod stream;
pub mod thread;
pub mod tray;
pub mod turns;
pub mod wear;

use crate::base::term_env::Sender;
use crate::engine::Engine;
use crate::engine::process::link::Errand;
use crate::engine::process::own::Process;
use crate::engine::process::sent::Sent;
use crate::pool::engine::AtOnce;
use crate::pool::request::Request;
use crate::pool::{Pool, Submitted};
use rustler::{Env, Term};
use std::any::Any;
use std::io;
use std::sync::Arc;

impl Engine for Process {
    fn prepare(&self, operation: Term<'_>) -> Option<Box<dyn Any + Send + Sync>> {
        Some(Box::new(Sent::encode(operation)))
    }

    fn hand_in(&self, request: &Arc<Request>, sender: Sender) -> Submitted {
        looking::hand_in(request, || start::hand_in(request, &|_| false, sender))
    }

    fn answer_at_once<'a>(
        &self,
        env: Env<'a>,
        request: &Arc<Request>,
        sender: Sender,
    ) -> AtOnce<'a> {
        at_once::answer(env, request, sender)
    }

    fn hand_in_nested(
        &self,
        request: &Arc<Request>,
        nest: &dyn Fn(&Arc<Request>) -> bool,
        sender: Sender,
    ) -> Submitted {
        start::hand_in(request, nest, sender)
    }

    fn answer_again<'a>(
        &self,
        env: Env<'a>,
        request: &Arc<Request>,
        last: bool,
        sender: Sender,
    ) -> AtOnce<'a> {
        at_once::answer_again(env, request, last, sender)
    }

    /// One that stays with a request is killed, which ends it.
    fn leaves_workers(&self) -> bool {
        false
    }

    fn mail(&self, _pool: &Pool, request: Option<&Arc<Request>>) {
        match request {
            Some(request) => {
                if request.is_offered() {
                    ahead::recall(request);
                }
                if let Some(link) = Sent::of(request).and_then(Sent::link) {
                    link.post(Errand::Mail(Some(Arc::clone(request))));
                }
            }
            None => {
                for link in self.links() {
                    link.post(Errand::Mail(None));
                }
            }
        }
    }

    fn settle(&self, request: &Request) {
        ahead::settle(request);
    }

    fn closing(&self, sender: Sender) {
        for link in self.links() {
            ahead::shut(&link, sender);
        }
    }

    fn spawn_helper(&self, pool: Arc<Pool>) -> io::Result<()> {
        if let Some(sender) = Sender::own_thread() {
            helping::help(self, &pool, sender);
        }
        Ok(())
    }

    fn interrupt(&self, request: Arc<Request>) {
        run::interrupt(&request);
    }

    fn outlived(&self, _request: &Arc<Request>) -> bool {
        true
    }
}
