//! Entering Python from a thread.

use super::GilCell;
use super::foreign::State;
use super::frame::Frame;
use super::python;
use super::stack::{self, Bounds};
use super::stand;
use super::traced::{self, Traced};
use super::tracing::Untraced;
use crate::fork;
use crate::lock;
use crate::request::Request;
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::OnceCell;
use std::ffi::{c_int, c_long, c_ulong};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

unsafe extern "C" {
    // In the limited API since 3.2, but not declared by pyo3-ffi.
    fn PyThread_get_thread_ident() -> c_ulong;
}

/// A thread that has entered Python, and the requests that it is running: one, or more when a
/// callback into Elixir calls Python again.
pub struct PythonThread {
    /// `threading.get_ident()`.
    ident: c_ulong,
    state: State,
    running: GilCell<Vec<Running>>,
    /// An interrupt is aimed at one of its requests, or was.
    aimed_at: AtomicBool,
}

struct Running {
    request: Arc<Request>,
    /// How often the thread had come into Python when it began.
    entries: c_int,
    /// A library is at work that hands on what its callbacks raise: one callback may be interrupted.
    trusts: bool,
}

/// How many threads an interrupt is aimed at, or was.
static AIMED_AT: AtomicUsize = AtomicUsize::new(0);

/// Whether there is such a thread at all. A quick look, for the many who ask.
pub fn is_any_aimed_at() -> bool {
    AIMED_AT.load(Ordering::Relaxed) != 0
}

thread_local! {
    static THREAD: OnceCell<Arc<PythonThread>> = const { OnceCell::new() };
}

/// Runs `work` attached to the interpreter (holding the GIL), on a stack that Python's own limits
/// fit. To be called on dirty schedulers and on our own threads only: it waits for the GIL.
///
/// None on a dirty scheduler when the system has no memory for the stack; `work` has not run then. Threads of
/// our own have theirs.
pub fn enter<R>(work: impl FnOnce(Python<'_>, &Arc<PythonThread>) -> R) -> Option<R> {
    lock::forbid("the GIL is waited for");
    let attached = || {
        THREAD.with(|cell| {
            let thread = cell.get_or_init(|| PythonThread::register(None));
            Python::attach(|py| {
                let done = work(py, thread);
                fork::end_if_child(py);
                done
            })
        })
    };
    if on_scheduler() {
        stack::on_big_stack(stay, attached)
    } else {
        Some(attached())
    }
}

/// Does the jobs of a dirty scheduler in the frame that calls stand in.
fn stay(stack: Bounds, jobs: &mut dyn FnMut()) {
    THREAD.with(|cell| {
        cell.get_or_init(|| PythonThread::register(Some(stack)));
    });
    Python::attach(|py| {
        if let Some(helpers) = python::helpers() {
            stand::stay(helpers.stand.bind(py), jobs);
        }
    });
}

/// Destroys the current thread's thread state. For a thread of ours that is about to end and has
/// left Python for the last time.
pub fn leave_for_good() {
    let Some(thread) = THREAD.with(|cell| cell.get().cloned()) else {
        return;
    };
    Python::attach(|py| {
        if let Some(helpers) = python::helpers() {
            // What it leaves behind is small; there is nobody to tell.
            let _ = helpers.forget_thread.bind(py).call1((thread.ident,));
        }
    });
    // SAFETY: the thread holds the reference to its state that `register` took. The first Release
    // matches the Ensure here, the second that one, which is the last: it destroys the state.
    unsafe {
        let state = ffi::PyGILState_Ensure();
        ffi::PyGILState_Release(ffi::PyGILState_STATE::PyGILState_LOCKED);
        ffi::PyGILState_Release(state);
    }
}

fn on_scheduler() -> bool {
    // SAFETY: no preconditions.
    unsafe { rustler::sys::enif_thread_type() != 0 }
}

impl PythonThread {
    /// Gives the current thread a thread state, which it keeps. With its stack, if that is not its own.
    fn register(stack: Option<Bounds>) -> Arc<Self> {
        // SAFETY: the interpreter is started (nobody gets here before). The state made by Ensure
        // is left attached once for all, so that the matching Release never comes: creating and
        // destroying it per call would cost 760 ns and lose `threading.local`.
        let state = unsafe {
            ffi::PyGILState_Ensure();
            if let Some(stack) = stack {
                stack::protect(stack);
            }
            let py = Python::assume_attached();
            let state = State::current(py);
            traced::look(py);
            ffi::PyEval_SaveThread();
            state
        };
        Arc::new(Self::with(state))
    }

    fn with(state: State) -> Self {
        PythonThread {
            // SAFETY: no preconditions.
            ident: unsafe { PyThread_get_thread_ident() },
            state,
            running: GilCell::new(Vec::new()),
            aimed_at: AtomicBool::new(false),
        }
    }

    /// The current thread, which Python started and which has a thread state of its own.
    pub fn of_foreign_thread(py: Python<'_>) -> Self {
        Self::with(State::current(py))
    }

    /// The Python code that it is in, if it runs this request, or others on top of it.
    pub fn frame<'py>(&self, py: Python<'py>, request: &Arc<Request>) -> Option<Frame<'py>> {
        let runs = self.running.with(py, |running| {
            running.iter().any(|r| Arc::ptr_eq(&r.request, request))
        });
        if !runs {
            return None;
        }
        // SAFETY: the end of the request would take it out of the list, with the GIL, and comes before the
        // end of the thread.
        unsafe { Frame::innermost(py, self.state.as_ptr()) }
    }

    /// The Python code that it is in.
    ///
    /// # Safety
    ///
    /// It has not ended.
    pub unsafe fn any_frame<'py>(&self, py: Python<'py>) -> Option<Frame<'py>> {
        // SAFETY: as this function demands: a thread has its state to its end.
        unsafe { Frame::innermost(py, self.state.as_ptr()) }
    }

    /// What traces it this moment. On the thread itself.
    pub fn traced<'py>(&self, py: Python<'py>) -> Traced<'py> {
        Traced::now(py, self.state.as_ptr())
    }

    pub fn begin(&self, py: Python<'_>, request: &Arc<Request>) {
        let begun = Running {
            request: Arc::clone(request),
            entries: self.state.entries(py),
            trusts: false,
        };
        self.running.with(py, |running| running.push(begun));
    }

    /// The end of a request: from here on no interrupt can be aimed at it, and one that was and
    /// has not struck yet strikes in code of ours, so that it never hits the next.
    pub fn end(&self, py: Python<'_>, request: &Arc<Request>) {
        // What is taken out is dropped outside.
        let _ended = self.running.with(py, |running| {
            let at = running
                .iter()
                .rposition(|r| Arc::ptr_eq(&r.request, request));
            at.map(|at| running.remove(at))
        });
        if self.is_aimed_at() {
            let aimed_at = self.running.with(py, |running| {
                let below = running.iter();
                below.clone().any(|r| r.request.was_aimed_at())
            });
            self.set_aimed_at(aimed_at);
        }
        if request.was_interrupted() {
            self.take_back(py);
        }
    }

    /// Whether an interrupt is aimed at one of its requests, or was.
    pub fn is_aimed_at(&self) -> bool {
        self.aimed_at.load(Ordering::Relaxed)
    }

    fn set_aimed_at(&self, aimed_at: bool) {
        match (self.aimed_at.swap(aimed_at, Ordering::Relaxed), aimed_at) {
            (false, true) => AIMED_AT.fetch_add(1, Ordering::Relaxed),
            (true, false) => AIMED_AT.fetch_sub(1, Ordering::Relaxed),
            _ => return,
        };
    }

    /// The request whose code the thread is in.
    pub fn innermost(&self, py: Python<'_>) -> Option<Arc<Request>> {
        self.running
            .with(py, |running| Some(Arc::clone(&running.last()?.request)))
    }

    /// How many callbacks of C libraries are on the thread's stack, in the request that it is at.
    fn callbacks(&self, py: Python<'_>) -> c_int {
        let begun = self.running.with(py, |running| {
            running.last().map(|r| r.entries + c_int::from(r.trusts))
        });
        begun.map_or(0, |begun| self.state.entries(py) - begun)
    }

    /// Says whether the library that calls the thread's code hands on what that raises. An event loop in C does.
    pub fn trust_callbacks(&self, py: Python<'_>, trusts: bool) {
        self.running.with(py, |running| {
            if let Some(last) = running.last_mut() {
                last.trusts = trusts;
            }
        });
    }

    /// Whether a C library has called the code that the thread is in. See `foreign`.
    pub fn is_in_callback(&self, py: Python<'_>) -> bool {
        self.callbacks(py) > 0
    }

    /// The requests that run above this one because its own callbacks made them.
    pub fn nested_in(&self, py: Python<'_>, request: &Arc<Request>) -> Vec<Arc<Request>> {
        self.running.with(py, |running| {
            let running = running.iter().map(|r| &r.request);
            let above = running.skip_while(|r| !Arc::ptr_eq(r, request));
            above
                .skip(1)
                .take_while(|r| r.is_nested())
                .cloned()
                .collect()
        })
    }

    /// Takes the place of an interrupt that has struck or is about to: the caller raises one itself.
    pub fn pre_empt(&self, py: Python<'_>, request: &Request) {
        if request.was_interrupted() {
            self.take_back(py);
        } else {
            request.skip_interrupt();
        }
    }

    /// Raises `exception` in the thread if it is at `request`, and nowhere deeper. Whoever ends the
    /// request holds the GIL, so that it cannot end meanwhile. In a callback of a C library it is left to
    /// the end of that.
    pub fn interrupt(
        &self,
        request: &Arc<Request>,
        exception: &pyo3::Bound<'_, pyo3::PyAny>,
    ) -> bool {
        let py = exception.py();
        let innermost = self.running.with(py, |running| {
            let last = running.last();
            last.is_some_and(|r| Arc::ptr_eq(&r.request, request))
        });
        if innermost && !request.interrupt_is_skipped() {
            self.set_aimed_at(true);
            if self.is_in_callback(py) {
                request.put_interrupt_off();
            } else {
                self.aim(request, exception);
            }
        }
        innermost
    }

    fn aim(&self, request: &Request, exception: &pyo3::Bound<'_, pyo3::PyAny>) {
        request.mark_interrupted();
        self.state.aim(self.ident, exception);
    }

    /// For the thread itself, when it has come in: an interrupt that has not struck yet does not strike
    /// what a C library has called. `uncounted`: how many callbacks have begun that are not counted yet.
    pub fn put_off(&self, py: Python<'_>, uncounted: c_int) {
        let (Some(helpers), Some(request)) = (python::helpers(), self.innermost(py)) else {
            return;
        };
        let pending = self.state.pending(py) == helpers.interrupt.as_ptr();
        if pending && self.callbacks(py) + uncounted > 0 {
            request.put_interrupt_off();
            // Code that the thread is in the middle of may have an exception set.
            let error = PyErr::take(py);
            self.take_back(py);
            if let Some(error) = error {
                error.restore(py);
            }
        }
    }

    /// For the thread itself, when it is about to go back into a C library: what was put off is aimed at
    /// it again if that was its last callback. `counted`: how many are over and still counted.
    pub fn aim_again(&self, py: Python<'_>, counted: c_int) {
        let (Some(helpers), Some(request)) = (python::helpers(), self.innermost(py)) else {
            return;
        };
        if self.callbacks(py) == counted && request.interrupt_was_put_off() {
            self.aim(&request, helpers.interrupt.bind(py));
        }
    }

    /// Lets an interrupt strike that has not yet, where it does no harm. On the thread itself.
    fn take_back(&self, py: Python<'_>) {
        if !self.state.is_spared(py) {
            absorb(py, self.ident);
        }
    }
}

impl Drop for PythonThread {
    fn drop(&mut self) {
        self.set_aimed_at(false);
    }
}

/// Raises an exception in a thread, given by its `threading.get_ident()`, at its next bytecode that looks
/// for such.
pub fn raise_in(ident: c_ulong, exception: &Bound<'_, PyAny>) {
    // SAFETY: the GIL is held (`exception` is bound to it), and the exception is a class.
    unsafe { ffi::PyThreadState_SetAsyncExc(ident as c_long, exception.as_ptr()) };
}

/// Lets an interrupt strike that is pending in the current thread (`ident`), and is not wanted any more, in
/// code of ours. Nothing is left of it in the interpreter. See `priv/python/erlang/_interrupts.py`.
pub fn absorb(py: Python<'_>, ident: c_ulong) {
    let Some(helpers) = python::helpers() else {
        return;
    };
    let struck = {
        let _untraced = Untraced::new(py);
        helpers.absorb.bind(py).call0()
    };
    let Err(error) = struck else { return };
    if !error.is_instance(py, helpers.interrupt.bind(py)) {
        // No stack was left, or no memory. It must not hit what runs next, all the same.
        // SAFETY: `py` proves that the GIL is held. A null exception takes a pending one back.
        unsafe { ffi::PyThreadState_SetAsyncExc(ident as c_long, std::ptr::null_mut()) };
    }
}

/// The thread state of a thread that has nothing to do with anybody's code, and is to be held up by none.
/// Attached, it gives up no references that were dropped elsewhere, and is never traced.
pub struct Detached {
    state: *mut ffi::PyThreadState,
    ident: c_ulong,
}

impl Detached {
    /// For the current thread, which has not entered Python before and lives as long as the VM.
    pub fn new() -> Self {
        // SAFETY: the interpreter is started. The state is never released, so `state` stays valid; `Ensure`
        // has attached the thread, as `Untraced` wants it.
        unsafe {
            ffi::PyGILState_Ensure();
            std::mem::forget(Untraced::new(Python::assume_attached()));
            Detached {
                state: ffi::PyEval_SaveThread(),
                ident: PyThread_get_thread_ident(),
            }
        }
    }

    pub fn ident(&self) -> c_ulong {
        self.ident
    }

    /// Runs `work` with the GIL. A panic in it is caught: None.
    pub fn attach<R>(&self, work: impl FnOnce(Python<'_>) -> R) -> Option<R> {
        lock::forbid("the GIL is waited for");
        // SAFETY: the state is the current thread's (a raw pointer keeps `Detached` there) and not attached.
        unsafe {
            ffi::PyEval_RestoreThread(self.state);
            let done = catch_unwind(AssertUnwindSafe(|| work(Python::assume_attached())));
            ffi::PyEval_SaveThread();
            done.ok()
        }
    }
}
