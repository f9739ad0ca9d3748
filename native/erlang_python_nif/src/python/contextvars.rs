//! Context variables of Python (`contextvars`), and copies of them.

use crate::python::handle::Handle;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{CStr, c_char, c_int};
use std::ptr;

unsafe extern "C" {
    // In no limited API, but exported by every supported libpython, with these types since 3.7.1.
    fn PyContext_Copy(context: *mut ffi::PyObject) -> *mut ffi::PyObject;
    fn PyContext_CopyCurrent() -> *mut ffi::PyObject;
    fn PyContext_Enter(context: *mut ffi::PyObject) -> c_int;
    fn PyContext_Exit(context: *mut ffi::PyObject) -> c_int;
    fn PyContextVar_New(name: *const c_char, default: *mut ffi::PyObject) -> *mut ffi::PyObject;
    fn PyContextVar_Get(
        variable: *mut ffi::PyObject,
        default: *mut ffi::PyObject,
        value: *mut *mut ffi::PyObject,
    ) -> c_int;
    fn PyContextVar_Set(
        variable: *mut ffi::PyObject,
        value: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;
}

/// The context that calls get copies of.
pub struct Base {
    /// Nobody enters it any more.
    context: Handle,
    /// Gives a copy its own of what copies would share and could change.
    renew: Option<Handle>,
}

impl Base {
    /// Of what the current thread has by now.
    pub fn of_current(py: Python<'_>, renewal: &Bound<'_, PyAny>) -> PyResult<Self> {
        let context = copy_of_current(py)?;
        let renew = renewal.call1((&context,))?;
        Ok(Base {
            context: Handle::new(context.unbind()),
            renew: (!renew.is_none()).then(|| Handle::new(renew.unbind())),
        })
    }

    /// A fresh copy, entered.
    pub fn enter<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let context = copy(&self.context.get(py))?;
        enter(&context)?;
        if let Some(renew) = &self.renew
            && let Err(error) = renew.get(py).call0()
        {
            leave(&context);
            return Err(error);
        }
        Ok(context)
    }
}

fn copy_of_current(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the GIL is held. A new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, PyContext_CopyCurrent()) }
}

fn copy<'py>(context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a context, and the GIL is held. A new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(context.py(), PyContext_Copy(context.as_ptr())) }
}

pub fn enter(context: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: a context, and the GIL is held.
    match unsafe { PyContext_Enter(context.as_ptr()) } {
        0 => Ok(()),
        _ => Err(PyErr::fetch(context.py())),
    }
}

/// Leaves a context that was entered.
pub fn leave(context: &Bound<'_, PyAny>) {
    // SAFETY: a context, and the GIL is held. It fails if the code that ran has entered another one
    // and not left it: what runs next on the thread enters its own on top of that.
    unsafe {
        if PyContext_Exit(context.as_ptr()) != 0 {
            ffi::PyErr_Clear();
        }
    }
}

/// A context that some of a stream's requests have run in.
pub struct Kept(Handle);

impl Kept {
    pub fn of(context: Bound<'_, PyAny>) -> Self {
        Kept(Handle::new(context.unbind()))
    }

    /// A copy of what the current thread has by now.
    pub fn of_current(py: Python<'_>) -> PyResult<Self> {
        Ok(Kept::of(copy_of_current(py)?))
    }

    /// Does something in it.
    pub fn within<R>(&self, py: Python<'_>, work: impl FnOnce() -> R) -> R {
        let entered = self.enter(py);
        let done = work();
        if let Ok(context) = entered {
            leave(&context);
        }
        done
    }

    pub fn object<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.0.get(py)
    }

    /// To be left (`leave`).
    pub fn enter<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let context = self.0.get(py);
        match enter(&context) {
            Ok(()) => Ok(context),
            // Another thread is in it, as in the body of a `with`.
            Err(_) => {
                let context = copy(&context)?;
                enter(&context)?;
                Ok(context)
            }
        }
    }
}

/// A context variable of ours.
pub struct Variable(Handle);

impl Variable {
    pub fn new(py: Python<'_>, name: &CStr) -> PyResult<Self> {
        // SAFETY: the GIL is held. A new reference, or null with an exception set.
        let variable = unsafe {
            Bound::from_owned_ptr_or_err(py, PyContextVar_New(name.as_ptr(), ptr::null_mut()))
        };
        Ok(Variable(Handle::new(variable?.unbind())))
    }

    /// What it is in the current context, if it is set there.
    pub fn value<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let mut value = ptr::null_mut();
        // SAFETY: a variable, and the GIL is held. It writes a new reference, or null.
        unsafe {
            if PyContextVar_Get(self.0.get(py).as_ptr(), ptr::null_mut(), &mut value) != 0 {
                ffi::PyErr_Clear();
            }
            Bound::from_owned_ptr_or_opt(py, value)
        }
    }

    /// Sets it in the current context.
    pub fn set(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        // SAFETY: a variable and an object, and the GIL is held. A new reference, or null with an exception set.
        let token = unsafe {
            Bound::from_owned_ptr_or_err(
                py,
                PyContextVar_Set(self.0.get(py).as_ptr(), value.as_ptr()),
            )
        };
        token.map(drop)
    }

    /// The variable itself, for Python code.
    pub fn object<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.0.get(py)
    }
}
