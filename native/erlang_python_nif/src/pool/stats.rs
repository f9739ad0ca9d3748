//! What a pool counts.

use crate::base::apart::Apart;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Counts since the pool started, and what is going on now.
#[derive(Default)]
pub struct Stats {
    pub busy: AtomicUsize,
    pub done: AtomicU64,
    pub failed: AtomicU64,
    pub timed_out: AtomicU64,
    /// Calls that were given up and are still inside Python, and how many there may be: 0 is any number. Callers
    /// look here, and workers count above.
    pub stuck: Apart<AtomicUsize>,
    pub max_stuck: Apart<AtomicUsize>,
}

impl Stats {
    /// Counts a call that was answered.
    pub fn count(&self, failed: bool) {
        let counter = if failed { &self.failed } else { &self.done };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were answered.
    pub fn ended(&self) -> u64 {
        let done = self.done.load(Ordering::Relaxed);
        done.wrapping_add(self.failed.load(Ordering::Relaxed))
    }
}

/// Adds one to a counter while it lives.
pub struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    /// One that was added before.
    pub fn added(counter: &'a AtomicUsize) -> Self {
        Counted(counter)
    }

    pub fn new(counter: &'a AtomicUsize) -> Self {
        // In one order with others: see `engine/main/direct.rs`.
        counter.fetch_add(1, Ordering::SeqCst);
        Counted(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
