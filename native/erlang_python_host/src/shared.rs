//! Bytes that have come, of which large binaries are parts, and not copies.

use crate::binary::{self, Blob};
use crate::env::HostEnv;
use crate::word::Word;
use std::cell::Cell;
use std::ptr;

/// Smaller binaries are copied: they are not to keep others alive.
pub const LARGE: usize = 64 << 10;

thread_local! {
    static LENT: Cell<*const Blob> = const { Cell::new(ptr::null()) };
}

/// Bytes that live as long as this, or a term of them.
pub struct Shared(*const Blob);

// SAFETY: nobody writes to the bytes, and who they belong to is counted.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub fn new(bytes: Vec<u8>) -> Self {
        Shared(binary::blob(bytes))
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: kept, and written when they were made.
        unsafe { binary::bytes_of(self.0) }
    }

    /// While `work` runs, large binaries that `decode` reads from these bytes on this thread are not copied.
    pub fn lend<R>(&self, work: impl FnOnce() -> R) -> R {
        let _back = Back(LENT.replace(self.0));
        work()
    }
}

/// Puts back what was lent before.
struct Back(*const Blob);

impl Drop for Back {
    fn drop(&mut self) {
        LENT.set(self.0);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: it has one.
        unsafe { binary::release(self.0) }
    }
}

/// A binary of bytes that were read.
#[inline]
pub fn binary(env: &mut HostEnv, bytes: &[u8]) -> Word {
    if bytes.len() >= LARGE
        && let Some(binary) = part(env, bytes)
    {
        return binary;
    }
    binary::of(env, bytes)
}

fn part(env: &mut HostEnv, bytes: &[u8]) -> Option<Word> {
    let lent = LENT.get();
    // SAFETY: kept as long as it is lent.
    unsafe {
        let all = (!lent.is_null()).then(|| binary::bytes_of(lent).as_ptr_range())?;
        let part = bytes.as_ptr_range();
        (all.start <= part.start && part.end <= all.end).then(|| binary::part(env, lent, bytes))
    }
}
