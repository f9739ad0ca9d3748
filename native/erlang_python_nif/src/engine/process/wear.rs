//! What a worker has run, and whether it takes requests at all.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

/// Takes requests, as soon as it is ready.
pub const ENTERED: u8 = 1;
/// Ready, and has run its `:init`.
pub const READY: u8 = 1 << 1;

#[derive(Default)]
pub struct Wear {
    pub place: AtomicU8,
    /// After so many requests it retires; 0: never.
    pub most: u64,
    /// What it had begun before the first request.
    pub own: AtomicU64,
    /// Its owner knows that it will retire.
    pub told: AtomicBool,
    pub retires: AtomicBool,
    /// It takes nothing more, and ends when it is at nothing.
    pub leaves: AtomicBool,
    /// How many are about to give it something to do, though it takes nothing by itself.
    pub stays: AtomicUsize,
    /// There is a limit to its memory.
    pub is_bounded: bool,
    /// Workers are forked from it, and it never is one.
    pub is_template: bool,
    /// Iterators in it that are being read.
    pub streams: AtomicUsize,
}

impl Wear {
    /// `spare`: it waits for its turn. `is_bounded`: there is a limit to its memory.
    pub fn new(most: u64, spare: bool, is_bounded: bool) -> Self {
        Wear {
            place: AtomicU8::new(if spare { 0 } else { ENTERED }),
            most,
            is_bounded,
            ..Wear::default()
        }
    }

    pub fn template() -> Self {
        Wear {
            is_template: true,
            ..Wear::default()
        }
    }

    /// Whether it could take requests, or a spare one could when its turn comes.
    pub fn is_ready(&self) -> bool {
        self.place.load(Ordering::Acquire) & READY != 0
    }

    /// Whether it counts as a worker of its pool. A spare one does not.
    pub fn has_entered(&self) -> bool {
        self.place.load(Ordering::Acquire) & ENTERED != 0
    }

    pub fn stream_opened(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    pub fn stream_closed(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }
}
