//! The trace and the profile function of a thread, which do not outlive the call that has set them.
//!
//! `sys.settrace` and `sys.setprofile` are for the current thread, and calls share threads: what one has left
//! there, a debugger or a function that raises, would strike whatever runs there next. Python has no function
//! that asks cheaply, and each call would pay for it. So the two words of a thread's state that have the
//! functions are found once, and looked at. Where they are unknown, or not to be read (`layouts`), Python is asked.

use super::{layouts, probe, symbol};
use crate::python::current;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

type Function = unsafe extern "C" fn(
    *mut ffi::PyObject,
    *mut ffi::PyFrameObject,
    c_int,
    *mut ffi::PyObject,
) -> c_int;
type Set = unsafe extern "C" fn(Option<Function>, *mut ffi::PyObject);

/// How often it is removed what the removal has led to.
const MOST: usize = 8;

const UNKNOWN: usize = usize::MAX;

struct Kind {
    set: &'static CStr,
    get: &'static str,
    /// That function, of `sys`.
    ask: OnceLock<Py<PyAny>>,
    /// Where `threading` keeps the function for threads to come.
    hook: &'static str,
    /// The word.
    at: AtomicUsize,
}

static KINDS: [Kind; 2] = [
    Kind {
        set: c"PyEval_SetTrace",
        get: "gettrace",
        ask: OnceLock::new(),
        hook: "_trace_hook",
        at: AtomicUsize::new(UNKNOWN),
    },
    Kind {
        set: c"PyEval_SetProfile",
        get: "getprofile",
        ask: OnceLock::new(),
        hook: "_profile_hook",
        at: AtomicUsize::new(UNKNOWN),
    },
];

impl Kind {
    fn set(&self) -> Option<Set> {
        // SAFETY: a function of this type in every version.
        unsafe { symbol::<Set>(self.set) }
    }

    /// What is set in the current thread, whose state this is. Borrowed. Null if that is nothing, or cannot be known.
    fn current(&self, py: Python<'_>, state: *mut ffi::PyThreadState) -> *mut ffi::PyObject {
        match self.at.load(Ordering::Relaxed) {
            UNKNOWN => self.asked(py),
            // SAFETY: within the state, which is the current thread's: nobody changes it meanwhile.
            word => unsafe { *state.cast::<*mut ffi::PyObject>().add(word) },
        }
    }

    #[cold]
    fn asked(&self, py: Python<'_>) -> *mut ffi::PyObject {
        let set = self.ask.get().and_then(|ask| ask.bind(py).call0().ok());
        set.filter(|set| !set.is_none())
            // The thread's state has a reference as well.
            .map_or(ptr::null_mut(), |set| set.as_ptr())
    }

    /// Where the state of the current thread has it, which has none: none if that cannot be told.
    fn find(&self, py: Python<'_>) -> PyResult<Option<usize>> {
        let get = py.import("sys")?.getattr(self.get)?;
        let set_already = !get.call0()?.is_none();
        let _ = self.ask.set(get.unbind());
        let Some(set) = self.set() else {
            return Ok(None);
        };
        if set_already || !layouts::are_read() {
            return Ok(None);
        }
        let sign = PyList::empty(py);
        // SAFETY: the GIL is held. `ignore` can be called whenever the thread runs Python code; `set` takes a
        // reference of its own, and gives it up when it is called again. The pointers are only compared.
        let words = unsafe {
            set(Some(ignore), sign.as_ptr());
            let words = probe::state(py);
            set(None, ptr::null_mut());
            words
        };
        match PyErr::take(py) {
            Some(error) => Err(error),
            None => Ok(probe::only(&words, sign.as_ptr())),
        }
    }

    /// Whether it was set in all threads on purpose: `threading.settrace_all_threads`.
    fn is_for_all(&self, py: Python<'_>, function: *mut ffi::PyObject) -> bool {
        let hook = || {
            // Not by an import, which may run Python code, and that would be traced.
            let modules = current::helpers()?.modules.bind(py);
            let threading = modules.get_item("threading").ok()??;
            threading.getattr(self.hook).ok()
        };
        py.version_info() >= (3, 12) && hook().is_some_and(|hook| hook.as_ptr() == function)
    }

    fn remove(&self, py: Python<'_>) {
        if let Some(set) = self.set() {
            // SAFETY: the GIL is held.
            unsafe { set(None, ptr::null_mut()) };
        }
        // An audit hook may not allow it.
        if let Some(error) = PyErr::take(py) {
            error.write_unraisable(py, None);
        }
    }
}

unsafe extern "C" fn ignore(
    _function: *mut ffi::PyObject,
    _frame: *mut ffi::PyFrameObject,
    _what: c_int,
    _argument: *mut ffi::PyObject,
) -> c_int {
    0
}

/// Finds out where thread states have them. On a thread that runs nothing yet.
pub fn look(py: Python<'_>) {
    for kind in &KINDS {
        if kind.at.load(Ordering::Relaxed) == UNKNOWN
            && let Ok(Some(word)) = kind.find(py)
        {
            kind.at.store(word, Ordering::Relaxed);
        }
    }
}

/// Whether both are known.
pub fn are_known() -> bool {
    KINDS
        .iter()
        .all(|kind| kind.at.load(Ordering::Relaxed) != UNKNOWN)
}

/// What was set when a call began.
pub(super) struct Traced<'py> {
    py: Python<'py>,
    state: *mut ffi::PyThreadState,
    /// References, so that none of these can be another one later.
    before: [Option<Bound<'py, PyAny>>; 2],
}

impl<'py> Traced<'py> {
    /// `state`: the current thread's.
    pub fn now(py: Python<'py>, state: *mut ffi::PyThreadState) -> Self {
        let before = KINDS.each_ref().map(|kind| {
            // SAFETY: the GIL is held; null, or an object that the thread's state has a reference to.
            unsafe { Bound::from_borrowed_ptr_or_opt(py, kind.current(py, state)) }
        });
        Traced { py, state, before }
    }

    /// Removes what was set since then, and has not been removed.
    pub fn end(self) {
        // What is given up may set another one.
        for _ in 0..MOST {
            if !self.remove() {
                break;
            }
        }
    }

    /// Whether there was something to remove.
    fn remove(&self) -> bool {
        let mut removed = false;
        for (kind, before) in KINDS.iter().zip(&self.before) {
            let now = kind.current(self.py, self.state);
            let before = before.as_ref().map_or(ptr::null_mut(), Bound::as_ptr);
            if !now.is_null() && now != before && !kind.is_for_all(self.py, now) {
                kind.remove(self.py);
                removed = true;
            }
        }
        removed
    }
}
