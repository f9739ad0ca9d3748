//! What workers do while they wait for callbacks: what these wait for may be behind what waits in the queue.

use super::link::{Link, Stage};
use super::own::Process;
use super::run;
use super::turns;
use crate::base::term_env::Sender;
use crate::pool::Pool;
use crate::pool::marks::{BESIDE, NESTED};
use erlang_python_wire::frame::to_worker;
use std::sync::Arc;

/// Each worker that waits runs a request more, on a thread of its own: one that only it can run, or if all wait any.
pub fn help(process: &Process, pool: &Arc<Pool>, sender: Sender) {
    for link in process.links() {
        if link.stage() != Stage::Ready || link.innermost().is_none() {
            continue;
        }
        let Some(_stays) = turns::stay(&link) else {
            continue;
        };
        let id = link.worker.id;
        let request = match pool.is_blocked() {
            true => pool.take_waiting_for(id),
            false => pool.take_pinned(id),
        };
        let Some(request) = request else {
            continue;
        };
        request.marks.set(NESTED | BESIDE);
        run::run(&link, &request, 0, sender);
    }
}

/// A context has one thread, which runs what waits on top of what waits for a callback.
pub fn serve(link: &Arc<Link>, sender: Sender) {
    if !link.pool.pinned || link.stage() != Stage::Ready {
        return;
    }
    // In the body of a `with` it is for that alone.
    while !link.pool.is_reserved()
        && let Some(callback) = link.innermost()
        && let Some(request) = link.pool.take_waiting_for(link.worker.id)
    {
        request.marks.set(NESTED);
        run::run(link, &request, callback | to_worker::BESIDE, sender);
    }
}

/// The same for a request that has come into the queue.
pub fn serve_pool(pool: &Pool, sender: Sender) {
    if pool.pinned {
        for link in Process::of(pool).map(Process::links).unwrap_or_default() {
            serve(&link, sender);
        }
    }
}
