//! The process of `Python.Callback`, which runs functions of Elixir for Python and writes the log.

use crate::base::lock::Mutex;
use rustler::LocalPid;
use std::sync::atomic::{AtomicBool, Ordering};

static SERVER: Mutex<Option<LocalPid>> = Mutex::new(None);

/// There has been one.
static BEGUN: AtomicBool = AtomicBool::new(false);

pub fn set(pid: LocalPid) {
    *SERVER.lock() = Some(pid);
    BEGUN.store(true, Ordering::Release);
}

pub fn get() -> Option<LocalPid> {
    *SERVER.lock()
}

/// False while Python starts.
pub fn has_begun() -> bool {
    BEGUN.load(Ordering::Acquire)
}

/// It is gone. Threads that go on calling it are not to have the VM allocate for nothing, while it ends.
pub fn forget(gone: LocalPid) {
    let mut server = SERVER.lock();
    if *server == Some(gone) {
        *server = None;
    }
}
