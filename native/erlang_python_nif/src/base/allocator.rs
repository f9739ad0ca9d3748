//! Where the library gets its own big pieces of memory from: `blocks`. Bytes for other processes and the terms of large
//! values are needed again and again.

use super::blocks::{self, BLOCKS, MOVED, SMALLEST};
use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;

struct Allocator;

/// What blocks begin at is aligned so.
const PAGE: usize = 4096;

// AddressSanitizer has to see who touches what was freed.
#[cfg_attr(not(sanitizer), global_allocator)]
#[cfg_attr(sanitizer, allow(dead_code))]
static ALLOCATOR: Allocator = Allocator;

fn is_big(layout: Layout) -> bool {
    layout.size() >= SMALLEST && layout.align() <= PAGE
}

// SAFETY: memory is that of a block, or the system's. A block is never smaller than what it was given for, and only
// what is big enough for one is looked for among them.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_big(layout)
            && let Some(block) = BLOCKS.alloc(layout.size())
        {
            return block.as_ptr();
        }
        // SAFETY: as this function demands.
        unsafe { blocks::paged(System.alloc(layout), layout.size()) }
    }

    // Fresh memory of the system is zero already, a block's is not.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as this function demands.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as this function demands: it is used no more.
        unsafe {
            if !is_big(layout) || !BLOCKS.free(pointer) {
                System.dealloc(pointer, layout);
            }
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let block = if is_big(layout) {
            BLOCKS.size_of(pointer)
        } else {
            None
        };
        if block.is_some_and(|room| (SMALLEST.max(room / 2)..=room).contains(&size)) {
            return pointer;
        }
        let Ok(new) = Layout::from_size_align(size, layout.align()) else {
            return ptr::null_mut();
        };
        // SAFETY: as this function demands: the size is not 0, and what is there is used no more if memory is given.
        unsafe {
            if block.is_none() && !is_big(new) {
                return System.realloc(pointer, layout, size);
            }
            let moved = if size > MOVED {
                blocks::paged(System.alloc(new), size)
            } else {
                self.alloc(new)
            };
            if !moved.is_null() {
                ptr::copy_nonoverlapping(pointer, moved, layout.size().min(size));
                self.dealloc(pointer, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_and_shrinks_keeps_its_content() {
        let mut bytes: Vec<u8> = Vec::new();
        for size in [
            10,
            SMALLEST - 1,
            SMALLEST,
            SMALLEST + 1,
            3 * SMALLEST,
            70 * SMALLEST,
        ] {
            while bytes.len() < size {
                bytes.push(bytes.len() as u8);
            }
        }
        for size in [20 * SMALLEST, 2 * SMALLEST, SMALLEST - 5, 7] {
            bytes.truncate(size);
            bytes.shrink_to_fit();
            assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == at as u8));
        }
    }
}
