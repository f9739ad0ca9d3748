//! Big blocks of memory, kept when they are given back, for the next that is wanted.
//!
//! libc maps memory of this size anew each time, or gives it back to the system as soon as it lies on
//! top, and so does Python with its arenas: the page faults of the next use then cost ten times what
//! filling the memory does (1 MB: 500 µs against 40 µs).
//!
//! Nothing here takes a lock: it is called on any thread, with the GIL and without, and in processes
//! that were forked while others were at it.

use super::deadline;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

/// How many bytes a block has at least, and at most. Smaller ones libc keeps itself; bigger ones are
/// rare, and would be too much to keep.
pub const SMALLEST: usize = 128 << 10;
pub const LARGEST: usize = 128 << 20;

/// What grows to more than this is no block any more: libc moves large memory without a copy.
pub const MOVED: usize = 8 << 20;

/// How many bytes are kept that nobody uses, if it is not one block that is larger. libc keeps twice as many, in a program
/// that it is left alone in.
const MOST_KEPT: usize = 64 << 20;

/// How many are kept for longer than a moment (`tidy`).
const LONG_KEPT: usize = 16 << 20;

/// How many bytes are given back in one go, about: more of them take some ms.
const AT_ONCE: usize = 16 << 20;

/// A block has a multiple of this many bytes, so that one serves for others of about its size.
const GRAIN: usize = 64 << 10;

/// From this size on a block is made of large pages, where the system has some: a page takes as long to be made as
/// hundreds of bytes take to be filled.
const PAGED: usize = 4 << 20;
const LARGE_PAGE: usize = 2 << 20;

/// How many blocks there are at most.
const SLOTS: usize = 256;

/// There is no block.
const EMPTY: u8 = 0;
/// The block is in use, or somebody is at this slot.
const TAKEN: u8 = 1;
/// The block waits for its next use.
const KEPT: u8 = 2;

struct Slot {
    state: AtomicU8,
    /// Where the block is, or 0. Written by whoever has taken the slot.
    base: AtomicUsize,
    size: AtomicUsize,
    /// Since when the block has been waiting.
    since: AtomicU64,
}

pub struct Blocks {
    slots: [Slot; SLOTS],
    kept: AtomicUsize,
    /// Where the next one is looked for that has to go.
    turn: AtomicUsize,
}

/// All that this library and Python have.
pub static BLOCKS: Blocks = Blocks::new();

impl Slot {
    const fn new() -> Self {
        Slot {
            state: AtomicU8::new(EMPTY),
            base: AtomicUsize::new(0),
            size: AtomicUsize::new(0),
            since: AtomicU64::new(0),
        }
    }

    fn take(&self, from: u8) -> bool {
        self.state
            .compare_exchange(from, TAKEN, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    fn leave(&self, state: u8) {
        self.state.store(state, Ordering::Release);
    }

    fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }
}

impl Blocks {
    const fn new() -> Self {
        Blocks {
            slots: [const { Slot::new() }; SLOTS],
            kept: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
        }
    }

    /// A block of so many bytes or more, at the beginning of a page. None if that is no size for a
    /// block, or there are too many, or no memory. Its bytes are whatever they are.
    pub fn alloc(&self, size: usize) -> Option<NonNull<u8>> {
        if !(SMALLEST..=LARGEST).contains(&size) {
            return None;
        }
        let grain = if size < PAGED { GRAIN } else { LARGE_PAGE };
        let size = size.next_multiple_of(grain);
        self.reuse(size).or_else(|| self.map(size))
    }

    fn reuse(&self, size: usize) -> Option<NonNull<u8>> {
        let fits = |slot: &Slot| (size..=size + size / 2).contains(&slot.size());
        for slot in &self.slots {
            if slot.state.load(Ordering::Relaxed) != KEPT || !fits(slot) || !slot.take(KEPT) {
                continue;
            }
            // Between the look and the taking it may have changed hands.
            if fits(slot) {
                self.kept.fetch_sub(slot.size(), Ordering::Relaxed);
                return NonNull::new(slot.base.load(Ordering::Relaxed) as *mut u8);
            }
            slot.leave(KEPT);
        }
        None
    }

    fn map(&self, size: usize) -> Option<NonNull<u8>> {
        let slot = self
            .slots
            .iter()
            .find(|slot| slot.take(EMPTY))
            .or_else(|| self.evict(None))?;
        match system::map(size) {
            Some(base) => {
                slot.size.store(size, Ordering::Relaxed);
                slot.base.store(base.as_ptr() as usize, Ordering::Release);
                Some(base)
            }
            None => {
                slot.leave(EMPTY);
                None
            }
        }
    }

    /// A slot whose block waited for its next use, now without it: another one each time, and not this.
    fn evict(&self, but: Option<&Slot>) -> Option<&Slot> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let slot = (0..SLOTS)
            .map(|at| &self.slots[(first.wrapping_add(at)) % SLOTS])
            .filter(|slot| !but.is_some_and(|but| std::ptr::eq(*slot, but)))
            .find(|slot| slot.take(KEPT))?;
        self.kept.fetch_sub(slot.size(), Ordering::Relaxed);
        self.unmap(slot);
        Some(slot)
    }

    /// Gives back to the system what nobody uses.
    pub fn give_back(&self) {
        while let Some(slot) = self.evict(None) {
            slot.leave(EMPTY);
        }
    }

    /// Whether more is kept than is to be for long.
    pub fn is_untidy(&self) -> bool {
        self.kept.load(Ordering::Relaxed) > LONG_KEPT
    }

    /// Gives back blocks that have been waiting since before this time (`deadline::now`), until no more is kept than is
    /// to be for long. True if there are more of them.
    pub fn tidy(&self, before: u64) -> bool {
        let mut given_back = 0;
        for slot in &self.slots {
            if !self.is_untidy() {
                return false;
            }
            let is_old = || slot.since.load(Ordering::Relaxed) < before;
            if slot.state.load(Ordering::Relaxed) != KEPT || !is_old() {
                continue;
            }
            if given_back >= AT_ONCE {
                return true;
            }
            if !slot.take(KEPT) {
                continue;
            }
            // Between the look and the taking it may have been in use.
            if is_old() {
                self.kept.fetch_sub(slot.size(), Ordering::Relaxed);
                given_back += slot.size();
                self.unmap(slot);
                slot.leave(EMPTY);
            } else {
                slot.leave(KEPT);
            }
        }
        false
    }

    fn unmap(&self, slot: &Slot) {
        // First, so that no two slots ever have the same place.
        let base = slot.base.swap(0, Ordering::AcqRel);
        // SAFETY: the slot is taken, and its block used by nobody.
        unsafe { system::unmap(base as *mut u8, slot.size()) };
    }

    /// How many bytes the block at this place has. None if there is none.
    pub fn size_of(&self, base: *mut u8) -> Option<usize> {
        self.slot_of(base).map(Slot::size)
    }

    fn slot_of(&self, base: *mut u8) -> Option<&Slot> {
        let base = base as usize;
        self.slots
            .iter()
            .find(|slot| slot.base.load(Ordering::Acquire) == base)
            .filter(|_| base != 0)
    }

    /// Takes a block back. False if there is none at this place.
    ///
    /// # Safety
    ///
    /// If there is one, it is used no more, and it is given back once.
    pub unsafe fn free(&self, base: *mut u8) -> bool {
        let Some(slot) = self.slot_of(base) else {
            return false;
        };
        self.kept.fetch_add(slot.size(), Ordering::Relaxed);
        slot.since.store(deadline::now(), Ordering::Relaxed);
        slot.leave(KEPT);
        // What was given back last is the most likely to be wanted again, so another one goes.
        let most = MOST_KEPT.max(slot.size());
        while self.kept.load(Ordering::Relaxed) > most {
            match self.evict(Some(slot)) {
                Some(other) => other.leave(EMPTY),
                None => break,
            }
        }
        true
    }
}

/// Memory of libc's that is larger than a block, as libc gave it, made of large pages too. Null for null.
///
/// # Safety
///
/// It has so many bytes, or is null.
pub unsafe fn paged(memory: *mut u8, size: usize) -> *mut u8 {
    let end = memory as usize + size;
    let first = (memory as usize).next_multiple_of(LARGE_PAGE);
    if size > LARGEST && !memory.is_null() {
        // SAFETY: within the memory, as this function demands, as that has some large pages.
        unsafe { system::make_of_large_pages(first as *mut u8, end - first) };
    }
    memory
}

mod system {
    use super::*;

    pub fn map(size: usize) -> Option<NonNull<u8>> {
        // SAFETY: a fresh anonymous mapping, at an address of the kernel's choice.
        let mapped = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        let mapped = NonNull::<u8>::new(mapped.cast()).filter(|_| mapped != libc::MAP_FAILED)?;
        if size >= PAGED {
            // SAFETY: the mapping.
            unsafe { make_of_large_pages(mapped.as_ptr(), size) };
        }
        Some(mapped)
    }

    /// Has the system make memory that was not used yet of large pages, where it has some. Changes nothing in it.
    ///
    /// # Safety
    ///
    /// It is mapped.
    pub unsafe fn make_of_large_pages(base: *mut u8, size: usize) {
        #[cfg(target_os = "linux")]
        // SAFETY: as this function demands. It says nothing of what is in it.
        unsafe {
            libc::madvise(base.cast(), size, libc::MADV_HUGEPAGE)
        };
        #[cfg(not(target_os = "linux"))]
        let _ = (base, size);
    }

    /// # Safety
    ///
    /// What `map` gave, of that size, and used no more.
    pub unsafe fn unmap(base: *mut u8, size: usize) {
        // SAFETY: as this function demands.
        unsafe { libc::munmap(base.cast(), size) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(block: Option<NonNull<u8>>) -> *mut u8 {
        block.expect("there is memory").as_ptr()
    }

    #[test]
    fn a_block_that_was_given_back_is_used_again_for_about_its_size() {
        let blocks = Blocks::new();
        let first = place(blocks.alloc(1 << 20));
        assert_eq!(blocks.size_of(first), Some(1 << 20));
        // SAFETY: it is not used.
        assert!(unsafe { blocks.free(first) });
        let much_smaller = place(blocks.alloc(SMALLEST));
        assert_ne!(much_smaller, first);
        assert_eq!(place(blocks.alloc((1 << 20) - 9)), first);
        assert_ne!(place(blocks.alloc(1 << 20)), first);
    }

    #[test]
    fn other_sizes_and_places_are_not_its_own() {
        let blocks = Blocks::new();
        assert!(blocks.alloc(SMALLEST - 1).is_none());
        assert!(blocks.alloc(LARGEST + 1).is_none());
        let block = place(blocks.alloc(LARGEST));
        // SAFETY: these are no blocks, as it finds out.
        unsafe {
            assert!(!blocks.free(ptr::null_mut()));
            assert!(!blocks.free(block.add(64)));
        }
        assert_eq!(blocks.size_of(ptr::null_mut()), None);
    }

    #[test]
    fn there_are_so_many_and_what_is_kept_gives_way() {
        let blocks = Blocks::new();
        let all: Vec<_> = (0..SLOTS).map(|_| place(blocks.alloc(SMALLEST))).collect();
        assert!(blocks.alloc(SMALLEST).is_none());
        // SAFETY: they are not used.
        assert!(all.iter().all(|block| unsafe { blocks.free(*block) }));
        for _ in 0..SLOTS {
            assert!(blocks.alloc(1 << 20).is_some());
        }
    }

    #[test]
    fn what_is_kept_can_be_given_back() {
        let blocks = Blocks::new();
        let (kept, used) = (place(blocks.alloc(1 << 20)), place(blocks.alloc(1 << 20)));
        // SAFETY: it is not used.
        assert!(unsafe { blocks.free(kept) });
        blocks.give_back();
        assert_eq!(blocks.kept.load(Ordering::Relaxed), 0);
        assert_eq!(blocks.size_of(kept), None);
        assert_eq!(blocks.size_of(used), Some(1 << 20));
    }

    #[test]
    fn only_so_much_is_kept() {
        let blocks = Blocks::new();
        let all: Vec<_> = (0..8).map(|_| place(blocks.alloc(MOST_KEPT / 4))).collect();
        for block in all {
            // SAFETY: it is not used.
            assert!(unsafe { blocks.free(block) });
        }
        assert_eq!(blocks.kept.load(Ordering::Relaxed), MOST_KEPT);
    }

    #[test]
    fn what_nobody_has_used_for_a_while_is_given_back() {
        let blocks = Blocks::new();
        let all: Vec<_> = (0..12).map(|_| place(blocks.alloc(5 << 20))).collect();
        for block in all {
            // SAFETY: it is not used.
            assert!(unsafe { blocks.free(block) });
        }
        assert!(blocks.is_untidy());
        assert!(!blocks.tidy(0), "all are younger");
        assert!(blocks.is_untidy());
        while blocks.tidy(u64::MAX) {
            assert!(blocks.is_untidy());
        }
        assert!(!blocks.is_untidy());
        assert_ne!(blocks.kept.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_was_given_back_last_is_kept() {
        let blocks = Blocks::new();
        let all: Vec<_> = (0..8).map(|_| place(blocks.alloc(LARGEST))).collect();
        let last = place(blocks.alloc(LARGEST / 2));
        for block in all {
            // SAFETY: it is not used.
            assert!(unsafe { blocks.free(block) });
        }
        // One that is larger than all that is kept is kept alone.
        assert_eq!(blocks.kept.load(Ordering::Relaxed), LARGEST);
        // SAFETY: as above.
        assert!(unsafe { blocks.free(last) });
        assert!(blocks.kept.load(Ordering::Relaxed) <= MOST_KEPT);
        assert_eq!(place(blocks.alloc(LARGEST / 2)), last);
    }

    #[test]
    fn no_block_is_used_twice_at_a_time() {
        let blocks = Blocks::new();
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                let blocks = &blocks;
                scope.spawn(move || {
                    for round in 0..2_000usize {
                        let size = SMALLEST + (round * 37 + usize::from(thread) * 11) % 40 * GRAIN;
                        let Some(block) = blocks.alloc(size) else {
                            continue;
                        };
                        let block = block.as_ptr();
                        for at in [0, size / 2, size - 1] {
                            // SAFETY: within the block, which is this thread's.
                            unsafe { block.add(at).write_volatile(thread) };
                        }
                        std::thread::yield_now();
                        for at in [0, size / 2, size - 1] {
                            // SAFETY: as above.
                            assert_eq!(unsafe { block.add(at).read_volatile() }, thread);
                        }
                        // SAFETY: it is not used any more.
                        assert!(unsafe { blocks.free(block) });
                    }
                });
            }
        });
        let in_use = |slot: &Slot| slot.state.load(Ordering::Relaxed) == TAKEN;
        assert!(!blocks.slots.iter().any(in_use));
    }
}
