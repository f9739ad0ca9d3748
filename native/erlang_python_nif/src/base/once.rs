//! Threads that are started once, and live as long as the VM.

use std::sync::atomic::{AtomicBool, Ordering};

/// Starts such a thread, unless it was when the interpreter was to be started before, and could not.
pub fn start_once(
    started: &AtomicBool,
    start: impl FnOnce() -> std::io::Result<()>,
) -> std::io::Result<()> {
    // By one at a time: `start` is called by one process.
    if !started.load(Ordering::Acquire) {
        start()?;
        started.store(true, Ordering::Release);
    }
    Ok(())
}
