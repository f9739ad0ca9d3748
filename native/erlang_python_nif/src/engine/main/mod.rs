//! The engine of the one interpreter in the VM.

pub mod answer;
pub mod arrival;
pub mod assistant;
pub mod at_once;
pub mod awaiting;
pub mod beside;
pub mod call;
pub mod callback;
pub mod direct;
pub mod drain;
pub mod error;
pub mod extra;
pub mod fill;
pub mod foreign;
pub mod hold;
pub mod interrupt;
pub mod isolation;
pub mod items;
pub mod kept;
pub mod main_thread;
pub mod on_interrupt;
pub mod origin;
pub mod outbox;
pub mod output;
pub mod own;
pub mod package;
pub mod patience;
pub mod registered;
pub mod report;
pub mod runner;
pub mod seat;
pub mod start;

use crate::base::flags::Flags;
use crate::base::term_env::Sender;
use crate::engine::main::own::Main;
use crate::engine::{Drained, Engine};
use crate::pool::engine::AtOnce;
use crate::pool::request::Request;
use crate::pool::{Pool, Worker};
use rustler::{Env, Term};
use std::any::Any;
use std::io;
use std::sync::Arc;

impl Engine for Main {
    fn drain(&self, pool: &Arc<Pool>, worker: &Arc<Worker>, sender: Sender) -> Drained {
        drain::drain(pool, worker, sender)
    }

    fn spawn(&self, pool: Arc<Pool>, worker: Arc<Worker>) -> io::Result<()> {
        drain::spawn(pool, worker)
    }

    fn spawn_helper(&self, pool: Arc<Pool>) -> io::Result<()> {
        drain::spawn_helper(pool)
    }

    fn spawn_extra(&self, pool: Arc<Pool>) -> io::Result<Arc<Worker>> {
        extra::spawn(pool)
    }

    fn run_here<'a>(
        &self,
        env: Env<'a>,
        pool: &Arc<Pool>,
        flags: Flags,
        operation: Term<'a>,
        leader: Term<'a>,
    ) -> Option<Term<'a>> {
        direct::run(env, pool, flags, operation, leader)
    }

    fn in_the_vm(&self) -> Option<&dyn Any> {
        Some(self)
    }

    fn is_better_here(&self, pool: &Pool, flags: Flags) -> bool {
        // Many wait for one dirty scheduler at less cost than for messages.
        !at_once::may_look(flags) || pool.is_asleep()
    }

    fn begins_to_look(&self, request: &Request) {
        at_once::begin(&self.callers, request);
    }

    fn answer_at_once<'a>(
        &self,
        env: Env<'a>,
        request: &Arc<Request>,
        sender: Sender,
    ) -> AtOnce<'a> {
        at_once::answer(env, &self.callers, request, sender)
    }

    fn answer_again<'a>(
        &self,
        env: Env<'a>,
        request: &Arc<Request>,
        last: bool,
        sender: Sender,
    ) -> AtOnce<'a> {
        at_once::answer_again(env, &self.callers, request, last, sender)
    }

    fn interrupt(&self, request: Arc<Request>) {
        interrupt::post(request);
    }

    fn outlived(&self, _request: &Arc<Request>) -> bool {
        assistant::remove_mark();
        true
    }
}
