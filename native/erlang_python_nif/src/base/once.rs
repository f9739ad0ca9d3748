//! Threads that are started once, and live as long as the VM.

use std::sync::atomic::{AtomicBool, Ordering};

/// Starts such a thread, unless it was when the interpreter was to be started before, and could not.
pub fn start_once(
    started: &AtomicBool,
    start: impl FnOnce() -> std::io::Result<()>,
) -> std::io::Result<()> {
    // Of two that come at once one starts it, and the other need not wait: what is asked of the thread is kept for it.
    if started.load(Ordering::Acquire) || started.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    start().inspect_err(|_| started.store(false, Ordering::Release))
}
