//! What a pool needs of the engine that runs its requests: an implementation of `Engine` for each pool.

use crate::base::atoms;
use crate::base::flags::Flags;
use crate::base::term_env::{Sender, TermEnv};
use crate::pool::request::Request;
use crate::pool::{Pool, Worker};
use rustler::{Encoder, Env, Term};
use std::any::Any;
use std::io;
use std::sync::Arc;

/// How the requests of one pool are run, with what that needs to keep. It is dropped with the pool, on any thread.
///
/// `engine/mod.rs` says what else it does for a request.
pub trait Engine: Any + Send + Sync {
    /// Runs what waits in the pool's queue, until nothing does, on the current thread: a dirty scheduler, or one
    /// of its own.
    fn drain(&self, pool: &Arc<Pool>, worker: &Arc<Worker>, sender: Sender) -> Drained;

    /// Starts a thread that drains whenever the worker is woken, until the pool is closed.
    fn spawn(&self, pool: Arc<Pool>, worker: Arc<Worker>) -> io::Result<()>;

    /// Starts a thread that drains as long as something waits: all workers of the pool wait themselves.
    fn spawn_helper(&self, pool: Arc<Pool>) -> io::Result<()>;

    /// Runs an operation that has no deadline on the dirty scheduler of the process that asks for it. None
    /// if that is better left to the workers.
    fn run_here<'a>(
        &self,
        env: Env<'a>,
        pool: &Arc<Pool>,
        flags: Flags,
        operation: Term<'a>,
        leader: Term<'a>,
    ) -> Option<Term<'a>>;

    /// Interrupts a request that it runs and nobody waits for any more, soon. Never waits. What has tried
    /// says so (`watch::tried`). It is asked again and again while the request runs.
    fn interrupt(&self, request: Arc<Request>);

    /// Answers a request that only one worker could have run, which is no more. Never waits.
    fn lost(&self, request: &Arc<Request>, sender: Sender) {
        request.answer(sender, &mut TermEnv::new(), |env| {
            (atoms::error(), atoms::worker_down()).encode(env)
        });
    }

    /// A request that was interrupted has not ended yet. Never waits.
    fn outlived(&self, request: &Arc<Request>);
}

/// Why a worker came back.
pub enum Drained {
    Idle,
    Stop,
}
