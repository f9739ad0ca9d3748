//! How the VM's process ends.
//!
//! erts ends it with `exit`, which runs what the libraries in it have registered to be run, and their
//! destructors: while their own threads, and Python's, are at work. Then a library waits for a thread that
//! never comes back, or takes away what a thread is using. The interpreter is not finalised either. So the
//! process ends before it comes to that: with what is first to be run, as it was registered last.
//!
//! What else is registered meanwhile would come before it. So it takes itself back and registers anew, often
//! while Python is at work, and when the application ends. Only glibc can take back, and tells the status:
//! elsewhere an exit remains what it was.

use crate::base::clock;
use crate::pool::{Pool, registry};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub use glibc::stay_first;

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn stay_first() {}

/// How often what ends the process is put first while Python is at work, and how many times more when it is
/// not any longer.
const STAY: Duration = Duration::from_millis(50);
const STAYS: u32 = 20;

/// `stay_first` is called from time to time.
static WATCHED: AtomicBool = AtomicBool::new(false);

/// How many threads serve queues.
static SERVING: AtomicUsize = AtomicUsize::new(0);

/// In a process of Python's own, exits are Python's business. Before its first work.
pub fn leave_alone() {
    WATCHED.store(true, Ordering::Release);
}

/// Python is at work: libraries may be loaded, and register what is to be run at the exit.
pub fn work_begins() {
    if !WATCHED.load(Ordering::Relaxed) && !WATCHED.swap(true, Ordering::AcqRel) {
        let mut left = STAYS;
        clock::after(STAY, move |_, _| stay(&mut left));
    }
}

/// Looks whether Python still is at work, on the clock's thread.
fn stay(left: &mut u32) -> Option<Duration> {
    stay_first();
    *left = if is_at_work() { STAYS } else { *left - 1 };
    if *left == 0 {
        WATCHED.store(false, Ordering::Release);
        return None;
    }
    Some(STAY)
}

fn is_at_work() -> bool {
    let busy = |pool: &Arc<Pool>| pool.stats.busy.load(Ordering::Relaxed) > 0;
    SERVING.load(Ordering::Relaxed) > 0 || registry::all().iter().any(busy)
}

/// A thread that serves a queue.
pub struct Serving(());

impl Serving {
    pub fn begin() -> Self {
        SERVING.fetch_add(1, Ordering::Relaxed);
        work_begins();
        Serving(())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        SERVING.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use crate::base::lock::Mutex;
    use crate::base::{fork, processes};
    use std::cell::Cell;
    use std::ffi::{c_int, c_void};
    use std::sync::mpsc;
    use std::time::Duration;

    unsafe extern "C" {
        // glibc calls the function with the status as well.
        fn __cxa_atexit(
            function: unsafe extern "C" fn(*mut c_void, c_int),
            argument: *mut c_void,
            library: *mut c_void,
        ) -> c_int;
        // Calls what was registered for a "library", and takes it back.
        fn __cxa_finalize(library: *mut c_void);
    }

    /// How long what C libraries have buffered may take to be written.
    const FLUSH: Duration = Duration::from_millis(300);

    /// Nobody else's, so that `__cxa_finalize` finds what is ours alone.
    static LIBRARY: u8 = 0;

    thread_local! {
        static TAKES_BACK: Cell<bool> = const { Cell::new(false) };
    }

    /// Sees to it that what ends the process comes before what others have registered. Costs a µs.
    pub fn stay_first() {
        // By one at a time. Taken by nobody who has another lock.
        static LOCK: Mutex<()> = Mutex::new(());
        let _lock = LOCK.lock();
        let library = (&raw const LIBRARY).cast_mut().cast::<c_void>();
        TAKES_BACK.set(true);
        // SAFETY: the address is that of our own static, for which only `at_exit` is registered; this
        // library is never closed.
        unsafe { __cxa_finalize(library) };
        TAKES_BACK.set(false);
        // Should there be no memory for it, the exit is what it was.
        // SAFETY: as above.
        unsafe { __cxa_atexit(at_exit, std::ptr::null_mut(), library) };
    }

    unsafe extern "C" fn at_exit(_: *mut c_void, status: c_int) {
        if TAKES_BACK.get() {
            return;
        }
        if !fork::is_child() {
            processes::refuse();
            flush();
            processes::end_workers();
        }
        // SAFETY: no preconditions.
        unsafe { libc::_exit(status) }
    }

    /// As `exit` would, but a thread may be in the middle of writing and never come to its end.
    fn flush() {
        let (done, flushed) = mpsc::channel();
        let flush = move || {
            // SAFETY: no preconditions.
            unsafe { libc::fflush(std::ptr::null_mut()) };
            let _ = done.send(());
        };
        if std::thread::Builder::new().spawn(flush).is_ok() {
            let _ = flushed.recv_timeout(FLUSH);
        }
    }
}
