//! The trace and the profile function of a thread, which do not outlive the call that has set them.
//!
//! `sys.settrace` and `sys.setprofile` are for the current thread, and calls share threads: what one has left
//! there, a debugger or a function that raises, would strike whatever runs there next. Python has no function
//! that asks cheaply, and each call would pay for it. So the two words of a thread's state that have the
//! functions are found once, and looked at. Where they are unknown, or not to be read (`layouts`), Python is asked.

use super::{layouts, probe, symbol};
use crate::python::current;
use crate::python::handle::Handle;
use crate::python::interpreter::GilCell;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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
    put: &'static str,
    /// Those functions, of `sys`.
    ask: OnceLock<Py<PyAny>>,
    tell: OnceLock<Py<PyAny>>,
    /// Where `threading` keeps the function for threads to come.
    hook: &'static str,
    /// The word.
    at: AtomicUsize,
}

static KINDS: [Kind; 2] = [
    Kind {
        set: c"PyEval_SetTrace",
        get: "gettrace",
        put: "settrace",
        ask: OnceLock::new(),
        tell: OnceLock::new(),
        hook: "_trace_hook",
        at: AtomicUsize::new(UNKNOWN),
    },
    Kind {
        set: c"PyEval_SetProfile",
        get: "getprofile",
        put: "setprofile",
        ask: OnceLock::new(),
        tell: OnceLock::new(),
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
        let sys = py.import("sys")?;
        let _ = self.tell.set(sys.getattr(self.put)?.unbind());
        let get = sys.getattr(self.get)?;
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
pub struct Traced<'py> {
    py: Python<'py>,
    state: *mut ffi::PyThreadState,
    /// References, so that none of these can be another one later.
    before: [Option<Bound<'py, PyAny>>; 2],
}

/// What a call has set that goes on later, while others run on its thread.
#[derive(Default)]
pub struct Tracers {
    /// Without the references, a quick look.
    any: AtomicBool,
    kept: GilCell<[Option<Handle>; 2]>,
}

impl Tracers {
    fn keep<'py>(&self, py: Python<'py>, functions: [Option<Bound<'py, PyAny>>; 2]) {
        // A profiler in C cannot be set again.
        let again = |function: &Bound<'py, PyAny>| function.is_callable();
        let new = functions.map(|function| Some(Handle::new(function.filter(again)?.unbind())));
        let any = new.iter().any(Option::is_some);
        self.any.store(any, Ordering::Relaxed);
        let before = self.kept.with(py, |kept| std::mem::replace(kept, new));
        drop(before);
    }
}

impl<'py> Traced<'py> {
    /// What is set now, before what was kept is set again.
    pub fn resume(py: Python<'py>, state: *mut ffi::PyThreadState, kept: Option<&Tracers>) -> Self {
        let traced = Traced::now(py, state);
        if let Some(kept) = kept.filter(|kept| kept.any.load(Ordering::Relaxed)) {
            let functions = kept.kept.with(py, |kept| {
                kept.each_ref()
                    .map(|kept| kept.as_ref().map(|kept| kept.get(py)))
            });
            for (kind, function) in KINDS.iter().zip(functions) {
                if let (Some(function), Some(tell)) = (function, kind.tell.get())
                    && let Err(error) = tell.bind(py).call1((function,))
                {
                    // An audit hook may not allow it.
                    error.write_unraisable(py, None);
                }
            }
        }
        traced
    }

    /// Removes what was set since then, and keeps it. `kept`: what was kept before; `make`: where it is to be.
    pub fn suspend<'k>(self, kept: Option<&Tracers>, make: impl FnOnce() -> Option<&'k Tracers>) {
        let own = KINDS.each_ref().map(|kind| self.own(kind));
        let any = own.iter().any(|own| !own.is_null());
        if any || kept.is_some_and(|kept| kept.any.load(Ordering::Relaxed)) {
            if let Some(tracers) = make() {
                // SAFETY: the GIL is held; null, or an object that the thread's state has a reference to.
                let own = own.map(|own| unsafe { Bound::from_borrowed_ptr_or_opt(self.py, own) });
                tracers.keep(self.py, own);
            }
            self.end();
        }
    }

    /// What was set since then, and is still. Null if that is nothing.
    fn own(&self, kind: &Kind) -> *mut ffi::PyObject {
        let now = kind.current(self.py, self.state);
        let before = KINDS.iter().zip(&self.before);
        let before = before.filter(|(other, _)| ptr::eq(*other, kind));
        let before = before.filter_map(|(_, before)| before.as_ref());
        let known = before.map(Bound::as_ptr).any(|before| before == now);
        if now.is_null() || known || kind.is_for_all(self.py, now) {
            return ptr::null_mut();
        }
        now
    }

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
        for kind in &KINDS {
            if !self.own(kind).is_null() {
                kind.remove(self.py);
                removed = true;
            }
        }
        removed
    }
}
