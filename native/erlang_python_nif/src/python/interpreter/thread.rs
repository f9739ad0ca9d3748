//! Entering Python from a thread.

use super::entrance;
use super::frame::Frame;
use super::settings::{self, Settings};
use super::stack::{self, Bounds, Jobs};
use super::stand;
use super::state::{self, State};
use super::traced::{Traced, Tracers};
use super::tracing::Untraced;
use crate::base::lock;
use crate::python::child;
use crate::python::current;
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::OnceCell;
use std::ffi::{c_int, c_long, c_ulong};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

unsafe extern "C" {
    // In the limited API since 3.2, but not declared by pyo3-ffi.
    fn PyThread_get_thread_ident() -> c_ulong;
}

/// A thread that has entered Python.
pub struct PythonThread {
    /// `threading.get_ident()`.
    pub ident: c_ulong,
    pub state: State,
    /// How often it has come in, as far as we were told: in place of what its state would tell.
    told: AtomicI32,
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
    let attached = |py: Option<Python<'_>>| {
        THREAD.with(|cell| {
            let thread = cell.get_or_init(|| PythonThread::register(None));
            let work = |py: Python<'_>| {
                let done = work(py, thread);
                child::end_if_child(py);
                done
            };
            match py {
                Some(py) => work(py),
                None => Python::attach(work),
            }
        })
    };
    if on_scheduler() {
        stack::on_big_stack(stay, attached)
    } else {
        Some(attached(None))
    }
}

/// Does the jobs of a dirty scheduler in the frame that calls stand in.
fn stay(stack: Bounds, jobs: &mut Jobs<'_>) {
    struct Here<'j, 'y>(&'j mut Jobs<'y>);
    // SAFETY: `detach` calls it on the thread that it is from, and it holds nothing of Python's.
    unsafe impl Send for Here<'_, '_> {}

    impl Here<'_, '_> {
        fn wait(self) {
            self.0.wait();
        }
    }

    THREAD.with(|cell| {
        cell.get_or_init(|| PythonThread::register(Some(stack)));
    });
    Python::attach(|py| {
        let Some(helpers) = current::helpers() else {
            return;
        };
        stand::stay(helpers.stand.bind(py), &mut || {
            loop {
                jobs.do_next(Some(py));
                // To come back so costs half of what `attach` does.
                let here = Here(jobs);
                py.detach(move || here.wait());
            }
        });
    });
}

/// Destroys the current thread's thread state. For a thread of ours that is about to end and has
/// left Python for the last time.
pub fn leave_for_good() {
    let Some(thread) = THREAD.with(|cell| cell.get().cloned()) else {
        return;
    };
    Python::attach(|py| {
        if let Some(helpers) = current::helpers() {
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
        let _entering = entrance::enter();
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
            settings::look(py);
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
            told: AtomicI32::new(0),
        }
    }

    /// The current thread, which Python started and which has a thread state of its own.
    pub fn of_foreign_thread(py: Python<'_>) -> Self {
        Self::with(State::current(py))
    }

    /// The Python code that it is in.
    ///
    /// # Safety
    ///
    /// It has not ended.
    pub unsafe fn frame<'py>(&self, py: Python<'py>) -> Option<Frame<'py>> {
        let stand = current::helpers().map(|helpers| &helpers.stand_code);
        // SAFETY: as this function demands: a thread has its state to its end.
        unsafe { Frame::innermost(py, self.state.as_ptr(), self.ident, stand) }
    }

    /// How often it has come in by `PyGILState_Ensure` or the like, and not left.
    pub fn entries(&self, py: Python<'_>) -> c_int {
        let known = self.state.entries(py);
        known.unwrap_or_else(|| self.told.load(Ordering::Relaxed))
    }

    /// The functions that trace it this moment, and those that were kept in force from now on. On the thread itself.
    pub fn resume_traced<'py>(&self, py: Python<'py>, kept: Option<&Tracers>) -> Traced<'py> {
        Traced::resume(py, self.state.as_ptr(), kept)
    }

    /// What is set in it this moment. On the thread itself.
    pub fn settings<'py>(&self, py: Python<'py>) -> Settings<'py> {
        Settings::now(py, self.state.as_ptr())
    }
}

/// The current thread has come in by `PyGILState_Ensure` (1), or is leaving (-1). That is all we are told: cffi and
/// pybind11 come in by functions that also end what others do without the GIL.
pub fn count_entry(by: c_int) {
    if state::are_entries_unknown() {
        // A thread that has never run a request, or is about to end, has none.
        let _ = THREAD.try_with(|cell| {
            cell.get()
                .map(|thread| thread.told.fetch_add(by, Ordering::Relaxed))
        });
    }
}

/// Raises an exception in a thread, given by its `threading.get_ident()`, at its next bytecode that looks
/// for such.
pub fn raise_in(ident: c_ulong, exception: &Bound<'_, PyAny>) {
    // SAFETY: the GIL is held (`exception` is bound to it), and the exception is a class.
    unsafe { ffi::PyThreadState_SetAsyncExc(ident as c_long, exception.as_ptr()) };
}

/// Lets an interrupt strike that is pending in the current thread (`ident`), and is not wanted any more, in
/// code of ours. Nothing is left of it in the interpreter. See `priv/python/erlang/_interrupts.py`. Whether there was
/// one.
pub fn absorb(py: Python<'_>, ident: c_ulong) -> bool {
    let Some(helpers) = current::helpers() else {
        return false;
    };
    let struck = {
        let _untraced = Untraced::new(py);
        helpers.absorb.bind(py).call0()
    };
    let Err(error) = struck else { return false };
    if !error.is_instance(py, helpers.interrupt.bind(py)) {
        // No stack was left, or no memory. It must not hit what runs next, all the same.
        // SAFETY: `py` proves that the GIL is held. A null exception takes a pending one back.
        unsafe { ffi::PyThreadState_SetAsyncExc(ident as c_long, std::ptr::null_mut()) };
    }
    true
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
        let _entering = entrance::enter();
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
