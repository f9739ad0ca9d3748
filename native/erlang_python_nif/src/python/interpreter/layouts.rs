//! Whether memory is read, or written, whose layout no API promises: the setting `native_layouts`.
//!
//! All of it is found by samples when Python starts, and not used where they do not look as expected. Should a
//! build of Python or of the VM deceive the samples, the setting keeps us to functions. What each reader then does
//! instead is said there.

use std::sync::atomic::{AtomicBool, Ordering};

static READ: AtomicBool = AtomicBool::new(true);

/// For the start of the interpreter, before anything is looked at.
pub fn set(read: bool) {
    READ.store(read, Ordering::Release);
}

pub fn are_read() -> bool {
    READ.load(Ordering::Acquire)
}
