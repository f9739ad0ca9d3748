//! Requests that have no deadline, run by their callers.
//!
//! Nobody has to be woken and nothing is copied: such a call costs one change of scheduler. Where a worker looks out for
//! requests that is more than to wait for it (`at_once`), and is not done. The caller
//! cannot leave a dirty NIF before Python does, which is why calls with a deadline are left to workers.
//! For the same reason nothing tells when it dies: the clock looks, while there are such calls.

use crate::base::atoms;
use crate::base::clock;
use crate::base::flags::Flags;
use crate::base::term_env::Sender;
use crate::engine::main::answer;
use crate::engine::main::isolation::Nesting;
use crate::engine::main::own;
use crate::engine::main::runner;
use crate::engine::main::seat::Seat;
use crate::pool::Worker;
use crate::pool::ending;
use crate::pool::request::Request;
use crate::pool::stats::Counted;
use crate::pool::{Pool, registry};
use crate::python::namespace;
use rustler::sys::enif_is_process_alive;
use rustler::{Encoder, Env, Term};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often it is looked whether the processes are alive that run their requests themselves.
const LOOK: Duration = Duration::from_millis(20);

/// The clock looks after them.
static WATCHED: AtomicBool = AtomicBool::new(false);

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
    let place = Borrowed::from(pool, sender)?;
    let worker = &place.worker;
    let busy = Counted::new(&pool.stats.busy);
    see_that_it_is_watched();
    ending::work_begins();
    let request = Request::here(env.pid(), flags, Arc::clone(pool), leader);
    let done = runner::enter(worker, |py, runner, place| {
        let seat = Seat {
            pool,
            worker,
            runner,
            place,
            sender,
            event_loop: None,
        };
        let _entered = seat.enter();
        namespace::at_bottom(py, own::namespace(pool), || {
            seat.attend(py, &request, Nesting::Outermost, |isolated| {
                if pool.is_closed() {
                    return ((atoms::error(), atoms::closed()).encode(env), true);
                }
                answer::perform_here(&request, operation, env, isolated)
            })
        })
    });
    let (answer, failed) =
        done.unwrap_or_else(|| ((atoms::error(), atoms::no_memory()).encode(env), true));
    drop(busy);
    drop(place);
    if request.settle_here() {
        pool.stats.count(failed);
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

/// The call counts as busy by now.
fn see_that_it_is_watched() {
    // In one order with what `look` does: either it sees the call, or the call sees that it has
    // stopped looking.
    if !WATCHED.load(Ordering::SeqCst) && !WATCHED.swap(true, Ordering::SeqCst) {
        let mut seen = None;
        clock::after(LOOK, move |_, _| {
            seen = Some(look(seen)?);
            Some(LOOK)
        });
    }
}

/// Cancels the requests of callers that are dead. On the clock's thread. `seen`: how many calls there had been
/// when it looked last. How many there have been by now, or None if it need not look again.
fn look(seen: Option<u64>) -> Option<u64> {
    let mut ended = 0u64;
    for pool in registry::all() {
        ended = ended.wrapping_add(pool.stats.ended());
        for request in pool.running() {
            if request.is_here() && request.is_pending() && !is_alive(&request) {
                request.cancel(false);
            }
        }
    }
    if is_busy() || seen != Some(ended) {
        return Some(ended);
    }
    WATCHED.store(false, Ordering::SeqCst);
    (is_busy() && !WATCHED.swap(true, Ordering::SeqCst)).then_some(ended)
}

/// Whether there are calls, those among them that still wait for the GIL.
fn is_busy() -> bool {
    let pools = registry::all();
    pools
        .iter()
        .any(|pool| pool.stats.busy.load(Ordering::SeqCst) > 0)
}

fn is_alive(request: &Request) -> bool {
    request.caller().is_some_and(|pid| {
        // SAFETY: a valid pid. There is no environment on this thread, which is none of the VM's.
        unsafe { enif_is_process_alive(std::ptr::null_mut(), pid.as_c_arg()) != 0 }
    })
}
