//! Where Python gets big pieces of memory from: `blocks`, in front of what it has by itself.
//!
//! There are two doors: what is too big for Python's own small-object allocator (the data of long
//! strings and lists), and the arenas of that allocator.

use super::symbol;
use crate::base::blocks::{self, BLOCKS, MOVED, SMALLEST};
use crate::base::tidiness;
use pyo3::prelude::*;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

/// `PyMemAllocatorEx`, the same since 3.5.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Raw {
    pub context: *mut c_void,
    pub malloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    pub calloc: unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void,
    pub realloc: unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void,
    pub free: unsafe extern "C" fn(*mut c_void, *mut c_void),
}

/// `PyObjectArenaAllocator`, the same since 3.4.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arenas {
    context: *mut c_void,
    alloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void, *mut c_void, usize),
}

// SAFETY: functions, and a context that Python hands to them on any thread.
unsafe impl Send for Raw {}
// SAFETY: as above.
unsafe impl Sync for Raw {}
// SAFETY: as above.
unsafe impl Send for Arenas {}
// SAFETY: as above.
unsafe impl Sync for Arenas {}

/// `PYMEM_DOMAIN_RAW`
const RAW_DOMAIN: c_int = 0;

/// What Python has by itself.
static RAW: OnceLock<Raw> = OnceLock::new();
static ARENAS: OnceLock<Arenas> = OnceLock::new();

/// Puts the blocks in front. For the start of the interpreter, before other threads enter it.
pub fn install(py: Python<'_>) {
    // AddressSanitizer knows nothing of blocks, and has to see who touches what was freed.
    if cfg!(sanitizer) {
        return;
    }
    // Whoever hooks in later goes through the blocks. But tracemalloc, when it is on already, would
    // one day put back what was there before it: then nobody would know what to do with a block.
    let traced: bool = py
        .import("_tracemalloc")
        .and_then(|module| module.call_method0("is_tracing")?.extract())
        .unwrap_or(false);
    if traced {
        return;
    }
    // SAFETY: the functions are declared as Python documents them, and called with the GIL, before
    // there is any other thread in Python. What they are given is static.
    unsafe {
        if let (Some(get), Some(set)) = (
            symbol::<unsafe extern "C" fn(c_int, *mut Raw)>(c"PyMem_GetAllocator"),
            symbol::<unsafe extern "C" fn(c_int, *mut Raw)>(c"PyMem_SetAllocator"),
        ) {
            let mut raw = Raw {
                context: ptr::null_mut(),
                malloc,
                calloc,
                realloc,
                free,
            };
            RAW.get_or_init(|| {
                let mut before = raw;
                get(RAW_DOMAIN, &mut before);
                before
            });
            set(RAW_DOMAIN, &mut raw);
        }
        if let (Some(get), Some(set)) = (
            symbol::<unsafe extern "C" fn(*mut Arenas)>(c"PyObject_GetArenaAllocator"),
            symbol::<unsafe extern "C" fn(*mut Arenas)>(c"PyObject_SetArenaAllocator"),
        ) {
            let mut arenas = Arenas {
                context: ptr::null_mut(),
                alloc: alloc_arena,
                free: free_arena,
            };
            ARENAS.get_or_init(|| {
                let mut before = arenas;
                get(&mut before);
                before
            });
            set(&mut arenas);
        }
    }
}

pub fn is_installed() -> bool {
    RAW.get().is_some()
}

/// So far from the beginning of its block, which is that of a page, lies the memory that Python gets.
/// Of the pointers that libc gives, those that lie so are few: only for them has to be looked whether
/// they are blocks.
const MARGIN: usize = 64;
const PAGE: usize = 4096;

/// The block of a pointer that may be one of ours.
fn block_of(pointer: *mut c_void) -> Option<*mut u8> {
    let base = pointer.cast::<u8>().wrapping_sub(MARGIN);
    (pointer as usize % PAGE == MARGIN && BLOCKS.size_of(base).is_some()).then_some(base)
}

fn before() -> &'static Raw {
    // `install` sets it before these functions are known to anybody.
    RAW.get().expect("what Python has by itself")
}

unsafe extern "C" fn malloc(_: *mut c_void, size: usize) -> *mut c_void {
    if size >= SMALLEST
        && let Some(block) = size.checked_add(MARGIN).and_then(|size| BLOCKS.alloc(size))
    {
        // SAFETY: within the block.
        return unsafe { block.as_ptr().add(MARGIN).cast() };
    }
    // SAFETY: as Python calls this function.
    unsafe { malloc_before(size) }
}

/// # Safety
///
/// As Python's own function, which this calls.
unsafe fn malloc_before(size: usize) -> *mut c_void {
    let before = before();
    // SAFETY: as this function demands.
    unsafe { blocks::paged((before.malloc)(before.context, size).cast(), size).cast() }
}

/// Fresh memory of the system is zero already, a block's is not.
unsafe extern "C" fn calloc(_: *mut c_void, count: usize, size: usize) -> *mut c_void {
    let before = before();
    // SAFETY: as Python calls this function.
    unsafe { (before.calloc)(before.context, count, size) }
}

unsafe extern "C" fn realloc(
    context: *mut c_void,
    pointer: *mut c_void,
    size: usize,
) -> *mut c_void {
    let Some(block) = block_of(pointer) else {
        // What has begun elsewhere grows there, where big pieces grow without being copied.
        let before = before();
        // SAFETY: as Python calls this function.
        return unsafe { (before.realloc)(before.context, pointer, size) };
    };
    let room = BLOCKS.size_of(block).unwrap_or(0) - MARGIN;
    if (room / 2..=room).contains(&size) {
        return pointer;
    }
    // SAFETY: as Python calls this function: `pointer` has room for `room` bytes, and is used no more
    // if memory is given for it.
    unsafe {
        let moved = if size > MOVED {
            malloc_before(size)
        } else {
            malloc(context, size.max(1))
        };
        if !moved.is_null() {
            ptr::copy_nonoverlapping(pointer.cast::<u8>(), moved.cast::<u8>(), room.min(size));
            free_block(block);
        }
        moved
    }
}

unsafe extern "C" fn free(_: *mut c_void, pointer: *mut c_void) {
    let before = before();
    // SAFETY: as Python calls this function: the pointer is used no more.
    unsafe {
        match block_of(pointer) {
            Some(block) => free_block(block),
            None => (before.free)(before.context, pointer),
        }
    }
}

/// # Safety
///
/// A block of ours, which is used no more.
unsafe fn free_block(block: *mut u8) {
    // SAFETY: as this function demands.
    unsafe { BLOCKS.free(block) };
    tidiness::see();
}

fn arenas_before() -> &'static Arenas {
    // As `before`.
    ARENAS.get().expect("what Python has by itself")
}

unsafe extern "C" fn alloc_arena(_: *mut c_void, size: usize) -> *mut c_void {
    if let Some(block) = BLOCKS.alloc(size) {
        return block.as_ptr().cast();
    }
    let before = arenas_before();
    // SAFETY: as Python calls this function.
    unsafe { (before.alloc)(before.context, size) }
}

unsafe extern "C" fn free_arena(_: *mut c_void, pointer: *mut c_void, size: usize) {
    let before = arenas_before();
    // SAFETY: as Python calls this function: the arena is used no more.
    unsafe {
        if BLOCKS.free(pointer.cast()) {
            tidiness::see();
        } else {
            (before.free)(before.context, pointer, size);
        }
    }
}
