//! The memory of an environment: it is given out from the front of a chunk, and all of it is given back at once.

use crate::word::Word;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};
use std::sync::Mutex;

/// Words in the first chunk. Each further one is twice as large.
const FIRST: usize = 64;
const LARGEST: usize = 128 << 10;
/// A chunk of so many words is kept for what comes after `clear`.
const KEPT: usize = 8 << 10;

/// So many of the largest size are kept for any environment: the system takes long to give memory.
const SPARE: usize = 8;

static SPARES: Mutex<Vec<Chunk>> = Mutex::new(Vec::new());

struct Chunk {
    words: NonNull<Word>,
    length: usize,
}

// SAFETY: memory that nobody refers to.
unsafe impl Send for Chunk {}

pub struct Arena {
    next: *mut Word,
    end: *mut Word,
    chunks: Vec<Chunk>,
}

impl Arena {
    pub const fn new() -> Self {
        Arena {
            next: ptr::null_mut(),
            end: ptr::null_mut(),
            chunks: Vec::new(),
        }
    }

    /// Room for so many words, of any content.
    #[inline]
    pub fn words(&mut self, count: usize) -> *mut Word {
        if cfg!(sanitizer) {
            // It sees what is outside of a chunk.
            let chunk = Chunk::new(count.max(1));
            let words = chunk.words;
            self.chunks.push(chunk);
            return words.as_ptr();
        }
        let left = (self.end as usize - self.next as usize) / size_of::<Word>();
        if count > left || self.next.is_null() {
            return self.words_of_new_chunk(count);
        }
        let words = self.next;
        // SAFETY: so many are left in the chunk.
        self.next = unsafe { words.add(count) };
        words
    }

    #[cold]
    #[inline(never)]
    fn words_of_new_chunk(&mut self, count: usize) -> *mut Word {
        let twice = self
            .chunks
            .last()
            .map_or(FIRST, |chunk| (2 * chunk.length).min(LARGEST));
        // What needs most of a chunk has one of its own, and the rest of the current one is used on.
        let own = count > twice / 2 && !self.next.is_null();
        let length = if own { count.max(1) } else { twice.max(count) };
        let chunk = Chunk::new(length);
        let words = chunk.words;
        if own {
            let last = self.chunks.len() - 1;
            self.chunks.insert(last, chunk);
            return words.as_ptr();
        }
        self.chunks.push(chunk);
        // SAFETY: the chunk has as many words.
        unsafe {
            self.next = words.as_ptr().add(count);
            self.end = words.as_ptr().add(length);
        }
        words.as_ptr()
    }

    /// Whether it has no more than its first memory.
    pub fn is_small(&self) -> bool {
        self.chunks.iter().all(|chunk| chunk.length <= FIRST)
    }

    /// Gives all of it back.
    pub fn clear(&mut self) {
        let kept = self
            .chunks
            .pop_if(|chunk| chunk.length <= KEPT && !cfg!(sanitizer));
        self.give_back();
        self.next = ptr::null_mut();
        self.end = ptr::null_mut();
        if let Some(chunk) = kept {
            self.next = chunk.words.as_ptr();
            // SAFETY: the chunk has as many words.
            self.end = unsafe { self.next.add(chunk.length) };
            self.chunks.push(chunk);
        }
    }
}

impl Arena {
    fn give_back(&mut self) {
        let large = |chunk: &mut Chunk| chunk.length == LARGEST;
        // Should the lock be taken, the system has them back.
        if self.chunks.last_mut().is_some_and(large)
            && let Ok(mut spares) = SPARES.try_lock()
        {
            let room = SPARE.saturating_sub(spares.len());
            spares.extend(self.chunks.extract_if(.., large).take(room));
        }
        self.chunks.clear();
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Chunk {
    fn new(length: usize) -> Self {
        let spare = || SPARES.try_lock().ok()?.pop();
        let spare = (length == LARGEST).then(spare).flatten();
        spare.unwrap_or_else(|| Chunk {
            words: Self::allocate(length),
            length,
        })
    }

    fn layout(length: usize) -> Layout {
        Layout::array::<Word>(length).expect("memory that there is")
    }

    fn allocate(length: usize) -> NonNull<Word> {
        let layout = Self::layout(length);
        // SAFETY: not empty.
        let words = unsafe { alloc(layout) };
        NonNull::new(words.cast()).unwrap_or_else(|| handle_alloc_error(layout))
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: allocated by `allocate`, with this length.
        unsafe { dealloc(self.words.as_ptr().cast(), Self::layout(self.length)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_out_does_not_overlap() {
        let mut arena = Arena::new();
        for round in 0..3 {
            let mut given = Vec::new();
            for count in (0..40).chain([127, 128, 129, 5_000, 1, 200_000, 2, 0, 3]) {
                let words = arena.words(count);
                for index in 0..count {
                    // SAFETY: as many words were given.
                    unsafe { words.add(index).write(given.len()) };
                }
                given.push((words, count));
            }
            for (number, (words, count)) in given.iter().enumerate() {
                for index in 0..*count {
                    // SAFETY: as above.
                    assert_eq!(unsafe { words.add(index).read() }, number, "{round}");
                }
            }
            arena.clear();
        }
    }
}
