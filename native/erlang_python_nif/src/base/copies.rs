//! Copies of many bytes, by two threads: one alone waits for the memory most of the time.

use std::ptr;
use std::thread;

/// From so many bytes on it is worth a thread.
const LARGE: usize = 32 << 20;

/// Pages are not shared by the two.
const PAGE: usize = 2 << 20;

struct Part {
    from: *const u8,
    to: *mut u8,
    size: usize,
}

// SAFETY: addresses of what this part alone copies.
unsafe impl Send for Part {}

impl Part {
    /// # Safety
    ///
    /// As `copy` demands.
    unsafe fn copy(self) {
        // SAFETY: as this function demands.
        unsafe { ptr::copy_nonoverlapping(self.from, self.to, self.size) }
    }
}

/// Copies bytes.
///
/// # Safety
///
/// So many can be read and written there, which are no part of each other, and nobody else writes to them.
pub unsafe fn copy(from: *const u8, to: *mut u8, size: usize) {
    let middle = to.wrapping_add(size / 2) as usize & !(PAGE - 1);
    let first = middle.saturating_sub(to as usize);
    let whole = Part { from, to, size };
    if size < LARGE || first == 0 {
        // SAFETY: as this function demands.
        return unsafe { whole.copy() };
    }
    let second = Part {
        from: from.wrapping_add(first),
        to: to.wrapping_add(first),
        size: size - first,
    };
    thread::scope(|scope| {
        let helper = thread::Builder::new().stack_size(64 << 10);
        // SAFETY: as this function demands; the parts are apart.
        let helped = helper.spawn_scoped(scope, move || unsafe { second.copy() });
        let size = if helped.is_ok() { first } else { size };
        // SAFETY: as above.
        unsafe { Part { from, to, size }.copy() }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_are_copied() {
        for size in [0, 1, LARGE - 1, LARGE, LARGE + 12_345] {
            let from: Vec<u8> = (0..size).map(|at| (at / 7) as u8).collect();
            let mut to = vec![0; size];
            // SAFETY: two vectors of the size.
            unsafe { copy(from.as_ptr(), to.as_mut_ptr(), size) };
            assert!(from == to);
        }
    }
}
