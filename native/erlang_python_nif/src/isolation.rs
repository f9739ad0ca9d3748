//! What calls that run on the same thread do not see of each other.
//!
//! Context variables (`contextvars`, and with them `decimal.localcontext`, `numpy.errstate` and much
//! else) are a thread's, and a pool's calls share its threads: so each call gets a fresh copy of the
//! pool's base, what the interpreter had when it had started and what the pool's `:init` has set. A
//! stream has a context for all its chunks, which may be made on different threads. A
//! `Python.Context` is its thread, and keeps what its calls set, as a script would.
//!
//! A call that the thread runs while it waits for a callback of another one starts clean of what that one
//! was in the middle of: the exception that it handles, its event loop and its task.

use crate::interpreter::handled::Aside;
use crate::interpreter::python::{self, Helpers};
use crate::object::Handle;
use crate::request::Request;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::c_int;
use std::ptr;
use std::sync::Arc;

unsafe extern "C" {
    // In no limited API, but exported by every supported libpython, with these types since 3.7.1.
    fn PyContext_Copy(context: *mut ffi::PyObject) -> *mut ffi::PyObject;
    fn PyContext_CopyCurrent() -> *mut ffi::PyObject;
    fn PyContext_Enter(context: *mut ffi::PyObject) -> c_int;
    fn PyContext_Exit(context: *mut ffi::PyObject) -> c_int;
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
        // SAFETY: the GIL is held. A new reference, or null with an exception set.
        let context = unsafe { Bound::from_owned_ptr_or_err(py, PyContext_CopyCurrent())? };
        let renew = renewal.call1((&context,))?;
        Ok(Base {
            context: Handle::new(context.unbind()),
            renew: (!renew.is_none()).then(|| Handle::new(renew.unbind())),
        })
    }

    /// A fresh copy, entered.
    fn enter<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
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

fn copy<'py>(context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a context, and the GIL is held. A new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(context.py(), PyContext_Copy(context.as_ptr())) }
}

fn enter(context: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: a context, and the GIL is held.
    match unsafe { PyContext_Enter(context.as_ptr()) } {
        0 => Ok(()),
        _ => Err(PyErr::fetch(context.py())),
    }
}

fn leave(context: &Bound<'_, PyAny>) {
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
    /// Does something in it.
    pub fn within<R>(&self, py: Python<'_>, work: impl FnOnce() -> R) -> R {
        let entered = self.enter(py);
        let done = work();
        if let Ok(context) = entered {
            leave(&context);
        }
        done
    }

    fn enter<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
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

/// How a request stands to what its thread is in the middle of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Nesting {
    /// In the middle of nothing.
    Outermost,
    /// It runs while another one waits.
    Nested,
    /// It is a part of the body of a `with`, which that one waits for.
    Within,
}

/// A request's own surroundings, while its work is done.
pub struct Isolated<'py> {
    py: Python<'py>,
    context: Option<Bound<'py, PyAny>>,
    outer: Option<Outer<'py>>,
    within: bool,
}

impl<'py> Isolated<'py> {
    pub fn enter(py: Python<'py>, request: &Arc<Request>, nesting: Nesting) -> Self {
        let Some(helpers) = python::helpers() else {
            return Isolated {
                py,
                context: None,
                outer: None,
                within: false,
            };
        };
        let outer = (nesting == Nesting::Nested).then(|| Outer::set_aside(py, helpers));
        let within = nesting == Nesting::Within;
        // A `Python.Context` is in its own as long as it lives, and a body in that of its `with`. But what
        // a stream has set that was opened elsewhere is in its own.
        let own = match request.stream() {
            Some(stream) => !(within && stream.is_within()),
            None => !within,
        };
        let own = own && request.pool.namespace.is_none();
        let context = own.then(|| {
            if let Some(kept) = request.stream().and_then(|stream| stream.context()) {
                return kept.enter(py);
            }
            let base = request.pool.base.get().unwrap_or(&helpers.base);
            base.enter(py)
        });
        // It fails for want of memory only, which the call will notice for itself.
        let context = context.and_then(Result::ok);
        Isolated {
            py,
            context,
            outer,
            within,
        }
    }

    pub fn py(&self) -> Python<'py> {
        self.py
    }

    /// The context that the work is done in, for a stream that it opens. None in a `Python.Context`.
    pub fn keep(&self) -> Option<Kept> {
        if let Some(context) = &self.context {
            return Some(Kept(Handle::new(context.clone().unbind())));
        }
        // Should what was opened in a body be read after that: the body's is no longer to be had by then, or
        // is on another thread.
        if !self.within {
            return None;
        }
        // SAFETY: the GIL is held. A new reference, or null with an exception set.
        let copy = unsafe { Bound::from_owned_ptr_or_err(self.py, PyContext_CopyCurrent()) };
        Some(Kept(Handle::new(copy.ok()?.unbind())))
    }

    /// Whether it is a part of the body of a `with`.
    pub fn is_within(&self) -> bool {
        self.within
    }

    pub fn leave(self, request: &Arc<Request>) {
        if request.flags.init()
            && request.pool.namespace.is_none()
            && let Some(helpers) = python::helpers()
            && let Ok(base) = Base::of_current(self.py, helpers.renewal.bind(self.py))
        {
            let _ = request.pool.base.set(base);
        }
        if let Some(context) = self.context {
            leave(&context);
        }
        if let Some(outer) = self.outer {
            outer.take_back(self.py);
        }
    }
}

/// Gives the thread of a `Python.Context` the context that it is in from now on.
pub fn settle(py: Python<'_>) {
    if let Some(helpers) = python::helpers() {
        // For want of memory it starts with an empty one.
        let _ = helpers.base.enter(py);
    }
}

/// The exceptions that the outer request handles.
enum Handled {
    Nothing,
    All(Aside),
    /// The topmost, as class, exception and traceback: all that Python's own functions give.
    Topmost([*mut ffi::PyObject; 3]),
}

/// What the outer request was in the middle of.
struct Outer<'py> {
    handled: Handled,
    /// Its event loop, task and hooks.
    running: Option<(&'static Helpers, Bound<'py, PyAny>)>,
}

impl<'py> Outer<'py> {
    fn set_aside(py: Python<'py>, helpers: &'static Helpers) -> Self {
        let handled = match helpers.top {
            Some(top) => Handled::All(Aside::set(py, top)),
            None => set_exception_aside(py).map_or(Handled::Nothing, Handled::Topmost),
        };
        let asyncio = helpers.modules.bind(py).contains("asyncio");
        let running = match asyncio {
            Ok(true) => helpers.set_aside.bind(py).call0().ok(),
            _ => None,
        };
        Outer {
            handled,
            running: running
                .filter(|running| !running.is_none())
                .map(|running| (helpers, running)),
        }
    }

    fn take_back(self, py: Python<'_>) {
        if let Some((helpers, running)) = self.running
            && let Ok(running) = running.cast_into::<pyo3::types::PyTuple>()
            && let Err(error) = helpers.take_back.bind(py).call1(running)
        {
            error.write_unraisable(py, None);
        }
        match self.handled {
            Handled::Nothing => {}
            Handled::All(aside) => aside.take_back(py),
            // SAFETY: the GIL is held; it takes the three references.
            Handled::Topmost([class, value, traceback]) => unsafe {
                ffi::PyErr_SetExcInfo(class, value, traceback);
            },
        }
    }
}

/// Three references of ours, or none if nothing is being handled.
fn set_exception_aside(_py: Python<'_>) -> Option<[*mut ffi::PyObject; 3]> {
    let current = || {
        let mut found = [ptr::null_mut(); 3];
        let [class, value, traceback] = &mut found;
        // SAFETY: the GIL is held; it writes new references, or null.
        unsafe { ffi::PyErr_GetExcInfo(class, value, traceback) };
        found
    };
    let drop = |found: [*mut ffi::PyObject; 3]| {
        for object in found {
            // SAFETY: the GIL is held, and the reference is ours, or null.
            unsafe { ffi::Py_XDECREF(object) };
        }
    };
    let handled = current();
    // SAFETY: the GIL is held; only compared.
    let none = unsafe { ffi::Py_None() };
    if handled[1].is_null() || handled[1] == none {
        drop(handled);
        return None;
    }
    // SAFETY: the GIL is held; null means that nothing is being handled.
    unsafe { ffi::PyErr_SetExcInfo(ptr::null_mut(), ptr::null_mut(), ptr::null_mut()) };
    // In a generator it may be that of its caller, which is out of reach, and comes back by itself.
    let left = current();
    let same = left[1] == handled[1];
    drop(left);
    if same {
        drop(handled);
        return None;
    }
    Some(handled)
}
