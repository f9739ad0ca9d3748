//! What a pool needs of the engine that runs its requests: an implementation of `Engine` for each pool.

use crate::base::atoms;
use crate::base::flags::Flags;
use crate::base::term_env::{Sender, TermEnv};
use crate::pool::request::Request;
use crate::pool::{Pool, Submitted, Worker};
use rustler::{Encoder, Env, Term};
use std::any::Any;
use std::io;
use std::sync::Arc;

/// How the requests of one pool are run, with what that needs to keep. It is dropped with the pool, on any thread.
///
/// `engine/mod.rs` says what else it does for a request.
pub trait Engine: Any + Send + Sync {
    /// What it makes of an operation before the request is handed in, to be kept with that (`Request::kept`): the
    /// request itself has none then, and is handed in by `hand_in`. None if it reads the operation itself.
    fn prepare(&self, _operation: Term<'_>) -> Option<Box<dyn Any + Send + Sync>> {
        None
    }

    /// Hands in a request that was prepared: puts it into the queue, as a rule.
    fn hand_in(&self, request: &Arc<Request>, sender: Sender) -> Submitted {
        request.pool.submit(Arc::clone(request), sender)
    }

    /// Whether a process that may run its request itself (`run_here`) does so sooner than a worker.
    fn is_better_here(&self, _pool: &Pool, _flags: Flags) -> bool {
        false
    }

    /// A process is about to hand in a request that was not prepared. It may look for the answer itself (`Request::look`).
    fn begins_to_look(&self, _request: &Request) {}

    /// The answer to a request that the calling process has just handed in by `hand_in`, if it is there already, or
    /// within some µs: it is not sent to the process then.
    fn answer_at_once<'a>(
        &self,
        _env: Env<'a>,
        _request: &Arc<Request>,
        _sender: Sender,
    ) -> AtOnce<'a> {
        AtOnce::Later
    }

    /// The same again after `Soon`, unless the scheduler has other work. `last`: it is not asked again.
    fn answer_again<'a>(
        &self,
        _env: Env<'a>,
        _request: &Arc<Request>,
        _last: bool,
        _sender: Sender,
    ) -> AtOnce<'a> {
        AtOnce::Later
    }

    /// The same for a request of a process that is in callbacks or bodies of `with`. `nest`: has it run where one of
    /// those is waited for, if it is for the same pool.
    fn hand_in_nested(
        &self,
        request: &Arc<Request>,
        nest: &dyn Fn(&Arc<Request>) -> bool,
        sender: Sender,
    ) -> Submitted {
        if nest(request) {
            return Submitted::Queued;
        }
        self.hand_in(request, sender)
    }

    /// What it keeps for the interpreter in the VM, if its requests run there.
    fn in_the_vm(&self) -> Option<&dyn Any> {
        None
    }

    /// Whether requests that run count against the limit of the queue, besides those that wait: until
    /// `Pool::ended`.
    fn counts_running(&self) -> bool {
        false
    }

    /// A request that was offered to a worker (`Request::offer`) is to wait nowhere when this is back, or to run. Never
    /// waits.
    fn settle(&self, _request: &Request) {}

    /// Its pool takes no request any more. What was offered to workers goes back to the queue, which answers it.
    fn closing(&self, _sender: Sender) {}

    /// Whether a worker that stays with a request which was given up is replaced at once.
    fn leaves_workers(&self) -> bool {
        true
    }

    /// Something was put into the mailbox of a request, or of a context. Never waits.
    fn mail(&self, _pool: &Pool, _request: Option<&Arc<Request>>) {}

    /// Runs what waits in the pool's queue, until nothing does, on the current thread: a dirty scheduler, or one
    /// of its own. Nothing to do where workers take what waits when they are woken.
    fn drain(&self, _pool: &Arc<Pool>, _worker: &Arc<Worker>, _sender: Sender) -> Drained {
        Drained::Stop
    }

    /// Starts a thread that drains whenever the worker is woken, until the pool is closed.
    fn spawn(&self, _pool: Arc<Pool>, _worker: Arc<Worker>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Starts a thread that drains as long as something waits: all workers of the pool wait themselves.
    fn spawn_helper(&self, pool: Arc<Pool>) -> io::Result<()>;

    /// Starts a thread that drains whenever the worker is woken, and ends when it has had nothing to do for
    /// `growth::STAYS`. On the clock's thread.
    fn spawn_extra(&self, _pool: Arc<Pool>) -> io::Result<Arc<Worker>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Runs an operation that has no deadline on the dirty scheduler of the process that asks for it. None
    /// if that is better left to the workers.
    fn run_here<'a>(
        &self,
        _env: Env<'a>,
        _pool: &Arc<Pool>,
        _flags: Flags,
        _operation: Term<'a>,
        _leader: Term<'a>,
    ) -> Option<Term<'a>> {
        None
    }

    /// Interrupts a request that it runs and nobody waits for any more, soon. Never waits. What has tried
    /// says so (`watch::tried`). It is asked again and again while the request runs.
    fn interrupt(&self, request: Arc<Request>);

    /// Answers a request that only one worker could have run, which is no more. Never waits.
    fn lost(&self, request: &Arc<Request>, sender: Sender) {
        request.answer(sender, &mut TermEnv::new(), |env| {
            (atoms::error(), atoms::worker_down()).encode(env)
        });
    }

    /// A request was given up, or answered, that waited in the queue. Never waits.
    fn given_up_in_queue(&self) {}

    /// A request that was interrupted has not ended yet. Whether it counts as stuck. Never waits.
    fn outlived(&self, request: &Arc<Request>) -> bool;
}

/// Whether an answer is there before the process that has asked goes on.
pub enum AtOnce<'a> {
    Answer(Term<'a>),
    /// It may well be worth it to ask again.
    Soon,
    /// It comes as a message.
    Later,
}

/// Why a worker came back.
pub enum Drained {
    Idle,
    Stop,
}
