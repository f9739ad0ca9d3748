//! The locks of this library. All are ones that a scheduler, the clock or the interrupter may want, now or
//! after the next change: so none may be held where somebody else's code decides how long that is.
//!
//! **While one is held**, no Python code is run, no Python object made, no reference to one dropped, the GIL
//! neither waited for nor given back, and no environment of terms freed (that drops what the terms refer to,
//! and runs destructors). Builds with debug assertions check it, for each lock, at each of these (`forbid`, and
//! `interpreter::checked` for what Python allocates and frees): `make test-locks` runs tests with such a build.
//!
//! A panic under a lock leaves the data as whole as it was: the critical sections are a few moves. So there is
//! no poisoning here.

use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

#[derive(Default)]
pub struct Mutex<T>(std::sync::Mutex<T>);

pub struct MutexGuard<'m, T> {
    guard: std::sync::MutexGuard<'m, T>,
    held: Held,
}

#[derive(Default)]
pub struct Condvar(std::sync::Condvar);

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Self {
        Mutex(std::sync::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            guard: self.0.lock().unwrap_or_else(PoisonError::into_inner),
            held: Held::new(),
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl Condvar {
    pub const fn new() -> Self {
        Condvar(std::sync::Condvar::new())
    }

    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits for a notification, or less.
    pub fn wait<'m, T>(&self, MutexGuard { guard, held }: MutexGuard<'m, T>) -> MutexGuard<'m, T> {
        let guard = self.0.wait(guard).unwrap_or_else(PoisonError::into_inner);
        MutexGuard { guard, held }
    }

    pub fn wait_while<'m, T>(
        &self,
        MutexGuard { guard, held }: MutexGuard<'m, T>,
        condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'m, T> {
        let guard = self.0.wait_while(guard, condition);
        MutexGuard {
            guard: guard.unwrap_or_else(PoisonError::into_inner),
            held,
        }
    }

    /// Says too whether the time was over.
    pub fn wait_timeout_while<'m, T>(
        &self,
        MutexGuard { guard, held }: MutexGuard<'m, T>,
        timeout: Duration,
        condition: impl FnMut(&mut T) -> bool,
    ) -> (MutexGuard<'m, T>, bool) {
        let waited = self.0.wait_timeout_while(guard, timeout, condition);
        let (guard, result) = waited.unwrap_or_else(PoisonError::into_inner);
        (MutexGuard { guard, held }, result.timed_out())
    }

    /// Waits for one notification, or less, until then at most.
    pub fn wait_until<'m, T>(
        &self,
        guard: MutexGuard<'m, T>,
        until: Option<Instant>,
    ) -> MutexGuard<'m, T> {
        match until {
            None => self.wait(guard),
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                self.wait_timeout(guard, left)
            }
        }
    }

    /// Waits for one notification, or less.
    pub fn wait_timeout<'m, T>(
        &self,
        MutexGuard { guard, held }: MutexGuard<'m, T>,
        timeout: Duration,
    ) -> MutexGuard<'m, T> {
        let waited = self.0.wait_timeout(guard, timeout);
        let (guard, _) = waited.unwrap_or_else(PoisonError::into_inner);
        MutexGuard { guard, held }
    }
}

#[cfg(debug_assertions)]
pub use checked::{Held, forbid};
#[cfg(not(debug_assertions))]
pub use unchecked::{Held, forbid};

#[cfg(not(debug_assertions))]
mod unchecked {
    /// A lock is held: nothing, unless that is checked.
    pub struct Held;

    impl Held {
        #[inline(always)]
        pub fn new() -> Self {
            Held
        }
    }

    /// To be called where no lock may be held.
    #[inline(always)]
    pub fn forbid(_what: &str) {}
}

#[cfg(debug_assertions)]
mod checked {
    use std::backtrace::Backtrace;
    use std::cell::Cell;

    thread_local! {
        static HELD: Cell<usize> = const { Cell::new(0) };
    }

    /// A lock is held by this thread.
    pub struct Held(());

    impl Held {
        pub fn new() -> Self {
            HELD.set(HELD.get() + 1);
            Held(())
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            HELD.set(HELD.get() - 1);
        }
    }

    /// To be called where no lock may be held. Ends the VM if one is: an error could go unnoticed.
    pub fn forbid(what: &str) {
        // A thread that is ending may have lost its count.
        let held = HELD.try_with(Cell::get).unwrap_or(0);
        if held == 0 {
            return;
        }
        if cfg!(test) {
            panic!("{what} while a lock is held");
        }
        // What follows may free and allocate.
        HELD.set(0);
        eprintln!(
            "{what} while a lock is held:\n{}",
            Backtrace::force_capture()
        );
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_held_is_noticed() {
        let lock = Mutex::new(1);
        forbid("nothing");
        let refused = std::panic::catch_unwind(|| {
            let _held = lock.lock();
            forbid("a test");
        });
        assert_eq!(refused.is_err(), cfg!(debug_assertions));
    }

    #[test]
    fn waiting_gives_the_lock_back() {
        let (lock, changed) = (Mutex::new(false), Condvar::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                *lock.lock() = true;
                changed.notify_one();
            });
            let done = changed.wait_while(lock.lock(), |done| !*done);
            assert!(*done);
            drop(done);
        });
        forbid("nothing");
        let none = |_: &mut bool| true;
        assert!(
            changed
                .wait_timeout_while(lock.lock(), Duration::ZERO, none)
                .1
        );
        drop(changed.wait_timeout(lock.lock(), Duration::ZERO));
        drop(changed.wait_until(lock.lock(), Some(Instant::now())));
        forbid("nothing");
    }
}
