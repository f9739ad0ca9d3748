//! What a pool counts.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Counts since the pool started, and what is going on now.
#[derive(Default)]
pub struct Stats {
    pub busy: AtomicUsize,
    pub done: AtomicU64,
    pub failed: AtomicU64,
    pub timed_out: AtomicU64,
    /// Calls that were given up and are still inside Python, and how many there may be: 0 is any number.
    pub stuck: AtomicUsize,
    pub max_stuck: AtomicUsize,
}

impl Stats {
    /// Counts a call that was answered.
    pub fn count(&self, failed: bool) {
        let counter = if failed { &self.failed } else { &self.done };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Adds one to a counter while it lives.
pub struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    pub fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Counted(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
