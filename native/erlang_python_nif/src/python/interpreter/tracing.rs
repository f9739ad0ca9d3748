//! Keeps functions that users gave to `sys.settrace`, `sys.setprofile` or `sys.monitoring` out of code that is ours.

use super::{layouts, symbol};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{c_int, c_void};
use std::sync::OnceLock;

/// The beginning of `PyThreadState` from 3.8 to 3.10, where Python's headers show it to everybody.
#[repr(C)]
pub struct Shown {
    links: [*mut c_void; 3],
    /// What the thread is in. Borrowed, null outside of Python code.
    pub frame: *mut ffi::PyFrameObject,
    recursion_depth: c_int,
    recursion_room: c_int,
    checks: c_int,
    /// How many trace and profile functions it is in: while it is in one, none is called.
    tracing: c_int,
}

type Change = unsafe extern "C" fn(*mut ffi::PyThreadState);

enum Way {
    /// From 3.11 on.
    Call {
        enter: Change,
        leave: Change,
    },
    /// The field is not to be read: a function that traces sees our code.
    None,
    Field,
}

static WAY: OnceLock<Way> = OnceLock::new();

fn way() -> &'static Way {
    WAY.get_or_init(|| {
        // SAFETY: functions of this type where they exist.
        let found = unsafe {
            (
                symbol::<Change>(c"PyThreadState_EnterTracing"),
                symbol::<Change>(c"PyThreadState_LeaveTracing"),
            )
        };
        match found {
            (Some(enter), Some(leave)) => Way::Call { enter, leave },
            _ if !layouts::are_read() => Way::None,
            _ => Way::Field,
        }
    })
}

/// The current thread is not traced while this lives. It has to be dropped attached, on its thread.
pub struct Untraced(*mut ffi::PyThreadState);

impl Untraced {
    pub fn new(_py: Python<'_>) -> Self {
        // SAFETY: `_py` proves that the thread is attached, so the state is its own. Pythons without the
        // functions have the field.
        unsafe {
            let state = ffi::PyThreadState_Get();
            match way() {
                Way::Call { enter, .. } => enter(state),
                Way::None => {}
                Way::Field => (*state.cast::<Shown>()).tracing += 1,
            }
            Untraced(state)
        }
    }
}

impl Drop for Untraced {
    fn drop(&mut self) {
        // SAFETY: as in `new`; the state lives at least as long as the thread is in Python.
        unsafe {
            match way() {
                Way::Call { leave, .. } => leave(self.0),
                Way::None => {}
                Way::Field => (*self.0.cast::<Shown>()).tracing -= 1,
            }
        }
    }
}
