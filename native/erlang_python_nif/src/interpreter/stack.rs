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

#[cfg(unix)]
pub use big::on_big_stack;

#[cfg(unix)]
mod big {
    use super::stack_size;
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::ptr;

    /// A mapping with a guard page at its low end, where stacks grow to.
    struct Stack {
        base: *mut u8,
        size: usize,
    }

    impl Stack {
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
            Some(Stack {
                // SAFETY: within the mapping.
                base: unsafe { mapped.cast::<u8>().add(page) },
                size,
            })
        }
    }

    thread_local! {
        // Scheduler threads live as long as the VM: the stack is never unmapped.
        static STACK: Cell<Option<(*mut u8, usize)>> = const { Cell::new(None) };
    }

    /// Runs `work` on this thread's big stack. A panic in it goes on in the caller.
    ///
    /// None if there is no memory for the stack; `work` has not run then.
    pub fn on_big_stack<R>(work: impl FnOnce() -> R) -> Option<R> {
        // Taken out while in use, so that a nested entry (there is none: a dirty scheduler runs
        // one NIF at a time) could never share it.
        let (base, size) = match STACK.take() {
            Some(stack) => stack,
            None => {
                let stack = Stack::map(stack_size())?;
                (stack.base, stack.size)
            }
        };
        // SAFETY: [base, base + size) is mapped, writable, page-aligned and used by nobody else.
        // The closure does not unwind: `catch_unwind` is all it does.
        let result = unsafe { psm::on_stack(base, size, || catch_unwind(AssertUnwindSafe(work))) };
        STACK.set(Some((base, size)));
        Some(result.unwrap_or_else(|panic| resume_unwind(panic)))
    }
}
