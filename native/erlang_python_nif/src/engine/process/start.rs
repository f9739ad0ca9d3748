//! What comes from Elixir: workers to be started, and requests.

use super::everywhere;
use super::helping;
use super::link::{Killed, Link, Stage};
use super::made;
use super::over;
use super::own::{self, Process};
use super::run;
use super::sent::Sent;
use super::spawn;
use super::thread;
use super::wear::Wear;
use crate::base::atoms;
use crate::base::clock;
use crate::base::term_env::{OwnedTerm, Sender, TermEnv};
use crate::pool::request::Request;
use crate::pool::worker::{Taker, Wake};
use crate::pool::{Pool, Submitted, Worker};
use rustler::{Encoder, LocalPid, Monitor, Resource, Term};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The id that no worker of a pool has.
const NO_WORKER: u64 = 0;

/// How long a template may take to fork a worker. Then it is ended, and the worker is started by itself.
const FORKED_AFTER: Duration = Duration::from_secs(5);

/// What the process that looks after a worker holds, which is watched: when it ends, so does the worker. None in that
/// which keeps the type.
pub struct LinkHandle(pub Option<Arc<Link>>);

impl Resource for LinkHandle {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, env: rustler::Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        if let Some(link) = &self.0 {
            made::make(link, Sender::scheduler(env));
            run::leave(link, Sender::scheduler(env));
            // By its guard, which leaves nothing of it behind then.
            if link.wear.is_template {
                link.advance(Stage::Stopping);
                link.kill(Killed::Stuck);
            } else {
                run::stop(link);
            }
        }
    }
}

/// A new worker of a pool, which has no process yet. None if the pool is of another engine.
/// `spare`: until it enters, it runs nothing.
pub fn join(pool: &Arc<Pool>, id: u64, owner: LocalPid, spare: bool) -> Option<Arc<Link>> {
    let process = Process::of(pool)?;
    let worker = Worker::new(id, Wake::taker());
    let link = Arc::new(Link::new(
        Arc::clone(pool),
        Arc::clone(&worker),
        owner,
        process.patience,
        Wear::new(process.max_calls, spare, process.is_bounded),
    ));
    let taker: Arc<dyn Taker> = Arc::clone(&link) as _;
    worker.set_taker(Arc::downgrade(&taker));
    if !spare {
        pool.join(&worker);
        pool.open_lane(&worker);
    }
    process.add(&link);
    Some(link)
}

/// What the workers of a pool are forked from. None if the pool is of another engine.
pub fn template(pool: &Arc<Pool>, owner: LocalPid) -> Option<Arc<Link>> {
    let process = Process::of(pool)?;
    let worker = Worker::new(NO_WORKER, Wake::taker());
    let link = Link::new(
        Arc::clone(pool),
        worker,
        owner,
        process.patience,
        Wear::template(),
    );
    let link = Arc::new(link);
    process.add(&link);
    Some(link)
}

/// Starts the process of a worker, or of a template. What comes of it is sent to its owner.
pub fn spawn(link: &Arc<Link>, what: spawn::Start) -> io::Result<()> {
    if let spawn::Start::Fork(template) = &what {
        let _ = link.template.set(Arc::downgrade(template));
        let late = Arc::downgrade(link);
        clock::after(FORKED_AFTER, move |_, _| {
            let late = late.upgrade()?;
            // It has not said a word.
            if late.stage() == Stage::Starting && late.os_pid.load(Ordering::Acquire) == 0 {
                late.end_template();
            }
            None
        });
    }
    let link = Arc::clone(link);
    spawn::spawn(
        what,
        Box::new(move |child| {
            let started = child.and_then(|child| {
                thread::start(&link, child).inspect_err(|_| {
                    if let Some(guard) = link.forget_guard() {
                        guard.end();
                        guard.wait();
                    }
                })
            });
            if let (Err(error), Some(sender)) = (started, Sender::own_thread()) {
                let reason = {
                    let env = TermEnv::new();
                    let env = env.env();
                    OwnedTerm::new((atoms::not_started(), error.to_string()).encode(env))
                };
                over::not_started(&link, reason, sender);
            }
        }),
    )
}

/// There is nothing that could be started for a worker: calls get this reason, if there is no other worker.
pub fn fail(link: &Arc<Link>, reason: Term<'_>, sender: Sender) {
    over::not_started(link, OwnedTerm::new(reason), sender);
}

/// Hands a request in. `nest`: to a worker that waits for the process which asks, if there is one.
pub fn hand_in(
    request: &Arc<Request>,
    nest: &dyn Fn(&Arc<Request>) -> bool,
    sender: Sender,
) -> Submitted {
    let pool = &request.pool;
    let Some(sent) = Sent::of(request) else {
        return Submitted::Closed;
    };
    match sent.operation() {
        Err(error) => {
            request.answer(sender, &mut TermEnv::new(), |env| {
                run::unsendable(env, error)
            });
            return Submitted::Queued;
        }
        Ok(Some(encoded)) => {
            if let Some(number) = encoded.worker()
                && !pin(request, number, sender)
            {
                return Submitted::Queued;
            }
        }
        Ok(None) => {}
    }
    if request.flags.init() {
        return pool.submit_first(Arc::clone(request), sender);
    }
    if sent.is_exec
        && let Some(submitted) = everywhere::hand_in(request, sent, nest, sender)
    {
        return submitted;
    }
    if nest(request) {
        return Submitted::Queued;
    }
    let submitted = pool.submit(Arc::clone(request), sender);
    helping::serve_pool(pool, sender);
    submitted
}

/// Has a request run by the worker that its handles are in. False if it is answered, for there is none.
fn pin(request: &Arc<Request>, number: u64, sender: Sender) -> bool {
    let link = own::link(number);
    match link {
        Some(link) if Arc::ptr_eq(&link.pool, &request.pool) => {
            request.pin_to(link.worker.id);
            true
        }
        Some(_) => {
            request.answer(sender, &mut TermEnv::new(), |env| {
                run::not_encoded(
                    env,
                    "it has a handle of another pool, whose workers are other processes. Call it in the pool that it \
                     is of, or convert the object with Python.to_term/2",
                )
            });
            false
        }
        None => {
            request.answer(sender, &mut TermEnv::new(), |env| {
                env.error_tuple(atoms::worker_down())
            });
            false
        }
    }
}

/// The workers that count: the id of the process that Python runs in, whether it runs anything, how many requests it
/// has begun.
pub fn workers(pool: &Pool) -> Vec<(u64, bool, u64)> {
    let Some(process) = Process::of(pool) else {
        return Vec::new();
    };
    let workers = process.hopes().into_iter().map(|link| {
        let (busy, calls) = link.worker.work();
        let os_pid = match link.stage() {
            Stage::Ready => link.os_pid.load(Ordering::Relaxed),
            _ => 0,
        };
        (os_pid, busy, calls)
    });
    workers.collect()
}

/// Has those workers end that are at nothing.
pub fn stop(pool: &Pool) {
    for link in Process::of(pool).map(Process::links).unwrap_or_default() {
        if !link.worker.work().0 {
            run::stop(&link);
        }
    }
}

/// Who looks after the workers that have not ended.
pub fn owners(pool: &Pool) -> Vec<LocalPid> {
    let links = Process::of(pool).map(Process::links).unwrap_or_default();
    links.iter().map(|link| link.owner).collect()
}
