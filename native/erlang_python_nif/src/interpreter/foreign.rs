//! Python code that a C library has called, which an interrupt must not strike.
//!
//! What such a library is given in place of the exception (ctypes prints it, and returns 0) it takes for
//! an answer: it goes on with half of what it was about, to wrong results or to the end of the VM. So an
//! interrupt waits until the call of the library has returned to the Python code that made it:
//!
//! - A thread state counts who has the GIL by `PyGILState_Ensure` or in its manner. More than when the
//!   request began means that a callback is on the thread's stack: the interrupter then only notes that
//!   the request is to be interrupted (`PythonThread::interrupt`).
//! - A thread in C code that has let go of the GIL may sleep, or be in a library that is about to call
//!   back, and nobody can tell. It is interrupted; should it come in by a callback, the interrupt is put
//!   off (`came_in`).
//! - When the last callback on the stack ends, what was put off is aimed at the thread again
//!   (`about_to_leave`): it strikes when the library's call is over, or is put off again.
//!
//! The loader tells where threads come in and leave (`native/erlang_python_loader/src/gil.rs`). A ctypes
//! that is not bound to the loader's functions, as it is a part of libpython itself, has its callbacks
//! wrapped (`priv/python/erlang/_foreign.py`).

use super::symbol;
use crate::worker;
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::ffi::{c_int, c_long, c_ulong};
use std::sync::OnceLock;

unsafe extern "C" {
    // In the limited API since 3.2, but not declared by pyo3-ffi.
    fn PyThread_get_thread_ident() -> c_ulong;
}

/// The part of a thread state that matters here, as every version since 3.8 has it somewhere.
#[repr(C)]
struct Fields {
    gilstate_counter: c_int,
    async_exc: *mut ffi::PyObject,
    thread_id: c_ulong,
}

/// How far from a thread state's beginning to look for it: 3.8 to 3.14 have it within the first 300 bytes.
const FAR: usize = 400;

/// Where it is. None if it is nowhere: then interrupts strike wherever they are aimed.
static FIELDS: OnceLock<Option<usize>> = OnceLock::new();

/// A thread state. It is looked at with the GIL, and while its thread runs a request.
#[derive(Clone, Copy)]
pub struct State(*mut ffi::PyThreadState);

// SAFETY: what is done with the pointer needs the GIL.
unsafe impl Send for State {}
// SAFETY: as above.
unsafe impl Sync for State {}

impl State {
    /// That of the current thread.
    pub fn current(_py: Python<'_>) -> Self {
        // SAFETY: the thread is attached.
        State(unsafe { ffi::PyThreadState_Get() })
    }

    pub fn as_ptr(self) -> *mut ffi::PyThreadState {
        self.0
    }

    fn fields(self) -> Option<*mut Fields> {
        let offset = (*FIELDS.get()?)?;
        // SAFETY: within the thread state, which lives as long as its thread runs a request.
        Some(unsafe { self.0.cast::<u8>().add(offset) }.cast::<Fields>())
    }

    /// How often the thread has come in by `PyGILState_Ensure` or the like, and not left.
    pub fn entries(self, _py: Python<'_>) -> c_int {
        self.fields().map_or(0, |fields| {
            // SAFETY: as in `fields`. cffi counts before it has the GIL, so it may change meanwhile.
            unsafe { (&raw const (*fields).gilstate_counter).read_volatile() }
        })
    }

    /// Has an exception strike the thread, whose ident this is.
    ///
    /// Up to 3.11 a thread that is about to run has the ident of the one that starts it, and would be
    /// struck in its place: so the exception is written where it belongs, and the thread is told by way
    /// of the current one, as all look when one is to.
    pub fn aim(self, ident: c_ulong, exception: &Bound<'_, PyAny>) {
        let fields = if exception.py().version_info() < (3, 12) {
            self.fields()
        } else {
            None
        };
        // SAFETY: the GIL is held (`exception` is bound to it), and the exception is a class. Nothing but
        // the field has the reference that is put there, and the one that was there before.
        unsafe {
            let Some(fields) = fields else {
                ffi::PyThreadState_SetAsyncExc(ident as c_long, exception.as_ptr());
                return;
            };
            // First, as it may empty the current thread's own field.
            let own = PyThread_get_thread_ident();
            ffi::PyThreadState_SetAsyncExc(own as c_long, std::ptr::null_mut());
            let before = (&raw mut (*fields).async_exc).replace(exception.clone().into_ptr());
            ffi::Py_XDECREF(before);
        }
    }

    /// Whether it is known that no exception is about to strike the thread.
    pub fn is_spared(self, py: Python<'_>) -> bool {
        self.fields().is_some() && self.pending(py).is_null()
    }

    /// The exception that is about to strike the thread.
    pub fn pending(self, _py: Python<'_>) -> *mut ffi::PyObject {
        self.fields().map_or(std::ptr::null_mut(), |fields| {
            // SAFETY: as in `fields`; exceptions are set and taken with the GIL.
            unsafe { (&raw const (*fields).async_exc).read_volatile() }
        })
    }
}

/// Finds out where thread states have what is looked at, and asks to be told of threads that come in.
/// When the interpreter has started.
pub fn install(py: Python<'_>) {
    let _ = FIELDS.set(find(py));
    // SAFETY: the loader has exported it with this type from the beginning.
    let set = unsafe {
        symbol::<unsafe extern "C" fn(unsafe extern "C" fn(c_int))>(
            c"erlang_python_set_gil_watcher",
        )
    };
    if let Some(set) = set {
        // SAFETY: `watch` can be called by any thread that holds the GIL; this library is never unloaded.
        unsafe { set(watch) };
    }
}

/// Whether extension modules are bound to the loader's functions.
#[pyfunction]
#[pyo3(name = "_entries_are_seen")]
pub fn entries_are_seen() -> bool {
    let library = |name| {
        // SAFETY: the type is that of any address; it is not called.
        let function = unsafe { symbol::<*const std::ffi::c_void>(name) }?;
        // SAFETY: all zeroes is a valid Dl_info, which is filled for the address of a function.
        unsafe {
            let mut info: libc::Dl_info = std::mem::zeroed();
            (libc::dladdr(function, &mut info) != 0).then_some(info.dli_fbase)
        }
    };
    let loader = library(c"erlang_python_set_gil_watcher");
    loader.is_some() && loader == library(c"PyGILState_Ensure")
}

/// The three fields in a row, of which the second is empty, the third is known and the first counts.
fn find(py: Python<'_>) -> Option<usize> {
    let State(state) = State::current(py);
    let at = |offset: usize| {
        // SAFETY: a thread state is larger than this in every version, and aligned for its fields.
        unsafe {
            state
                .cast::<u8>()
                .add(offset)
                .cast::<Fields>()
                .read_volatile()
        }
    };
    // SAFETY: no preconditions.
    let ident = unsafe { PyThread_get_thread_ident() };
    let found = (0..FAR).step_by(align_of::<Fields>()).find(|&offset| {
        let Fields {
            gilstate_counter,
            async_exc,
            thread_id,
        } = at(offset);
        async_exc.is_null() && thread_id == ident && gilstate_counter > 0
    })?;
    let counted = at(found).gilstate_counter;
    // SAFETY: the thread is attached; each Ensure has its Release.
    let counts = unsafe {
        let ensured = ffi::PyGILState_Ensure();
        let more = at(found).gilstate_counter;
        ffi::PyGILState_Release(ensured);
        more == counted + 1 && at(found).gilstate_counter == counted
    };
    counts.then_some(found)
}

/// What the loader says, see its `gil.rs`.
unsafe extern "C" fn watch(what: c_int) {
    match what {
        // Of these two the thread has been counted, if it comes in by a callback.
        0 | 2 => came_in(0),
        // pybind11 counts afterwards.
        3 => came_in(1),
        // The thread is still counted.
        1 => about_to_leave(1),
        // pybind11 has it counted no more.
        4 => about_to_leave(0),
        _ => {}
    }
}

/// The current thread has got the GIL: what is aimed at its request is put off, if a callback has begun.
/// `uncounted`: how often it will be counted as having come in.
fn came_in(uncounted: c_int) {
    if worker::is_aimed_at()
        && let Some(running) = worker::running()
    {
        // SAFETY: the loader calls with the GIL held.
        let py = unsafe { Python::assume_attached() };
        running.thread.put_off(py, uncounted);
    }
}

/// The current thread is about to give the GIL back. `counted`: how often it is then no longer counted.
fn about_to_leave(counted: c_int) {
    if worker::is_aimed_at()
        && let Some(running) = worker::running()
    {
        // SAFETY: as above.
        let py = unsafe { Python::assume_attached() };
        running.thread.aim_again(py, counted);
    }
}

/// A callable that a C library is given in place of another, where threads come in unseen. None in an
/// instance that is not from us (see `made`).
#[pyclass(frozen, module = "erlang", name = "_Guarded")]
pub struct Guarded(Option<Py<PyAny>>);

#[pymethods]
impl Guarded {
    #[new]
    fn new(callable: Py<PyAny>) -> Self {
        Guarded(Some(callable))
    }

    // Cycles through it are broken elsewhere, as those through tuples are.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0
            .as_ref()
            .map_or(Ok(()), |callable| visit.call(callable))
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let callable = self.0.as_ref().ok_or_else(|| {
            pyo3::exceptions::PyTypeError::new_err("this object guards no callable")
        })?;
        came_in(0);
        let result = callable.bind(py).call(args, kwargs);
        about_to_leave(1);
        result
    }
}
