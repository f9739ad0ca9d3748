//! What is not known at first, is then, and never changes again.
//!
//! As a `OnceLock`, for what each call has one of: nobody waits here for somebody who is about to set it, which
//! makes it several times as cheap.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU8, Ordering};

const NOTHING: u8 = 0;
/// It is being written.
const CLAIMED: u8 = 1;
const THERE: u8 = 2;

pub struct Later<T> {
    state: AtomicU8,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the value is written by one thread, whose claim succeeds, and read by others after that only. Each may
// drop it.
unsafe impl<T: Send + Sync> Sync for Later<T> {}

impl<T> Later<T> {
    pub const fn new() -> Self {
        Later {
            state: AtomicU8::new(NOTHING),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Sets it, unless it is set already, or is this moment.
    pub fn set(&self, value: T) {
        let claimed =
            self.state
                .compare_exchange(NOTHING, CLAIMED, Ordering::Relaxed, Ordering::Relaxed);
        if claimed.is_ok() {
            // SAFETY: nobody else has claimed it, and nobody reads it yet.
            unsafe { (*self.value.get()).write(value) };
            self.state.store(THERE, Ordering::Release);
        }
    }

    pub fn get(&self) -> Option<&T> {
        let is_there = self.state.load(Ordering::Acquire) == THERE;
        // SAFETY: it was written before, and is not changed any more.
        is_there.then(|| unsafe { (*self.value.get()).assume_init_ref() })
    }
}

impl<T> Drop for Later<T> {
    fn drop(&mut self) {
        if *self.state.get_mut() == THERE {
            // SAFETY: it was written, and nobody has it any more.
            unsafe { self.value.get_mut().assume_init_drop() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Later;
    use std::sync::Arc;

    #[test]
    fn it_is_set_once_and_dropped_once() {
        let (first, second) = (Arc::new(1), Arc::new(2));
        let later = Later::new();
        assert!(later.get().is_none());
        later.set(Arc::clone(&first));
        later.set(Arc::clone(&second));
        assert_eq!(later.get(), Some(&first));
        assert_eq!(
            (Arc::strong_count(&first), Arc::strong_count(&second)),
            (2, 1)
        );
        drop(later);
        assert_eq!(Arc::strong_count(&first), 1);
        drop(Later::<Arc<u8>>::new());
    }

    #[test]
    fn others_find_nothing_or_all_of_it() {
        let later = Later::new();
        std::thread::scope(|scope| {
            for number in 0..4u64 {
                let later = &later;
                scope.spawn(move || {
                    later.set([number; 16]);
                    while later.get().is_none() {
                        std::thread::yield_now();
                    }
                });
            }
            while later.get().is_none() {
                std::thread::yield_now();
            }
        });
        assert!(
            later
                .get()
                .is_some_and(|found| found.iter().all(|n| n == &found[0]))
        );
    }
}
