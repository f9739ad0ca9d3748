//! Threads that sleep until something of their own happens, and are to look up when something else does: the end of
//! the request that they work for, or work that only they can do.
//!
//! Whoever makes that happen pays for one look at a number if nobody sleeps.

use crate::base::lock::Mutex;
use std::ptr;
use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Where a thread may sleep.
pub trait Wake: Send + Sync {
    /// Lets it look up. Never waits. It is called without a lock.
    fn wake(&self);
}

/// Until when a thread may sleep if nothing happens.
pub enum Limit {
    /// Not any more.
    Over,
    At(Instant),
    Open,
}

#[derive(Default)]
pub struct Sleepers {
    /// How many there are. In one order with what they look for (`enter`).
    count: AtomicUsize,
    sleeping: Mutex<Vec<Weak<dyn Wake>>>,
}

impl Sleepers {
    /// From here on `who` is woken, as long as the result lives. It must look for what it waits for after this, and
    /// what is looked at must be changed and read with `SeqCst`, or under a lock: then either it sees the change, or
    /// it is seen here.
    pub fn enter(&self, who: Weak<dyn Wake>) -> Sleeping<'_> {
        self.sleeping.lock().push(Weak::clone(&who));
        self.count.fetch_add(1, Ordering::SeqCst);
        Sleeping {
            sleepers: self,
            who,
        }
    }

    /// Wakes all. After the change.
    pub fn wake(&self) {
        if self.count.load(Ordering::SeqCst) > 0 {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        let sleeping = self.sleeping.lock().clone();
        for who in sleeping.iter().filter_map(Weak::upgrade) {
            who.wake();
        }
    }
}

pub struct Sleeping<'s> {
    sleepers: &'s Sleepers,
    who: Weak<dyn Wake>,
}

impl Drop for Sleeping<'_> {
    fn drop(&mut self) {
        self.sleepers.count.fetch_sub(1, Ordering::SeqCst);
        let _gone = {
            let mut sleeping = self.sleepers.sleeping.lock();
            let at = sleeping
                .iter()
                .position(|who| ptr::addr_eq(who.as_ptr(), self.who.as_ptr()));
            at.map(|at| sleeping.swap_remove(at))
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::lock::Condvar;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    #[derive(Default)]
    struct Bed {
        looks: Mutex<usize>,
        changed: Condvar,
    }

    impl Wake for Bed {
        fn wake(&self) {
            *self.looks.lock() += 1;
            self.changed.notify_all();
        }
    }

    fn weak(bed: &Arc<Bed>) -> Weak<dyn Wake> {
        let bed: Weak<Bed> = Arc::downgrade(bed);
        bed
    }

    #[test]
    fn those_who_sleep_are_woken_and_no_others() {
        let (sleepers, one, other) = (Sleepers::default(), Arc::default(), Arc::default());
        let looks = |bed: &Arc<Bed>| *bed.looks.lock();
        let asleep = sleepers.enter(weak(&one));
        sleepers.wake();
        assert_eq!((looks(&one), looks(&other)), (1, 0));
        let also = sleepers.enter(weak(&other));
        drop(asleep);
        sleepers.wake();
        assert_eq!((looks(&one), looks(&other)), (1, 1));
        drop(also);
        sleepers.wake();
        assert_eq!((looks(&one), looks(&other)), (1, 1));
    }

    #[test]
    fn no_change_is_missed() {
        for _ in 0..2_000 {
            let (sleepers, changed) = (Sleepers::default(), AtomicBool::new(false));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let bed = Arc::default();
                    let _asleep = sleepers.enter(weak(&bed));
                    let looks = bed.looks.lock();
                    drop(bed.changed.wait_while(looks, |looks| {
                        *looks == 0 && !changed.load(Ordering::SeqCst)
                    }));
                });
                changed.store(true, Ordering::SeqCst);
                sleepers.wake();
            });
        }
    }
}
