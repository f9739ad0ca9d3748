//! Whether there is an interpreter that threads may enter.

use crate::base::lock::{Condvar, Mutex};

/// Threads may enter Python.
static READY: Mutex<bool> = Mutex::new(false);
static CHANGED: Condvar = Condvar::new();

/// Waits until there is an interpreter. For threads that live as long as the VM and are needed as soon as there
/// is one.
pub fn wait_for_python() {
    let ready = READY.lock();
    drop(CHANGED.wait_while(ready, |ready| !*ready));
}

pub fn set_ready() {
    *READY.lock() = true;
    CHANGED.notify_all();
}
