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
pub const LOOK: Duration = Duration::from_micros(20);

/// After so long it lets others have the processor in between: they may be whom it waits for.
pub const ALONE: Duration = Duration::from_micros(8);

/// How long a scheduler waits for an answer, at most: somebody else may want it.
pub const GLANCE: Duration = Duration::from_micros(9);

/// How long it sleeps on its dirty scheduler, at most.
const SLEEP: Duration = Duration::from_millis(20);

/// After so many times in a row for nothing it is done more rarely: callers make other calls, or other
/// programs have the processor that they need.
const MISSES: u32 = 4;
const RARELY: u32 = 16;

/// The same where sleeping costs several times as much as looking does.
pub const OFTEN: u32 = 4;

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
        self.luck.watch(LOOK, || self.has_arrived(mark)) || (may_sleep && self.sleep(mark))
    }

    /// The same, awake, for so long, or until there is something else.
    pub fn wait_for(&self, mark: Mark, longest: Duration, other: impl Fn() -> bool) -> bool {
        lock::forbid("a request is waited for");
        self.luck.is_good_for(OFTEN)
            && self
                .luck
                .look(longest, || self.has_arrived(mark) || other())
    }

    /// Whether a request was handed in since the mark.
    pub fn has_arrived(&self, mark: Mark) -> bool {
        self.arrivals.load(Ordering::Acquire) != mark.0
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

    /// Looks, if that is worth it, for so long whether something has come.
    pub fn watch(&self, longest: Duration, has_come: impl Fn() -> bool) -> bool {
        self.is_good() && self.look_politely(longest, ALONE, has_come)
    }

    /// The same where it was asked before whether that is worth it, and without a pause: others could have the processor
    /// for long then.
    pub fn look(&self, longest: Duration, has_come: impl Fn() -> bool) -> bool {
        self.look_politely(longest, Duration::MAX, has_come)
    }

    /// The same with pauses, which begin after `alone`.
    pub fn look_politely(
        &self,
        longest: Duration,
        alone: Duration,
        has_come: impl Fn() -> bool,
    ) -> bool {
        let begun = Instant::now();
        let mut passed = Duration::ZERO;
        while passed < longest {
            for _ in 0..16 {
                if has_come() {
                    self.hit();
                    return true;
                }
                std::hint::spin_loop();
            }
            if passed >= alone {
                std::thread::yield_now();
            }
            passed = begun.elapsed();
        }
        self.miss();
        false
    }

    /// It was worth it.
    pub fn hit(&self) {
        // What is as it was is not written: others look at what is beside it.
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    /// It was in vain.
    pub fn miss(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it is worth it to look this time.
    fn is_good(&self) -> bool {
        self.is_good_for(RARELY)
    }

    /// The same where it is tried once in so many times when it has been in vain: what is spared may be a lot.
    pub fn is_good_for(&self, rarely: u32) -> bool {
        if !has_processors() {
            return false;
        }
        let misses = self.0.load(Ordering::Relaxed);
        if misses < MISSES {
            return true;
        }
        self.0
            .store(misses.wrapping_add(1).max(MISSES), Ordering::Relaxed);
        misses.is_multiple_of(rarely)
    }
}

/// Whether there is a processor for those who are waited for beside the one that looks.
fn has_processors() -> bool {
    processors() > 1
}

/// How many processors there are.
pub fn processors() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| std::thread::available_parallelism().map_or(1, |count| count.get()))
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
            assert!(!luck.watch(LOOK, || number.load(Ordering::Acquire) != 1));
        }
        let looks = (0..160).filter(|_| luck.is_good()).count();
        assert_eq!(looks, 10);
        while !luck.watch(LOOK, || number.load(Ordering::Acquire) != 0) {}
        assert!(luck.is_good());
    }
}
