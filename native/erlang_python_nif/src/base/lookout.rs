//! A worker looks out for the next request before it goes idle.
//!
//! To come back from idle costs a message, two changes of scheduler and often the waking of both:
//! several times what a tiny call costs. A caller that makes one call after the other is heard of within
//! two microseconds; for that long the worker keeps its processor. After that it sleeps where it is, from
//! where one wake-up gets it, and goes idle when nothing has come for a while.

use crate::base::lock::{self, Condvar, Mutex};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long it keeps its processor, at most.
const LOOK: Duration = Duration::from_micros(20);

/// After so long it lets others have the processor in between: they may be whom it waits for.
const ALONE: Duration = Duration::from_micros(8);

/// How long it sleeps on its dirty scheduler, at most.
const SLEEP: Duration = Duration::from_millis(20);

/// After so many times in a row for nothing it is done more rarely: callers make other calls, or other
/// programs have the processor that they need.
const MISSES: u32 = 4;
const RARELY: u32 = 16;

/// What a pool's workers have in common for this.
#[derive(Default)]
pub struct Lookout {
    /// Changes with every request that is handed in.
    arrivals: AtomicUsize,
    luck: Luck,
    /// How many sleep: one, or more when one was killed. Changed with the lock held.
    asleep: AtomicUsize,
    sleep: Mutex<()>,
    woken: Condvar,
}

/// How far a pool was when its queue was found empty.
#[derive(Clone, Copy)]
pub struct Mark(usize);

impl Lookout {
    /// A request has been handed in, or the one who looks out is to come back.
    pub fn tell(&self) {
        // In one order with what `sleep` does: either it sees this, or it is seen asleep.
        self.arrivals.fetch_add(1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) > 0 {
            drop(self.sleep.lock());
            self.woken.notify_all();
        }
    }

    /// To be asked before the queue is looked at.
    pub fn mark(&self) -> Mark {
        Mark(self.arrivals.load(Ordering::Acquire))
    }

    /// Waits a moment for a request. Says whether one was handed in since the mark. `may_sleep`: on a
    /// dirty scheduler that nobody else needs.
    pub fn wait(&self, mark: Mark, may_sleep: bool) -> bool {
        lock::forbid("a request is waited for");
        self.luck.watch(&self.arrivals, mark.0) || (may_sleep && self.sleep(mark))
    }

    fn sleep(&self, mark: Mark) -> bool {
        let lock = self.sleep.lock();
        self.asleep.fetch_add(1, Ordering::SeqCst);
        let nothing = || self.arrivals.load(Ordering::SeqCst) == mark.0;
        let (_lock, timed_out) = self.woken.wait_timeout_while(lock, SLEEP, |()| nothing());
        self.asleep.fetch_sub(1, Ordering::SeqCst);
        !timed_out
    }
}

/// Whether it is worth it to keep the processor and look, instead of sleeping: how often that was in vain
/// since it was not.
#[derive(Default)]
pub struct Luck(AtomicU32);

impl Luck {
    pub const fn new() -> Self {
        Luck(AtomicU32::new(0))
    }

    /// Looks, if that is worth it, for some µs whether a number is another one than `seen`.
    pub fn watch(&self, number: &AtomicUsize, seen: usize) -> bool {
        if !self.is_good() {
            return false;
        }
        let begun = Instant::now();
        let mut passed = Duration::ZERO;
        while passed < LOOK {
            for _ in 0..16 {
                if number.load(Ordering::Acquire) != seen {
                    // What is as it was is not written: others look at what is beside it.
                    if self.0.load(Ordering::Relaxed) != 0 {
                        self.0.store(0, Ordering::Relaxed);
                    }
                    return true;
                }
                std::hint::spin_loop();
            }
            if passed > ALONE {
                std::thread::yield_now();
            }
            passed = begun.elapsed();
        }
        self.0.fetch_add(1, Ordering::Relaxed);
        false
    }

    fn is_good(&self) -> bool {
        if !has_processors() {
            return false;
        }
        let misses = self.0.load(Ordering::Relaxed);
        if misses < MISSES {
            return true;
        }
        self.0
            .store(misses.wrapping_add(1).max(MISSES), Ordering::Relaxed);
        misses.is_multiple_of(RARELY)
    }
}

/// Whether there is a processor for those who are waited for beside the one that looks.
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
        for may_sleep in [false, true] {
            assert!(lookout.wait(mark, may_sleep));
            assert!(!lookout.wait(lookout.mark(), may_sleep));
        }
    }

    #[test]
    fn one_that_sleeps_is_woken() {
        let lookout = Lookout::default();
        let seen = std::thread::scope(|scope| {
            let sleeper =
                scope.spawn(|| (0..100).filter(|_| lookout.sleep(lookout.mark())).count());
            while !sleeper.is_finished() {
                lookout.tell();
                std::thread::yield_now();
            }
            sleeper.join()
        });
        assert!(seen.is_ok_and(|seen| seen > 50));
    }

    #[test]
    fn what_is_in_vain_is_done_rarely_until_something_comes() {
        if !has_processors() {
            return;
        }
        let (luck, number) = (Luck::new(), AtomicUsize::new(1));
        for _ in 0..MISSES {
            assert!(luck.is_good());
            assert!(!luck.watch(&number, 1));
        }
        let looks = (0..160).filter(|_| luck.is_good()).count();
        assert_eq!(looks, 10);
        while !luck.watch(&number, 0) {}
        assert!(luck.is_good());
    }
}
