//! Big stacks for dirty schedulers.
//!
//! A dirty scheduler's stack has 320 KB. Python recursion that should end in `RecursionError`
//! ends in a segmentation fault there. Each dirty scheduler that enters Python gets one big stack,
//! mapped once and kept: mapping one per call would cost twenty times what the call does.
//!
//! A coroutine stays on that stack between the calls, so that something can stay at the bottom of it: the
//! frame that calls stand in (`stand`).

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
pub use big::{Jobs, on_big_stack};
#[cfg(unix)]
pub use protection::protect;

#[cfg(unix)]
mod big {
    use super::{Bounds, stack_size};
    use corosensei::stack::{Stack, StackPointer};
    use corosensei::{Coroutine, Yielder};
    use pyo3::Python;
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::ptr::{self, NonNull};

    /// A mapping with a guard page at its low end, where stacks grow to.
    struct Mapping {
        stack: Bounds,
        guard: usize,
    }

    impl Mapping {
        /// None when the system has no memory for it.
        fn new(size: usize) -> Option<Self> {
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
            Some(Mapping {
                stack: Bounds {
                    // SAFETY: within the mapping.
                    base: unsafe { mapped.cast::<u8>().add(page) },
                    size,
                },
                guard: page,
            })
        }
    }

    // SAFETY: memory with a guard page, used by nobody else and never unmapped. Page-aligned, and larger than
    // the least that is asked for.
    unsafe impl Stack for Mapping {
        fn base(&self) -> StackPointer {
            pointer(self.stack.base as usize + self.stack.size)
        }

        fn limit(&self) -> StackPointer {
            pointer(self.stack.base as usize - self.guard)
        }
    }

    fn pointer(address: usize) -> StackPointer {
        StackPointer::new(address).unwrap_or(StackPointer::MAX)
    }

    /// What the coroutine is resumed for, attached already or not. It does not unwind.
    type Job = NonNull<Work<'static>>;
    type Work<'w> = dyn FnMut(Option<Python<'_>>) + 'w;
    type Stacked = Coroutine<Job, (), (), Mapping>;

    /// What stays at the bottom of a stack, of which it is told where it is.
    type Bottom = fn(Bounds, &mut Jobs<'_>);

    /// The pieces of work that come to a stack.
    pub struct Jobs<'y> {
        next: Option<Job>,
        yielder: &'y Yielder<Job, ()>,
    }

    impl Jobs<'_> {
        /// Does what has come, if it is not done.
        pub fn do_next(&mut self, py: Option<Python<'_>>) {
            if let Some(mut job) = self.next.take() {
                // SAFETY: `on_big_stack` waits for the job, which is its own.
                unsafe { job.as_mut()(py) }
            }
        }

        /// Leaves the stack until more comes.
        pub fn wait(&mut self) {
            self.next = Some(self.yielder.suspend(()));
        }
    }

    thread_local! {
        // Scheduler threads live as long as the VM: neither stack nor coroutine is ever given up.
        static JOBS: Cell<Option<&'static mut Stacked>> = const { Cell::new(None) };
    }

    /// Runs `work` on this thread's big stack. A panic in it goes on in the caller.
    ///
    /// `bottom` may stay at the bottom of the stack and do all that comes from then on. Should it return, what it has
    /// not done is done all the same, not attached, and it is asked again the next time.
    ///
    /// None if there is no memory for the stack; `work` has not run then.
    pub fn on_big_stack<R>(
        bottom: Bottom,
        work: impl FnOnce(Option<Python<'_>>) -> R,
    ) -> Option<R> {
        // Taken out while in use, so that a nested entry (there is none: a dirty scheduler runs
        // one NIF at a time) could never share it.
        let jobs = match JOBS.take() {
            Some(jobs) => jobs,
            None => start(bottom)?,
        };
        let mut work = Some(work);
        let mut result = None;
        let mut job = |py: Option<Python<'_>>| {
            let Some(work) = work.take() else { return };
            result = Some(catch_unwind(AssertUnwindSafe(|| work(py))));
        };
        let job: NonNull<Work<'_>> = NonNull::from(&mut job);
        // SAFETY: it is done when `resume` returns, and not called after that.
        let job = unsafe { std::mem::transmute::<NonNull<Work<'_>>, Job>(job) };
        jobs.resume(job);
        JOBS.set(Some(jobs));
        result.map(|result| result.unwrap_or_else(|panic| resume_unwind(panic)))
    }

    fn start(bottom: Bottom) -> Option<&'static mut Stacked> {
        let mapping = Mapping::new(stack_size())?;
        let stack = mapping.stack;
        let serve = move |yielder: &Yielder<Job, ()>, first: Job| {
            let mut jobs = Jobs {
                next: Some(first),
                yielder,
            };
            loop {
                bottom(stack, &mut jobs);
                jobs.do_next(None);
                jobs.wait();
            }
        };
        Some(Box::leak(Box::new(Coroutine::with_stack(mapping, serve))))
    }
}

/// From 3.14 on CPython compares the stack pointer with the bounds of the thread's stack. Outside of them it
/// takes the stack to be used up: what it would free then it keeps for later, which never comes.
#[cfg(unix)]
mod protection {
    use super::Bounds;
    use crate::python::interpreter::symbol;
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
