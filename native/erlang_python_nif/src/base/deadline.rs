//! When the time of a request is over, as its code may ask (`erlang.time_left`).
//!
//! Nothing is done at that time here: the caller looks at the clock itself. Every request has a deadline
//! and hardly any asks for it, so the clock is one that costs next to nothing and is some ms off.

use std::sync::atomic::{AtomicU64, Ordering};

/// None where there is none.
#[derive(Default)]
pub struct Deadline(AtomicU64);

impl Deadline {
    /// So many ms from now on. None: never.
    pub fn set(&self, timeout: Option<u64>) {
        let due = timeout.map_or(0, |timeout| now().saturating_add(timeout).max(1));
        self.0.store(due, Ordering::Relaxed);
    }

    /// How many ms are left, at least 0. None: there is no end.
    pub fn left(&self) -> Option<u64> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            due => Some(due.saturating_sub(now())),
        }
    }
}

/// Ms of a clock that is never set.
#[cfg(target_os = "linux")]
pub fn now() -> u64 {
    // SAFETY: a valid clock and a place for the time, of which all zeroes is one.
    unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut time);
        time.tv_sec as u64 * 1_000 + time.tv_nsec as u64 / 1_000_000
    }
}

#[cfg(not(target_os = "linux"))]
pub fn now() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;

    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::Deadline;

    #[test]
    fn what_is_left_becomes_less_and_ends_at_nothing() {
        let deadline = Deadline::default();
        assert_eq!(deadline.left(), None);
        deadline.set(Some(10_000));
        assert!(
            deadline
                .left()
                .is_some_and(|left| (9_000..=10_000).contains(&left))
        );
        deadline.set(Some(0));
        assert_eq!(deadline.left(), Some(0));
        deadline.set(None);
        assert_eq!(deadline.left(), None);
    }
}
