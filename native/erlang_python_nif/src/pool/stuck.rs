//! Calls that were given up and are still inside Python: they wait in a C function that nobody can
//! interrupt.
//!
//! Each costs a thread, and mostly a connection or a file. They are counted, so that somebody is told, and
//! so that a pool can refuse to make ever more of them (`:max_stuck`).

use crate::base::Location;
use crate::base::lock::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What may stay inside Python: a request, or a thread that its engine cannot get back.
pub trait Stays: Send + Sync {
    fn stuck(&self) -> &Stuck;
}

/// Its part in it.
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

    /// It counts as stuck. Says whether it did before.
    pub fn begin(&self) -> bool {
        self.counted.swap(true, Ordering::SeqCst)
    }

    /// It is stuck no more. Says whether it was.
    pub fn end(&self) -> bool {
        // Hardly any is.
        self.counted.load(Ordering::SeqCst) && self.counted.swap(false, Ordering::SeqCst)
    }

    /// None if it is not stuck, or nobody has looked yet.
    pub fn report(&self) -> Option<Report> {
        let found = self.found.lock();
        let found = found
            .as_ref()
            .filter(|_| self.counted.load(Ordering::SeqCst))?;
        Some(Report {
            location: found.location.clone(),
            ms: found.since.elapsed().as_millis() as u64,
        })
    }
}
