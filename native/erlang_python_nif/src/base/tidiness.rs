//! Gives back blocks of memory that nobody has used for a while.

use super::blocks::BLOCKS;
use super::{clock, deadline, fork};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long blocks wait for their next use, at least; twice as long at most.
const WHILE: Duration = Duration::from_secs(1);

/// Between two goes.
const BREATH: Duration = Duration::from_millis(5);

/// The clock will look.
static DUE: AtomicBool = AtomicBool::new(false);

/// Has the clock look, if there is something to give back. To be called when blocks were freed, by who may hand
/// something to the clock: not by our own allocator, whose memory the clock's errands are in.
#[inline]
pub fn see() {
    if BLOCKS.is_untidy() {
        look_later();
    }
}

#[cold]
fn look_later() {
    // A child has no clock.
    if !DUE.swap(true, Ordering::Relaxed) && !fork::is_child() {
        clock::after(WHILE, |_, _| look());
    }
}

/// When to look again.
fn look() -> Option<Duration> {
    if BLOCKS.tidy(deadline::now().saturating_sub(WHILE.as_millis() as u64)) {
        return Some(BREATH);
    }
    if BLOCKS.is_untidy() {
        return Some(WHILE);
    }
    DUE.store(false, Ordering::Relaxed);
    // What was freed in between has found it still due.
    (BLOCKS.is_untidy() && !DUE.swap(true, Ordering::Relaxed)).then_some(WHILE)
}
