//! What is noted of a request beside its state, a bit each.

use std::sync::atomic::{AtomicU16, Ordering};

#[derive(Default)]
pub struct Marks(AtomicU16);

/// It has left the place where it ran.
pub const LEFT: u16 = 1;
/// An interrupt was aimed at it, and may still be pending in its thread.
pub const INTERRUPTED: u16 = 1 << 1;
/// An interrupt waits for the end of a C library's call.
pub const PUT_OFF: u16 = 1 << 2;
/// The next interrupt is not needed: its work is done already.
pub const SKIP: u16 = 1 << 3;
/// Its code was told that nobody waits any more.
pub const TOLD: u16 = 1 << 4;
/// It waits with a callback and not in the queue.
pub const NESTED: u16 = 1 << 5;
/// It takes a place in the queue. Changed with the queue's lock held.
pub const PLACED: u16 = 1 << 6;
/// Somebody waits for the answer, or has.
pub const CLAIMED: u16 = 1 << 7;
/// Its ticket is kept with it, or was.
pub const KEPT: u16 = 1 << 8;
/// It is no part of the callback that it waits with.
pub const BESIDE: u16 = 1 << 9;

/// The last interrupt that was aimed at it has not struck.
pub const MISSED: u16 = 1 << 10;
/// It was cancelled more than once, and goes on.
pub const REFUSES: u16 = 1 << 11;
/// Its event loop is told that nobody waits for it, and has not looked yet.
pub const POSTED: u16 = 1 << 12;
/// Its caller is in the body of a `with`: who dies there ends the body, and that is to be left.
pub const HELD: u16 = 1 << 13;
/// That body is over.
pub const BODY_OVER: u16 = 1 << 14;
/// Nobody holds its ticket any more, though nobody has answered it.
pub const DROPPED: u16 = 1 << 15;

impl Marks {
    pub fn has(&self, mark: u16) -> bool {
        self.0.load(Ordering::SeqCst) & mark != 0
    }

    /// Whether its code was interrupted, and is on its way out.
    pub fn struck(&self) -> bool {
        self.has(INTERRUPTED) && !self.has(MISSED)
    }

    /// Says whether it was there before.
    pub fn set(&self, mark: u16) -> bool {
        self.0.fetch_or(mark, Ordering::SeqCst) & mark != 0
    }

    /// Says whether it was there.
    pub fn take(&self, mark: u16) -> bool {
        self.0.fetch_and(!mark, Ordering::SeqCst) & mark != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_there_until_it_is_taken_and_leaves_the_others_alone() {
        let marks = Marks::default();
        assert!(!marks.set(LEFT) && marks.set(LEFT) && !marks.set(TOLD));
        assert!(marks.has(LEFT) && marks.has(TOLD) && !marks.has(SKIP));
        assert!(marks.take(LEFT) && !marks.take(LEFT));
        assert!(marks.has(TOLD) && !marks.has(LEFT));
    }
}
