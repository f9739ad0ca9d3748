//! The beginning of a thread's state, in which it is looked for what was just set there: that is how the places are found
//! of what Python has no cheap function for.

use pyo3::ffi;
use pyo3::prelude::*;

/// How many words are looked at. Each version has more.
const WORDS: usize = 32;

/// What the current thread's has, in parts of this type.
///
/// # Safety
///
/// All bits are a value of this type, and a word has a whole number of them.
pub unsafe fn state<T: Copy>(_py: Python<'_>) -> Vec<T> {
    // SAFETY: the GIL is held. A state has more words than these; nobody else changes it.
    unsafe {
        let state = ffi::PyThreadState_Get().cast::<T>();
        let count = WORDS * size_of::<usize>() / size_of::<T>();
        (0..count).map(|at| state.add(at).read_volatile()).collect()
    }
}

/// Where it is, if it is there once.
pub fn only<T: PartialEq + Copy>(all: &[T], wanted: T) -> Option<usize> {
    let mut found = (0..all.len()).filter(|at| all[*at] == wanted);
    found.next().filter(|_| found.next().is_none())
}
