//! A worker looks out for the next request before it goes idle.
//!
//! To come back from idle costs a message, two changes of scheduler and often the waking of one: several
//! times what a tiny call costs, while a caller that makes one call after the other is heard of within
//! two microseconds.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long, at most.
const LOOK: Duration = Duration::from_micros(10);

/// After so many times in a row for nothing it is done more rarely: callers make other calls, or other
/// programs have the processor that they need.
const MISSES: u32 = 4;
const RARELY: u32 = 16;

/// What a pool's workers have in common for this.
#[derive(Default)]
pub struct Lookout {
    /// Changes with every request that is handed in.
    arrivals: AtomicUsize,
    /// How often nothing came, since something did.
    misses: AtomicU32,
}

/// How far a pool was when its queue was found empty.
#[derive(Clone, Copy)]
pub struct Mark(usize);

impl Lookout {
    /// A request has been handed in.
    pub fn tell(&self) {
        self.arrivals.fetch_add(1, Ordering::AcqRel);
    }

    /// To be asked before the queue is looked at.
    pub fn mark(&self) -> Mark {
        Mark(self.arrivals.load(Ordering::Acquire))
    }

    /// Whether something may well come.
    pub fn is_worth_it(&self) -> bool {
        if !has_processors() {
            return false;
        }
        let misses = self.misses.load(Ordering::Relaxed);
        if misses < MISSES {
            return true;
        }
        self.misses
            .store(misses.wrapping_add(1).max(MISSES), Ordering::Relaxed);
        misses.is_multiple_of(RARELY)
    }

    /// Waits a moment for a request. Says whether one was handed in since the mark.
    pub fn wait(&self, mark: Mark) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < LOOK {
            for _ in 0..16 {
                if self.arrivals.load(Ordering::Acquire) != mark.0 {
                    self.misses.store(0, Ordering::Relaxed);
                    return true;
                }
                std::hint::spin_loop();
            }
            // Whom it waits for may need this very processor.
            std::thread::yield_now();
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        false
    }
}

/// Whether there is a processor for those who hand requests in beside the one that looks out for them.
fn has_processors() -> bool {
    static MANY: OnceLock<bool> = OnceLock::new();
    *MANY.get_or_init(|| std::thread::available_parallelism().is_ok_and(|count| count.get() > 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_in_since_the_mark_is_seen() {
        let lookout = Lookout::default();
        let mark = lookout.mark();
        lookout.tell();
        assert!(lookout.wait(mark));
        assert!(!lookout.wait(lookout.mark()));
    }

    #[test]
    fn what_is_in_vain_is_done_rarely_until_something_comes() {
        let lookout = Lookout::default();
        if !has_processors() {
            return;
        }
        for _ in 0..MISSES {
            assert!(lookout.is_worth_it());
            assert!(!lookout.wait(lookout.mark()));
        }
        let looks = (0..160).filter(|_| lookout.is_worth_it()).count();
        assert_eq!(looks, 10);
        let mark = lookout.mark();
        lookout.tell();
        assert!(lookout.wait(mark));
        assert!(lookout.is_worth_it());
    }
}
