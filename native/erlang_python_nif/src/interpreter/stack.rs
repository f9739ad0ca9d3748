//! Big stacks for dirty schedulers.
//!
//! A dirty scheduler's stack has 320 KB. Python recursion that should end in `RecursionError`
//! ends in a segmentation fault there. Each dirty scheduler that enters Python gets one big stack,
//! mapped once and kept: mapping one per call would cost twenty times what the call does.

use std::sync::atomic::{AtomicUsize, Ordering};

const DEFAULT_SIZE: usize = 16 << 20;

static SIZE: AtomicUsize = AtomicUsize::new(DEFAULT_SIZE);

/// Bytes of stack that Python has on every thread that is entered through us.
pub fn stack_size() -> usize {
    SIZE.load(Ordering::Relaxed)
}

/// For the start of the interpreter, before anything runs in it.
pub fn set_stack_size(bytes: usize) {
    SIZE.store(bytes, Ordering::Relaxed);
}

/// A stack that is not the thread's own: its low end and its size.
#[derive(Clone, Copy)]
pub struct Bounds {
    base: *mut u8,
    size: usize,
}

#[cfg(unix)]
pub use big::on_big_stack;
#[cfg(unix)]
pub use protection::protect;

#[cfg(unix)]
mod big {
    use super::{Bounds, stack_size};
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::ptr;

    impl Bounds {
        /// A mapping with a guard page at its low end, where stacks grow to.
        ///
        /// None when the system has no memory for it.
        fn map(size: usize) -> Option<Self> {
            // SAFETY: sysconf has no preconditions.
            let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
            let size = size.next_multiple_of(page);
            // SAFETY: a fresh anonymous mapping, at an address of the kernel's choice.
            let mapped = unsafe {
                libc::mmap(
                    ptr::null_mut(),
                    size + page,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                    -1,
                    0,
                )
            };
            if mapped == libc::MAP_FAILED {
                return None;
            }
            // SAFETY: the first page of the mapping just made.
            if unsafe { libc::mprotect(mapped, page, libc::PROT_NONE) } != 0 {
                // SAFETY: the mapping just made, which nobody else knows of.
                unsafe { libc::munmap(mapped, size + page) };
                return None;
            }
            Some(Bounds {
                // SAFETY: within the mapping.
                base: unsafe { mapped.cast::<u8>().add(page) },
                size,
            })
        }
    }

    thread_local! {
        // Scheduler threads live as long as the VM: the stack is never unmapped.
        static STACK: Cell<Option<Bounds>> = const { Cell::new(None) };
    }

    /// Runs `work` on this thread's big stack. A panic in it goes on in the caller.
    ///
    /// None if there is no memory for the stack; `work` has not run then.
    pub fn on_big_stack<R>(work: impl FnOnce(Bounds) -> R) -> Option<R> {
        // Taken out while in use, so that a nested entry (there is none: a dirty scheduler runs
        // one NIF at a time) could never share it.
        let stack = match STACK.take() {
            Some(stack) => stack,
            None => Bounds::map(stack_size())?,
        };
        let work = || catch_unwind(AssertUnwindSafe(|| work(stack)));
        // SAFETY: the bounds are those of memory that is mapped, writable, page-aligned and used by
        // nobody else. The closure does not unwind: `catch_unwind` is all it does.
        let result = unsafe { psm::on_stack(stack.base, stack.size, work) };
        STACK.set(Some(stack));
        Some(result.unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

/// From 3.14 on CPython compares the stack pointer with the bounds of the thread's stack. Outside of them it
/// takes the stack to be used up: what it would free then it keeps for later, which never comes.
#[cfg(unix)]
mod protection {
    use super::Bounds;
    use crate::interpreter::symbol;
    use pyo3::ffi;
    use std::ffi::{c_int, c_void};
    use std::sync::OnceLock;

    type SetStackProtection =
        unsafe extern "C" fn(*mut ffi::PyThreadState, *mut c_void, usize) -> c_int;

    static SET: OnceLock<Option<SetStackProtection>> = OnceLock::new();

    /// Tells Python where the stack of the current thread is. For a thread that is attached, once: its
    /// state keeps it.
    ///
    /// Python before 3.14 does not ask; the first releases of 3.14, which cannot be told, are refused when
    /// libpython is opened.
    pub fn protect(stack: Bounds) {
        // SAFETY: it has this type in 3.14 and 3.15.
        let look_up = || unsafe { symbol(c"PyUnstable_ThreadState_SetStackProtection") };
        let Some(set) = SET.get_or_init(look_up) else {
            return;
        };
        // SAFETY: the thread is attached and on that stack, as it always is when it is in Python.
        unsafe {
            if set(ffi::PyThreadState_Get(), stack.base.cast(), stack.size) != 0 {
                // A stack too small for Python's margins, which `thread_stack_size` does not allow.
                ffi::PyErr_WriteUnraisable(std::ptr::null_mut());
            }
        }
    }
}
