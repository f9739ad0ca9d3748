//! How much of Python's memory all handles together keep alive, and when that asks for a collection.
//!
//! Each process is collected by what it has got (`object`). But the VM does not count what a process gets in
//! a message from another, and a process that does nothing is not collected at all. So when the sum has
//! doubled, `Python.Collector` is asked to collect all processes. If most of it is in use, the sum is large
//! afterwards too, and the next time is far away.

use crate::atoms;
use crate::watchdog;
use rustler::sys::{ErlNifPid, enif_whereis_pid};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Below this many bytes nobody is asked.
const LEAST: usize = 64 << 20;

static HELD: AtomicUsize = AtomicUsize::new(0);

/// The sum at which a collection is asked for; none while one is under way.
static MARK: AtomicUsize = AtomicUsize::new(LEAST);

const UNDER_WAY: usize = usize::MAX;

/// A handle keeps so many bytes alive.
pub fn add(weight: usize) {
    if weight == 0 {
        return;
    }
    let held = HELD.fetch_add(weight, Ordering::Relaxed) + weight;
    if held > MARK.load(Ordering::Relaxed) && MARK.swap(UNDER_WAY, Ordering::AcqRel) != UNDER_WAY {
        watchdog::collect();
    }
}

/// It is gone.
pub fn remove(weight: usize) {
    HELD.fetch_sub(weight, Ordering::Relaxed);
}

/// All processes were collected, as far as they could be.
pub fn collected() {
    let held = HELD.load(Ordering::Relaxed);
    MARK.store(LEAST.max(held.saturating_mul(2)), Ordering::Release);
}

/// Whom to ask. For a thread that is none of the VM's.
pub fn collector() -> Option<rustler::LocalPid> {
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
