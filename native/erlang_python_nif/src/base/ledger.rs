//! How much of Python's memory all handles together keep alive, and when that asks for a collection.
//!
//! Each process is collected by what it has got (`object`). But the VM does not count what a process gets in
//! a message from another, and a process that does nothing is not collected at all. So when the sum has
//! doubled, `Python.Collector` is asked to collect all processes. If most of it is in use, the sum is large
//! afterwards too, and the next time is far away.

use crate::base::atoms;
use crate::base::clock;
use crate::base::side;
use crate::base::term_env::Sender;
use rustler::sys::{ErlNifPid, enif_whereis_pid};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Below this many bytes nobody is asked.
const LEAST: usize = 64 << 20;

/// How long the VM of a Python process may take to collect.
const PATIENCE: Duration = Duration::from_secs(1);

static HELD: AtomicUsize = AtomicUsize::new(0);

/// The sum at which a collection is asked for; none while one is under way. It is twice what was in use at the
/// least since the last one.
static MARK: AtomicUsize = AtomicUsize::new(LEAST);

const UNDER_WAY: usize = usize::MAX;

/// What is in the ledger for one object.
#[derive(Default)]
pub struct Account(AtomicUsize);

/// Nothing more is entered.
const CLOSED: usize = usize::MAX;

impl Account {
    pub fn new(weight: usize) -> Self {
        add(weight);
        Account(AtomicUsize::new(weight))
    }

    pub fn weight(&self) -> usize {
        match self.0.load(Ordering::Acquire) {
            CLOSED => 0,
            weight => weight,
        }
    }

    /// It keeps so many bytes alive now. How many more than before.
    pub fn set(&self, weight: usize) -> usize {
        // First, so that the sum is never less than nothing.
        add(weight);
        let changed = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |before| {
                (before != CLOSED).then_some(weight)
            });
        match changed {
            Ok(before) => {
                remove(before);
                weight.saturating_sub(before)
            }
            Err(_closed) => {
                remove(weight);
                0
            }
        }
    }

    /// It is gone.
    pub fn close(&self) {
        match self.0.swap(CLOSED, Ordering::AcqRel) {
            CLOSED => {}
            weight => remove(weight),
        }
    }

    pub fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire) == CLOSED
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.close();
    }
}

/// A handle keeps so many bytes alive.
fn add(weight: usize) {
    if weight == 0 {
        return;
    }
    let held = HELD.fetch_add(weight, Ordering::Relaxed) + weight;
    if held > MARK.load(Ordering::Relaxed) && MARK.swap(UNDER_WAY, Ordering::AcqRel) != UNDER_WAY {
        clock::soon(|sender, _| collect(sender));
    }
}

fn remove(weight: usize) {
    if weight == 0 {
        return;
    }
    let held = HELD
        .fetch_sub(weight, Ordering::Relaxed)
        .saturating_sub(weight);
    let mark = MARK.load(Ordering::Relaxed);
    let lower = mark_above(held);
    if lower < mark && mark != UNDER_WAY {
        // Should it have changed, others see to it.
        let _ = MARK.compare_exchange(mark, lower, Ordering::AcqRel, Ordering::Relaxed);
    }
}

/// All processes were collected, as far as they could be.
pub fn collected() {
    let held = HELD.load(Ordering::Relaxed);
    MARK.store(mark_above(held), Ordering::Release);
}

fn mark_above(held: usize) -> usize {
    LEAST.max(held.saturating_mul(2))
}

/// Asks for a collection of all processes.
fn collect(sender: Sender) {
    if !collector().is_some_and(|pid| sender.send_immediate(&pid, atoms::collect())) {
        collected();
    } else if side::is_worker() {
        // Nobody tells this process when the VM has done so.
        clock::after(PATIENCE, |_, _| {
            collected();
            None
        });
    }
}

/// Whom to ask. For a thread that is none of the VM's.
fn collector() -> Option<rustler::LocalPid> {
    let mut pid = MaybeUninit::<ErlNifPid>::uninit();
    // SAFETY: no environment, as this is no thread of the VM's; an atom, which belongs to none.
    let found = unsafe {
        enif_whereis_pid(
            ptr::null_mut(),
            atoms::collector().as_c_arg(),
            pid.as_mut_ptr(),
        )
    };
    // SAFETY: written if there is such a process.
    (found != 0).then(|| rustler::LocalPid::from_c_arg(unsafe { pid.assume_init() }))
}

#[cfg(test)]
mod tests {
    use super::{Account, HELD, mark_above};
    use std::sync::atomic::Ordering;

    // In one test: the sum is that of all.
    #[test]
    fn the_sum_is_that_of_the_open_accounts() {
        let held = || HELD.load(Ordering::Relaxed);
        let before = held();
        let account = Account::new(10);
        assert_eq!(account.set(30), 20);
        assert_eq!(account.set(20), 0);
        assert_eq!((account.weight(), held() - before), (20, 20));
        account.close();
        assert!(account.is_closed());
        assert_eq!(account.set(5), 0);
        account.close();
        assert_eq!((account.weight(), held()), (0, before));
        drop(account);
        drop(Account::new(7));
        assert_eq!(held(), before);
    }

    #[test]
    fn a_collection_is_asked_for_at_twice_of_what_is_in_use_and_not_for_little() {
        assert_eq!(mark_above(0), 64 << 20);
        assert_eq!(mark_above(1 << 30), 2 << 30);
    }
}
