//! Calls that were given up and are still inside Python: they wait in a C function that nobody can
//! interrupt.
//!
//! Each costs a thread, and mostly a connection or a file. They are counted, so that somebody is told, and
//! so that a pool can refuse to make ever more of them (`:max_stuck`).

use crate::interpreter::Location;
use crate::lock::Mutex;
use crate::pool::Pool;
use crate::request::Request;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

/// A request's part in it.
#[derive(Default)]
pub struct Stuck {
    counted: AtomicBool,
    found: Mutex<Option<Box<Found>>>,
}

struct Found {
    since: Instant,
    /// None if it is in no Python code.
    location: Option<Location>,
}

/// What is told of one.
pub struct Report {
    pub location: Option<Location>,
    pub ms: u64,
}

/// Those that may be stuck. Held for a push or a copy.
static STUCK: Mutex<Vec<Weak<Request>>> = Mutex::new(Vec::new());

impl Stuck {
    /// Where the interrupter has found it.
    pub fn found(&self, location: Option<&Location>) {
        let mut found = self.found.lock();
        let since = found
            .as_ref()
            .map_or_else(Instant::now, |found| found.since);
        let location = location.cloned();
        *found = Some(Box::new(Found { since, location }));
    }
}

/// Counts a request that does not end though it was interrupted.
pub fn count(request: &Arc<Request>) {
    if request.stuck.counted.swap(true, Ordering::SeqCst) {
        return;
    }
    request.pool.stats.stuck.fetch_add(1, Ordering::SeqCst);
    let mut stuck = STUCK.lock();
    stuck.retain(|request| request.strong_count() > 0);
    stuck.push(Arc::downgrade(request));
    drop(stuck);
    // It may have ended this moment, and seen that it was not counted.
    if request.place().is_none() {
        ended(request);
    }
}

/// Counts it no more.
pub fn ended(request: &Request) {
    if request.stuck.counted.swap(false, Ordering::SeqCst) {
        request.pool.stats.stuck.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Those of a pool, the oldest first.
pub fn of(pool: &Pool) -> Vec<Report> {
    let stuck = STUCK.lock().clone();
    let own = stuck.iter().filter_map(Weak::upgrade).filter(|request| {
        std::ptr::eq(&*request.pool, pool) && request.stuck.counted.load(Ordering::SeqCst)
    });
    own.filter_map(|request| {
        let found = request.stuck.found.lock();
        let found = found.as_ref()?;
        Some(Report {
            location: found.location.clone(),
            ms: found.since.elapsed().as_millis() as u64,
        })
    })
    .collect()
}
