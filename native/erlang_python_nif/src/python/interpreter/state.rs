//! The part of a thread's state by which interrupts are aimed.

use super::layouts;
use pyo3::ffi;
use pyo3::prelude::*;
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

/// Where it is. None if it is nowhere, or not to be read: see `count_entry`.
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

    /// How often the thread has come in by `PyGILState_Ensure` or the like, and not left. None if that is unknown.
    pub fn entries(self, _py: Python<'_>) -> Option<c_int> {
        self.fields().map(|fields| {
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

    /// The exception that is about to strike the thread, or null. None if that is unknown.
    pub fn pending(self, _py: Python<'_>) -> Option<*mut ffi::PyObject> {
        self.fields().map(|fields| {
            // SAFETY: as in `fields`; exceptions are set and taken with the GIL.
            unsafe { (&raw const (*fields).async_exc).read_volatile() }
        })
    }
}

/// Whether thread states do not tell who has come in.
pub fn are_entries_unknown() -> bool {
    matches!(FIELDS.get(), Some(None))
}

/// Finds out where thread states have what is looked at. When the interpreter has started.
pub fn find_fields(py: Python<'_>) {
    let _ = FIELDS.set(if layouts::are_read() { find(py) } else { None });
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
