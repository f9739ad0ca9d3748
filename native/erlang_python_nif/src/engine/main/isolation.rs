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

use crate::engine::main::items;
use crate::engine::main::kept;
use crate::engine::main::own::Main;
use crate::pool::request::Request;
use crate::python::contextvars::{Base, Kept, leave};
use crate::python::current;
use crate::python::helpers::Helpers;
use crate::python::interpreter::handled::Aside;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ptr;
use std::sync::Arc;

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
        let Some(helpers) = current::helpers() else {
            return Self::here(py);
        };
        let outer = (nesting == Nesting::Nested).then(|| Outer::set_aside(py, helpers));
        let within = nesting == Nesting::Within;
        // A `Python.Context` is in its own as long as it lives, and a body in that of its `with`. But what
        // a stream has set that was opened elsewhere is in its own.
        let items = items::of(request);
        let own = match items {
            Some(items) => !(within && items.is_within()),
            None => !within,
        };
        let surroundings = kept::surroundings(request);
        let own = own && (!request.pool.pinned || surroundings.is_some());
        let context = own.then(|| {
            if let Some(kept) = items.and_then(|items| items.context()) {
                return kept.enter(py);
            }
            if let Some(surroundings) = surroundings {
                return surroundings.enter(py);
            }
            let base = Main::of(&request.pool).and_then(|main| main.base.get());
            base.unwrap_or(&helpers.base).enter(py)
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

    /// Surroundings that are there already.
    pub fn here(py: Python<'py>) -> Self {
        Isolated {
            py,
            context: None,
            outer: None,
            within: false,
        }
    }

    pub fn py(&self) -> Python<'py> {
        self.py
    }

    /// The context that the work is done in, for a stream that it opens. None in a `Python.Context`.
    pub fn keep(&self) -> Option<Kept> {
        if let Some(context) = &self.context {
            return Some(Kept::of(context.clone()));
        }
        // Should what was opened in a body be read after that: the body's is no longer to be had by then, or
        // is on another thread.
        if !self.within {
            return None;
        }
        Kept::of_current(self.py).ok()
    }

    /// A copy of what the current thread has, for a stream that is opened there.
    pub fn keep_current(&self) -> Option<Kept> {
        Kept::of_current(self.py).ok()
    }

    /// Whether it is a part of the body of a `with`.
    pub fn is_within(&self) -> bool {
        self.within
    }

    pub fn leave(self, request: &Arc<Request>) {
        keep_base(self.py, request);
        self.restore();
    }

    /// Puts back what was there before.
    pub fn restore(self) {
        if let Some(context) = self.context {
            leave(&context);
        }
        if let Some(outer) = self.outer {
            outer.take_back(self.py);
        }
    }
}

/// After the `:init` of a pool: what it has set is what calls begin with.
pub fn keep_base(py: Python<'_>, request: &Request) {
    if request.flags.init()
        && !request.pool.pinned
        && let Some(main) = Main::of(&request.pool)
        && let Some(helpers) = current::helpers()
        && let Ok(base) = Base::of_current(py, helpers.renewal.bind(py))
    {
        let _ = main.base.set(base);
    }
}

/// Gives the thread of a `Python.Context` the context that it is in from now on.
pub fn settle(py: Python<'_>) {
    if let Some(helpers) = current::helpers() {
        // For want of memory it starts with an empty one.
        let _ = helpers.base.enter(py);
    }
}

/// Takes an event loop away from the thread that the request has left there.
pub fn leave_loop(py: Python<'_>) {
    if let Some(helpers) = current::helpers()
        && let Err(error) = helpers.leave_loop.bind(py).call0()
    {
        error.write_unraisable(py, None);
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
