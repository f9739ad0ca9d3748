//! How a thread follows its coroutines and asynchronous generators: `sys.set_asyncgen_hooks` and
//! `sys.set_coroutine_origin_tracking_depth`.
//!
//! An event loop sets both while it runs, and an interrupt may strike when it is about to put them back. As with trace
//! functions (`traced`), the words of a thread's state that have them are found once, and looked at; where they are
//! unknown, or not to be read (`layouts`), Python is asked.

use super::{layouts, probe};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::c_int;
use std::ptr;
use std::sync::OnceLock;

/// How often it is put back what the putting back has led to.
const MOST: usize = 8;

/// A depth that nobody else sets.
const SIGN: c_int = 0x0E71_A6B3;

/// The functions of `sys`, as they were at the start.
struct Functions {
    get_hooks: Py<PyAny>,
    set_hooks: Py<PyAny>,
    get_depth: Py<PyAny>,
    set_depth: Py<PyAny>,
}

/// Where a thread's state has them.
struct Places {
    /// In words: what is called with the first item of a generator, and with one that is left.
    hooks: [usize; 2],
    /// In halves of words.
    depth: usize,
}

static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
static PLACES: OnceLock<Places> = OnceLock::new();

impl Functions {
    fn of_sys(py: Python<'_>) -> PyResult<Self> {
        let sys = py.import("sys")?;
        let get = |name: &str| sys.getattr(name).map(Bound::unbind);
        Ok(Functions {
            get_hooks: get("get_asyncgen_hooks")?,
            set_hooks: get("set_asyncgen_hooks")?,
            get_depth: get("get_coroutine_origin_tracking_depth")?,
            set_depth: get("set_coroutine_origin_tracking_depth")?,
        })
    }

    fn ask<'py>(&self, py: Python<'py>) -> PyResult<Followed<'py>> {
        let hooks = self.get_hooks.bind(py).call0()?;
        let hook = |at: usize| {
            hooks
                .get_item(at)
                .map(|hook| (!hook.is_none()).then_some(hook))
        };
        Ok(Followed {
            hooks: [hook(0)?, hook(1)?],
            depth: self.get_depth.bind(py).call0()?.extract()?,
        })
    }

    fn set(&self, py: Python<'_>, followed: &Followed<'_>) -> PyResult<()> {
        let [first, last] = &followed.hooks;
        self.set_hooks.bind(py).call1((first, last))?;
        self.set_depth.bind(py).call1((followed.depth,))?;
        Ok(())
    }
}

impl Places {
    /// Where the state of the current thread has them, in which nothing is set. None if that cannot be told.
    fn find(py: Python<'_>, functions: &Functions) -> PyResult<Option<Self>> {
        let before = functions.ask(py)?;
        if !layouts::are_read() || before.hooks.iter().any(Option::is_some) || before.depth != 0 {
            return Ok(None);
        }
        let signs = [functions.get_hooks.bind(py), functions.set_hooks.bind(py)];
        functions.set(
            py,
            &Followed {
                hooks: signs.map(|sign| Some(sign.clone())),
                depth: SIGN,
            },
        )?;
        // SAFETY: pointers that are only compared, and numbers.
        let (words, halves) = unsafe {
            (
                probe::state::<*mut ffi::PyObject>(py),
                probe::state::<c_int>(py),
            )
        };
        functions.set(py, &before)?;
        let [first, last] = signs.map(|sign| probe::only(&words, sign.as_ptr()));
        let depth = probe::only(&halves, SIGN);
        Ok(match (first, last, depth) {
            (Some(first), Some(last), Some(depth)) => Some(Places {
                hooks: [first, last],
                depth,
            }),
            _ => None,
        })
    }
}

/// Finds out where thread states have them. On a thread that runs nothing yet.
pub(super) fn look(py: Python<'_>) {
    if PLACES.get().is_some() {
        return;
    }
    if FUNCTIONS.get().is_none()
        && let Ok(functions) = Functions::of_sys(py)
    {
        let _ = FUNCTIONS.set(functions);
    }
    if let Some(functions) = FUNCTIONS.get()
        && let Ok(Some(places)) = Places::find(py, functions)
    {
        let _ = PLACES.set(places);
    }
}

/// Whether that is known.
pub fn are_known() -> bool {
    PLACES.get().is_some()
}

/// How a thread follows them.
pub(super) struct Followed<'py> {
    hooks: [Option<Bound<'py, PyAny>>; 2],
    depth: c_int,
}

impl<'py> Followed<'py> {
    /// What is set in the current thread, whose state this is. None if that cannot be known.
    pub fn now(py: Python<'py>, state: *mut ffi::PyThreadState) -> Option<Self> {
        let Some(places) = PLACES.get() else {
            return FUNCTIONS.get()?.ask(py).ok();
        };
        // SAFETY: within the state, which is the current thread's: nobody changes it meanwhile. Null, or an object
        // that the state has a reference to.
        unsafe {
            let words = state.cast::<*mut ffi::PyObject>();
            let hook = |word: usize| Bound::from_borrowed_ptr_or_opt(py, *words.add(word));
            Some(Followed {
                hooks: places.hooks.map(hook),
                depth: *state.cast::<c_int>().add(places.depth),
            })
        }
    }

    fn is(&self, other: &Self) -> bool {
        let pointer =
            |hook: &Option<Bound<'_, PyAny>>| hook.as_ref().map_or(ptr::null_mut(), Bound::as_ptr);
        self.depth == other.depth
            && self.hooks.each_ref().map(pointer) == other.hooks.each_ref().map(pointer)
    }

    /// Sets it again.
    pub fn put_back(&self, py: Python<'py>, state: *mut ffi::PyThreadState) {
        // What is given up may set others.
        for _ in 0..MOST {
            let Some(now) = Self::now(py, state) else {
                return;
            };
            if now.is(self) {
                return;
            }
            // An audit hook may not allow it.
            if let Some(functions) = FUNCTIONS.get()
                && let Err(error) = functions.set(py, self)
            {
                error.write_unraisable(py, None);
            }
        }
    }
}
