//! What is handed to a thread that does one thing after the other.

use crate::base::lock::{Condvar, Mutex};
use std::time::Instant;

pub struct Inbox<T> {
    /// Held for a push, or to take all.
    waiting: Mutex<Vec<T>>,
    changed: Condvar,
}

impl<T> Inbox<T> {
    pub const fn new() -> Self {
        Inbox {
            waiting: Mutex::new(Vec::new()),
            changed: Condvar::new(),
        }
    }

    /// Never waits.
    pub fn post(&self, item: T) {
        self.waiting.lock().push(item);
        self.changed.notify_one();
    }

    /// The same, unless enough waits already.
    pub fn post_unless(&self, item: T, enough: impl FnOnce(&[T]) -> bool) {
        // What is refused is dropped when the lock is free again.
        let _refused = {
            let mut waiting = self.waiting.lock();
            if enough(&waiting) {
                Some(item)
            } else {
                waiting.push(item);
                None
            }
        };
        self.changed.notify_one();
    }

    /// Waits for items, until then at most, and takes all.
    pub fn wait(&self, until: Option<Instant>) -> Vec<T> {
        let waiting = self.waiting.lock();
        let mut waiting = match until {
            Some(due) => {
                let left = due.saturating_duration_since(Instant::now());
                self.changed
                    .wait_timeout_while(waiting, left, |waiting| waiting.is_empty())
                    .0
            }
            None => self
                .changed
                .wait_while(waiting, |waiting| waiting.is_empty()),
        };
        std::mem::take(&mut *waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::Inbox;
    use std::time::Instant;

    #[test]
    fn all_that_waits_is_taken_in_its_order() {
        let inbox = Inbox::new();
        inbox.post(1);
        inbox.post_unless(2, |waiting| waiting.len() > 1);
        inbox.post_unless(3, |waiting| waiting.len() > 1);
        assert_eq!(inbox.wait(None), [1, 2]);
        assert!(inbox.wait(Some(Instant::now())).is_empty());
    }

    #[test]
    fn one_that_waits_is_woken() {
        let inbox = Inbox::new();
        std::thread::scope(|scope| {
            scope.spawn(|| inbox.post(()));
            assert_eq!(inbox.wait(None).len(), 1);
        });
    }
}
