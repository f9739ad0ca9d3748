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

use crate::pool::{self, Pool};
use crate::watchdog;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub use glibc::stay_first;

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn stay_first() {}

/// The watchdog calls `stay_first` from time to time.
static WATCHED: AtomicBool = AtomicBool::new(false);

/// How many threads serve queues.
static SERVING: AtomicUsize = AtomicUsize::new(0);

/// Python is at work: libraries may be loaded, and register what is to be run at the exit.
pub fn work_begins() {
    if !WATCHED.load(Ordering::Relaxed) && !WATCHED.swap(true, Ordering::AcqRel) {
        watchdog::watch_exit();
    }
}

/// Whether Python is at work. To be asked by the watchdog.
pub fn is_at_work() -> bool {
    let busy = |pool: &Arc<Pool>| pool.stats.busy.load(Ordering::Relaxed) > 0;
    SERVING.load(Ordering::Relaxed) > 0 || pool::all().iter().any(busy)
}

/// The watchdog looks no longer.
pub fn work_has_ended() {
    WATCHED.store(false, Ordering::Release);
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
    use crate::fork;
    use crate::lock::Mutex;
    use std::cell::Cell;
    use std::ffi::{c_int, c_void};
    use std::fs;
    use std::path::Path;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

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

    /// How long they may take to end by themselves.
    const TERMINATE: Duration = Duration::from_millis(100);

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
            flush();
            end_workers();
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

    /// The workers of Python's pools of processes do not outlive the process that they work for. They are
    /// children of the VM: its own programs are those of a helper.
    fn end_workers() {
        let mut workers = workers();
        for &pid in &workers {
            // SAFETY: a child of ours, which nobody has waited for or the number would be free.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        }
        let begun = Instant::now();
        while !workers.is_empty() && begun.elapsed() < TERMINATE {
            std::thread::sleep(Duration::from_millis(5));
            // SAFETY: as above; the status is not asked for.
            workers.retain(|&pid| unsafe {
                libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) == 0
            });
        }
        for &pid in &workers {
            // SAFETY: as above.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    }

    fn workers() -> Vec<libc::pid_t> {
        let own = std::process::id().to_string();
        let is_ours = |folder: &Path| {
            let read = |file| fs::read(folder.join(file)).unwrap_or_default();
            is_child_of(&read("stat"), &own) && is_worker(&read("cmdline"))
        };
        fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|process| process.file_name().to_str()?.parse().ok())
            .filter(|pid: &libc::pid_t| is_ours(&Path::new("/proc").join(pid.to_string())))
            .collect()
    }

    fn is_child_of(stat: &[u8], parent: &str) -> bool {
        let stat = String::from_utf8_lossy(stat);
        // After the name, which may have anything in it: the state, the parent.
        stat.rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1))
            .is_some_and(|ppid| ppid == parent)
    }

    /// What `multiprocessing` starts, and its copies and kin (`multiprocess`, `billiard`, `loky`).
    fn is_worker(command: &[u8]) -> bool {
        const MARKS: [&str; 3] = [
            "--multiprocessing-fork",
            ".popen_loky_posix",
            ".forkserver import main",
        ];
        let command = String::from_utf8_lossy(command);
        MARKS.iter().any(|mark| command.contains(mark))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn children_are_told_whatever_their_name_is() {
            assert!(is_child_of(b"12 (a) b (c) S 7 12 12 0", "7"));
            assert!(!is_child_of(b"12 (a S 7) S 8 12 12 0", "7"));
            assert!(!is_child_of(b"", "7"));
        }

        #[test]
        fn workers_are_told_by_their_command() {
            let spawned = b"python\0-c\0from multiprocessing.spawn import spawn_main; \
                            spawn_main(tracker_fd=5, pipe_handle=7)\0--multiprocessing-fork\0";
            assert!(is_worker(spawned));
            assert!(is_worker(
                b"python\0-m\0joblib.externals.loky.backend.popen_loky_posix\0--pipe\x007\0"
            ));
            assert!(!is_worker(b"python\0server.py\0"));
        }
    }
}
