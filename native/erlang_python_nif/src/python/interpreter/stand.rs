//! The frame that calls stand in: as if each were written in `__main__`.
//!
//! `eval`, `globals`, `dir`, `warnings.warn`, `collections.namedtuple`, `pandas` (`query`) and many others look at
//! the frame of their caller, and fail where there is none, as under a call that comes from C. So threads do
//! their requests inside of a frame of module code, whose names are those of `__main__`. A dirty scheduler that has
//! entered Python stays in one for good (`stack`), another thread for all requests that it takes in a row: it
//! costs none of them anything.

use super::tracing::Untraced;
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;

type Job = dyn FnMut();

thread_local! {
    static JOB: Cell<Option<NonNull<Job>>> = const { Cell::new(None) };
    static STAYS: Cell<bool> = const { Cell::new(false) };
}

/// What the code of the frame asks for its attribute, which does what the frame was entered for. For an
/// attribute no function is called that a profiler would see.
#[pyclass(frozen, module = "erlang", name = "_Stand")]
struct Stand;

#[pymethods]
impl Stand {
    #[getter]
    fn inside(&self) -> Option<bool> {
        if let Some(mut job) = JOB.take() {
            // SAFETY: `within` has put it there, on this thread, and waits in the frame's code.
            unsafe { job.as_mut()() }
        }
        None
    }
}

/// Puts what is needed into the package, for `priv/python/erlang/_main.py`.
pub fn add_to(package: &Bound<'_, PyModule>) -> PyResult<()> {
    package.add("_stand", Bound::new(package.py(), Stand)?)
}

/// Does something in the frame of `stand`, a function like `STAND` in `priv/python/erlang/_main.py`.
pub fn within<R>(stand: &Bound<'_, PyAny>, work: impl FnOnce() -> R) -> R {
    let mut work = Some(work);
    let mut done = None;
    enter(stand, &mut || {
        done = work.take().map(|work| catch_unwind(AssertUnwindSafe(work)));
    });
    match (done, work) {
        (Some(Ok(done)), _) => done,
        (Some(Err(panic)), _) => resume_unwind(panic),
        (None, Some(work)) => work(),
        (None, None) => unreachable!("the work is taken to be done"),
    }
}

/// Does something in the frame, which must not unwind. It is not done if there is no frame: for want of memory, or
/// because of an interrupt that came too late.
fn enter(stand: &Bound<'_, PyAny>, work: &mut dyn FnMut()) {
    let py = stand.py();
    // Nobody's trace function sees the frame come and go: it is in no request.
    let mut untraced = Some(Untraced::new(py));
    let mut job = || {
        untraced = None;
        work();
        untraced = Some(Untraced::new(py));
    };
    let job: NonNull<dyn FnMut() + '_> = NonNull::from(&mut job);
    // SAFETY: it is only called before this function returns, and put away when the frame is left.
    let job = unsafe { std::mem::transmute::<NonNull<dyn FnMut() + '_>, NonNull<Job>>(job) };
    let outer = JOB.replace(Some(job));
    // SAFETY: the GIL is held; a callable. A new reference, or null with an exception set.
    unsafe {
        let result = ffi::PyObject_CallObject(stand.as_ptr(), std::ptr::null_mut());
        if result.is_null() {
            ffi::PyErr_Clear();
        } else {
            ffi::Py_DECREF(result);
        }
    }
    JOB.set(outer);
}

/// For the bottom of a thread's stack: does something in a frame that the thread then stays in.
pub fn stay(stand: &Bound<'_, PyAny>, work: &mut dyn FnMut()) {
    enter(stand, &mut || {
        STAYS.set(true);
        work();
        STAYS.set(false);
    });
}

/// Whether the thread is in such a frame all the time.
pub fn stays() -> bool {
    STAYS.get()
}
