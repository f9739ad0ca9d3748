//! What workers do while they wait for callbacks: what these wait for may be behind what waits in the queue.

use super::link::{Link, Stage};
use super::own::Process;
use super::run;
use crate::base::term_env::Sender;
use crate::pool::Pool;
use crate::pool::marks::NESTED;
use std::sync::Arc;

/// All workers of a pool wait. Each that does so runs a request more, on a thread of its own.
pub fn help(process: &Process, pool: &Arc<Pool>, sender: Sender) {
    for link in process.links() {
        if link.stage() != Stage::Ready || link.free_callback().is_none() {
            continue;
        }
        let Some(request) = pool.take_waiting() else {
            return;
        };
        request.marks.set(NESTED);
        run::run(&link, &request, 0, sender);
    }
}

/// A context has one thread, which runs what waits on top of what waits for a callback.
pub fn serve(link: &Arc<Link>, sender: Sender) {
    if !link.pool.pinned || link.stage() != Stage::Ready {
        return;
    }
    while let Some(callback) = link.free_callback()
        && let Some(request) = link.pool.take_waiting()
    {
        request.marks.set(NESTED);
        run::run(link, &request, callback, sender);
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
