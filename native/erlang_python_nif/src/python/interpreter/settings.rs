//! What functions of `sys` set in a thread, and what does not outlive the call that has set it: calls share threads.

use super::coroutines::{self, Followed};
use super::traced::{self, Traced};
use pyo3::ffi;
use pyo3::prelude::*;

/// What was set when a call began.
pub struct Settings<'py> {
    py: Python<'py>,
    state: *mut ffi::PyThreadState,
    traced: Traced<'py>,
    followed: Option<Followed<'py>>,
}

impl<'py> Settings<'py> {
    /// `state`: the current thread's.
    pub(super) fn now(py: Python<'py>, state: *mut ffi::PyThreadState) -> Self {
        Settings {
            py,
            state,
            traced: Traced::now(py, state),
            followed: Followed::now(py, state),
        }
    }

    /// Removes what was set since then, and is still set.
    pub fn end(self) {
        // First, so that none of the rest is traced.
        self.traced.end();
        if let Some(followed) = self.followed {
            followed.put_back(self.py, self.state);
        }
    }
}

/// Finds out where thread states have it. On a thread that runs nothing yet.
pub(super) fn look(py: Python<'_>) {
    traced::look(py);
    coroutines::look(py);
}
