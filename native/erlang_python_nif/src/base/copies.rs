//! Copies of many bytes, by two threads: one alone waits for the memory most of the time.

use std::ops::Range;
use std::panic::resume_unwind;
use std::ptr;
use std::thread;

/// From so many bytes on it is worth a thread.
const LARGE: usize = 32 << 20;

/// How large the large pages of most systems are. They are not shared by the two.
const PAGE: usize = 2 << 20;

/// An address, which two threads go to different parts of.
#[derive(Clone, Copy)]
struct Place(*mut u8);

// SAFETY: as `copy` and `fill` demand: nobody else uses what is there, and each thread has a part of its own.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

impl Place {
    fn at(self, at: usize) -> *mut u8 {
        self.0.wrapping_add(at)
    }
}

/// Copies bytes.
///
/// # Safety
///
/// So many can be read and written there, which are no part of each other, and nobody else writes to them.
pub unsafe fn copy(from: *const u8, to: *mut u8, size: usize) {
    let (from, to) = (Place(from.cast_mut()), Place(to));
    let copied = by_two(to, size, |part| {
        // SAFETY: as this function demands; the parts are apart.
        unsafe { ptr::copy_nonoverlapping(from.at(part.start), to.at(part.start), part.len()) };
        Ok::<_, ()>(())
    });
    debug_assert!(copied.is_ok());
}

/// Fills memory with what `read` writes to a part of it, whose place in the whole it is told.
///
/// # Safety
///
/// So many bytes can be written there, and nobody else reads or writes them. They have some content.
pub unsafe fn fill<E: Send>(
    to: *mut u8,
    size: usize,
    read: impl Fn(&mut [u8], usize) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let to = Place(to);
    by_two(to, size, |part| {
        // SAFETY: as this function demands; the parts are apart.
        let room = unsafe { std::slice::from_raw_parts_mut(to.at(part.start), part.len()) };
        read(room, part.start)
    })
}

/// Has the parts of a range worked at. What is said of the first one goes before what is said of the second one.
fn by_two<E: Send>(
    to: Place,
    size: usize,
    work: impl Fn(Range<usize>) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let middle = to.at(size / 2) as usize & !(PAGE - 1);
    let first = middle.saturating_sub(to.0 as usize);
    if size < LARGE || first == 0 {
        return work(0..size);
    }
    thread::scope(|scope| {
        let helper = thread::Builder::new().stack_size(64 << 10);
        let second = helper.spawn_scoped(scope, || work(first..size));
        work(0..first)?;
        match second {
            Ok(second) => second.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => work(first..size),
        }
    })
}

/// Says that memory which was just allocated is about to be filled. Where it is large, it has no pages yet. To make
/// small ones takes several times as long as the copy, so large ones are asked for.
///
/// # Safety
///
/// So many bytes are the caller's.
#[cfg_attr(not(target_os = "linux"), allow(unused_variables))]
pub unsafe fn is_new(at: *mut u8, size: usize) {
    /// The allocators have no memory of this size that was used before: they ask the system for it.
    #[cfg(target_os = "linux")]
    const MANY_PAGES: usize = LARGE + (1 << 20);
    #[cfg(target_os = "linux")]
    if size >= MANY_PAGES {
        let start = (at as usize).next_multiple_of(PAGE);
        let end = (at as usize + size) & !(PAGE - 1);
        // SAFETY: a part of it, whose content this does not change.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_are_read() {
        for size in [0, 1, LARGE - 1, LARGE, LARGE + 12_345] {
            let mut to = vec![0; size];
            let read = |room: &mut [u8], at| {
                for (index, byte) in room.iter_mut().enumerate() {
                    *byte = ((at + index) / 7) as u8;
                }
                Ok::<_, ()>(())
            };
            // SAFETY: a vector of the size.
            assert_eq!(unsafe { fill(to.as_mut_ptr(), size, read) }, Ok(()));
            assert!((0..size).all(|at| to[at] == (at / 7) as u8));
        }
    }

    #[test]
    fn what_fails_in_either_part_fails() {
        let mut to = vec![0u8; 2 * LARGE];
        for broken in [0, 2 * LARGE - 1] {
            let read = |room: &mut [u8], at: usize| match (at..at + room.len()).contains(&broken) {
                true => Err(broken),
                false => Ok(()),
            };
            // SAFETY: a vector of the size.
            let filled = unsafe { fill(to.as_mut_ptr(), to.len(), read) };
            assert_eq!(filled, Err(broken));
        }
    }

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
