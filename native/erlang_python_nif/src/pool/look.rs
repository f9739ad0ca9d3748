//! A caller that looks for the answer to its request itself, instead of having it sent.
//!
//! To send a message and to run the process that it is for costs as much as a tiny call does. So the answer is put
//! where its caller finds it, if that looks there, which it may do for a while from within its native function. What
//! is found is copied by the caller; the one who has answered has it back after that, as memory is best freed where it
//! was allocated.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU8, Ordering};

/// Nobody looks, or looks any more: the answer is to be sent.
const AWAY: u8 = 0;
/// The caller looks from time to time.
const LOOKING: u8 = 1;
/// The answer is there.
const THERE: u8 = 2;
/// The caller has it, and does not need what is here any longer.
const TAKEN: u8 = 3;

pub struct Look<T> {
    state: AtomicU8,
    answer: UnsafeCell<Option<T>>,
}

// SAFETY: who is in `answer` follows from `state`: before `THERE` the one who answers, of whom there is one, from there
// to `TAKEN` the caller, and after that the one who has answered.
unsafe impl<T: Send> Sync for Look<T> {}

impl<T> Default for Look<T> {
    fn default() -> Self {
        Look {
            state: AtomicU8::new(AWAY),
            answer: UnsafeCell::new(None),
        }
    }
}

impl<T> Look<T> {
    /// The caller will look. Before the request is handed in.
    pub fn begin(&self) {
        self.state.store(LOOKING, Ordering::Relaxed);
    }

    /// For the caller: whether it has begun to look, and not stopped.
    pub fn is_begun(&self) -> bool {
        self.state.load(Ordering::Relaxed) != AWAY
    }

    /// Whether the answer is to be put here.
    pub fn is_looked_for(&self) -> bool {
        self.state.load(Ordering::Acquire) == LOOKING
    }

    /// For the one who answers, once: puts the answer here. Given back if the caller does not look any more.
    pub fn put(&self, answer: T) -> Result<(), T> {
        if !self.is_looked_for() {
            return Err(answer);
        }
        // SAFETY: nobody else is in it before `THERE`.
        let place = unsafe { &mut *self.answer.get() };
        *place = Some(answer);
        let put = self
            .state
            .compare_exchange(LOOKING, THERE, Ordering::Release, Ordering::Relaxed);
        match put {
            Ok(_) => Ok(()),
            // The caller has left before that, and nobody else comes.
            Err(_) => place.take().map_or(Ok(()), Err),
        }
    }

    /// Whether the answer was put here.
    pub fn has_found(&self) -> bool {
        matches!(self.state.load(Ordering::Acquire), THERE | TAKEN)
    }

    /// Whether it is here, and the caller has not taken it yet.
    pub fn is_there(&self) -> bool {
        self.state.load(Ordering::Acquire) == THERE
    }

    /// For the caller: what `work` makes of the answer, if it is there.
    pub fn take<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        if !self.is_there() {
            return None;
        }
        // SAFETY: it is the caller's from `THERE` to `TAKEN`.
        let answer = unsafe { &mut *self.answer.get() }.as_mut()?;
        let made = work(answer);
        self.state.store(TAKEN, Ordering::Release);
        Some(made)
    }

    /// For the caller, who looks no more. False if the answer is there.
    pub fn leave(&self) -> bool {
        let left = self
            .state
            .compare_exchange(LOOKING, AWAY, Ordering::Relaxed, Ordering::Acquire);
        left.is_ok()
    }

    /// For the one who has put the answer here: what it was, when the caller does not need it any more.
    pub fn take_back(&self) -> Option<T> {
        if self.state.load(Ordering::Acquire) != TAKEN {
            return None;
        }
        // SAFETY: the caller has left it, and nobody else has put anything there.
        unsafe { &mut *self.answer.get() }.take()
    }
}

#[cfg(test)]
mod tests {
    use super::Look;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn an_answer_that_is_looked_for_is_found_and_comes_back() {
        let look = Look::default();
        assert_eq!((look.put(1), look.leave()), (Err(1), false));
        look.begin();
        assert!(look.is_looked_for() && !look.is_there());
        assert_eq!(
            (look.take(|answer| *answer), look.take_back()),
            (None, None)
        );
        assert_eq!(look.put(2), Ok(()));
        assert!(look.is_there() && look.has_found() && !look.is_looked_for());
        // Whoever comes later has nothing to put.
        assert_eq!((look.put(3), look.take_back()), (Err(3), None));
        assert!(!look.leave());
        assert_eq!(look.take(|answer| *answer), Some(2));
        assert_eq!(
            (look.take(|answer| *answer), look.take_back()),
            (None, Some(2))
        );
        assert!(look.has_found());
    }

    #[test]
    fn who_has_left_finds_nothing() {
        let look = Look::default();
        look.begin();
        assert!(look.leave() && !look.leave());
        assert_eq!((look.put(1), look.take(|answer| *answer)), (Err(1), None));
        assert!(!look.has_found());
    }

    #[test]
    fn an_answer_is_found_or_sent_and_never_both() {
        for round in 0..2_000 {
            let (look, go) = (Look::default(), AtomicBool::new(false));
            look.begin();
            std::thread::scope(|scope| {
                let answers = scope.spawn(|| {
                    while !go.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                    look.put(vec![round]).is_err()
                });
                go.store(true, Ordering::Relaxed);
                for _ in 0..round % 50 {
                    std::hint::spin_loop();
                }
                let found = !look.leave() && look.take(|answer| answer[0] == round) == Some(true);
                assert!(answers.join().is_ok_and(|sent| sent != found));
            });
        }
    }
}
