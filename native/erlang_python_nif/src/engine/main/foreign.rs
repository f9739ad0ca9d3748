//! Python code that a C library has called, which an interrupt must not strike.
//!
//! What such a library is given in place of the exception (ctypes prints it, and returns 0) it takes for
//! an answer: it goes on with half of what it was about, to wrong results or to the end of the VM. So an
//! interrupt waits until the call of the library has returned to the Python code that made it:
//!
//! - A thread state counts who has the GIL by `PyGILState_Ensure` or in its manner. More than when the
//!   request began means that a callback is on the thread's stack: the interrupter then only notes that
//!   the request is to be interrupted (`Runner::interrupt`).
//! - A thread in C code that has let go of the GIL may sleep, or be in a library that is about to call
//!   back, and nobody can tell. It is interrupted; should it come in by a callback, the interrupt is put
//!   off (`came_in`).
//! - When the last callback on the stack ends, what was put off is aimed at the thread again
//!   (`about_to_leave`): it strikes when the library's call is over, or is put off again.
//!
//! Where thread states do not tell how often their threads have come in, the loader's calls are counted, and only
//! callbacks by `PyGILState_Ensure` are kept from interrupts (`count_entry`).
//!
//! The loader tells where threads come in and leave (`native/erlang_python_loader/src/gil.rs`). A ctypes
//! that is not bound to the loader's functions, as it is a part of libpython itself, has its callbacks
//! wrapped (`priv/python/erlang/_foreign.py`).

use crate::engine::main::seat;
use crate::python::interpreter::{count_entry, symbol};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::ffi::c_int;

/// Asks to be told of threads that come in. When the interpreter has started.
pub fn install() {
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

/// What the loader says, see its `gil.rs`.
unsafe extern "C" fn watch(what: c_int) {
    match what {
        // Of these two the thread has been counted, if it comes in by a callback.
        0 => {
            count_entry(1);
            came_in(0);
        }
        2 => came_in(0),
        // pybind11 counts afterwards.
        3 => came_in(1),
        // The thread is still counted.
        1 => {
            about_to_leave(1);
            count_entry(-1);
        }
        // pybind11 has it counted no more.
        4 => about_to_leave(0),
        _ => {}
    }
}

/// The current thread has got the GIL: what is aimed at its request is put off, if a callback has begun.
/// `uncounted`: how often it will be counted as having come in.
fn came_in(uncounted: c_int) {
    if seat::is_aimed_at()
        && let Some(running) = seat::running()
    {
        // SAFETY: the loader calls with the GIL held.
        let py = unsafe { Python::assume_attached() };
        running.runner.put_off(py, uncounted);
    }
}

/// The current thread is about to give the GIL back. `counted`: how often it is then no longer counted.
fn about_to_leave(counted: c_int) {
    if seat::is_aimed_at()
        && let Some(running) = seat::running()
    {
        // SAFETY: as above.
        let py = unsafe { Python::assume_attached() };
        running.runner.aim_again(py, counted);
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
        let callable = self
            .0
            .as_ref()
            .ok_or_else(|| pyo3::exceptions::PyTypeError::new_err("expected a guarded callable"))?;
        count_entry(1);
        came_in(0);
        let result = callable.bind(py).call(args, kwargs);
        about_to_leave(1);
        count_entry(-1);
        result
    }
}
