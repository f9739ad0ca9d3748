//! Requests that have no deadline, run by their callers.
//!
//! Nobody has to be woken and nothing is copied: such a call costs one change of scheduler. The caller
//! cannot leave a dirty NIF before Python does, which is why calls with a deadline are left to workers.
//! For the same reason nothing tells when it dies: the watchdog looks, while there are such calls.

use crate::atoms;
use crate::call;
use crate::interpreter;
use crate::pool::{Counted, Pool};
use crate::request::{Flags, Request};
use crate::term_env::Sender;
use crate::worker::{self, Entered, Running, Worker};
use rustler::sys::enif_is_process_alive;
use rustler::{Encoder, Env, Term};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

static CALLERS: Mutex<Callers> = Mutex::new(Callers {
    running: Vec::new(),
    begun: 0,
    seen: 0,
    watched: false,
});

struct Callers {
    running: Vec<Arc<Request>>,
    /// How many have begun to run, and how many had when the watchdog looked last.
    begun: u64,
    seen: u64,
    /// The watchdog looks after them.
    watched: bool,
}

/// Runs an operation in the calling process, on a dirty scheduler, in the place of an idle worker. None
/// if there is no such worker, or others have work for the pool.
pub fn run<'a>(
    env: Env<'a>,
    pool: &Arc<Pool>,
    flags: Flags,
    operation: Term<'a>,
    leader: Term<'a>,
) -> Option<Term<'a>> {
    let sender = Sender::dirty(env);
    let borrowed = Borrowed::from(pool, sender)?;
    let worker = &borrowed.worker;
    let _busy = Counted::new(&pool.stats.busy);
    let request = Request::here(env.pid(), flags, Arc::clone(pool), leader);
    let _known = Known::new(&request);
    let (answer, failed) = interpreter::enter(|py, thread| {
        let _running = Entered::new(Running {
            pool: Arc::clone(pool),
            worker: Arc::clone(worker),
            thread: Arc::clone(thread),
            sender,
        });
        worker::attend(py, thread, worker, &request, || {
            if pool.is_closed() {
                return ((atoms::error(), atoms::closed()).encode(env), true);
            }
            call::perform_here(py, &request, operation, env)
        })
    });
    drop(borrowed);
    if request.settle_here() {
        worker::count(pool, failed);
        return Some(answer);
    }
    // Its caller is dead, or one of those who answer is about to.
    let other = request.answer_of_others(env);
    Some(other.unwrap_or_else(|| (atoms::error(), atoms::stopped()).encode(env)))
}

/// The place of an idle worker, given back whatever happens.
struct Borrowed<'p> {
    pool: &'p Arc<Pool>,
    worker: Arc<Worker>,
    sender: Sender,
}

impl<'p> Borrowed<'p> {
    fn from(pool: &'p Arc<Pool>, sender: Sender) -> Option<Self> {
        let worker = pool.borrow()?;
        Some(Borrowed {
            pool,
            worker,
            sender,
        })
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.pool.give_back(Arc::clone(&self.worker), self.sender);
    }
}

/// A request that the watchdog knows of while this lives.
struct Known<'r>(&'r Arc<Request>);

impl<'r> Known<'r> {
    fn new(request: &'r Arc<Request>) -> Self {
        let mut callers = lock();
        callers.running.push(Arc::clone(request));
        callers.begun = callers.begun.wrapping_add(1);
        if !std::mem::replace(&mut callers.watched, true) {
            drop(callers);
            crate::watchdog::watch_callers();
        }
        Known(request)
    }
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        let mut callers = lock();
        let at = callers.running.iter().position(|r| Arc::ptr_eq(r, self.0));
        let ended = at.map(|at| callers.running.swap_remove(at));
        drop(callers);
        drop(ended);
    }
}

/// Cancels the requests of callers that are dead. For the watchdog's thread; says whether it is to
/// look again.
pub fn look() -> bool {
    let running = {
        let mut callers = lock();
        let begun = callers.begun;
        let active = std::mem::replace(&mut callers.seen, begun) != begun;
        callers.watched = active || !callers.running.is_empty();
        if !callers.watched {
            return false;
        }
        callers.running.clone()
    };
    for request in running {
        if request.is_pending() && !is_alive(&request) {
            request.cancel(false);
        }
    }
    true
}

fn is_alive(request: &Request) -> bool {
    request.caller().is_some_and(|pid| {
        // SAFETY: a valid pid. There is no environment on this thread, which is none of the VM's.
        unsafe { enif_is_process_alive(std::ptr::null_mut(), pid.as_c_arg()) != 0 }
    })
}

fn lock() -> MutexGuard<'static, Callers> {
    // Held for a few moves.
    CALLERS.lock().unwrap_or_else(PoisonError::into_inner)
}
