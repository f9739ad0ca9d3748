//! The exceptions that a thread is handling, set aside as a whole and put back.
//!
//! Python keeps them as a stack, an item for the thread and one for each generator or coroutine that runs, and
//! gives functions for the topmost item alone: `sys.exc_info()` in a generator also finds what its caller
//! handles. Where the thread's state says which item is on top is looked up when Python has started: it is the
//! word that points into the state itself outside of generators, and into the generator within one. Where there
//! is not exactly one such word, or it is not to be read (`layouts`), only the topmost exception is set aside.

use super::layouts;
use crate::base::lock::Mutex;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyModule, PyTuple};
use std::ops::Range;
use std::ptr;
use std::sync::Arc;

/// How many words of a thread's state are looked at. Each version has more, and the one in question among them.
const WORDS: usize = 32;

/// Within this many bytes of its begin the state has its own item.
const STATE: usize = 1024;

/// Where a thread's state points to the topmost item.
#[derive(Clone, Copy)]
pub struct Top(usize);

/// An item of that stack, without an exception or one below. Up to Python 3.10 it is class, exception, traceback
/// and what is below, since then exception and what is below.
#[repr(C)]
struct Item([usize; 4]);

fn state() -> *mut usize {
    // SAFETY: the callers hold the GIL.
    unsafe { ffi::PyThreadState_Get() }.cast()
}

fn words() -> [usize; WORDS] {
    let mut words = [0; WORDS];
    // SAFETY: the state of the current thread, of which that many words are only read, by this thread.
    unsafe { ptr::copy_nonoverlapping(state(), words.as_mut_ptr(), WORDS) };
    words
}

impl Top {
    /// None in a Python that has it in another way, and if it is not to be read. On a thread that is in no generator.
    pub fn find(isolation: &Bound<'_, PyModule>) -> PyResult<Option<Self>> {
        if !layouts::are_read() {
            return Ok(None);
        }
        let py = isolation.py();
        let outside = words();
        let inside = Arc::new(Mutex::new(Vec::new()));
        let found = Arc::clone(&inside);
        let look = PyCFunction::new_closure(
            py,
            None,
            None,
            move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| -> PyResult<()> {
                let generator = arguments.get_item(0)?;
                let size: usize = generator.get_type().getattr("__basicsize__")?.extract()?;
                let begin = generator.as_ptr() as usize;
                *found.lock() = changed(&outside, &words(), begin..begin + size);
                Ok(())
            },
        )?;
        isolation.call_method1("within_a_generator", (look,))?;
        let found = inside.lock();
        Ok(match found[..] {
            [word] => Some(Top(word)),
            _ => None,
        })
    }
}

/// The words that pointed into the state and now point into a generator.
fn changed(
    outside: &[usize; WORDS],
    inside: &[usize; WORDS],
    generator: Range<usize>,
) -> Vec<usize> {
    let begin = state() as usize;
    let state = begin..begin + STATE;
    (0..WORDS)
        .filter(|&word| state.contains(&outside[word]) && generator.contains(&inside[word]))
        .collect()
}

/// What the current thread was handling, while it handles nothing.
pub struct Aside {
    top: Top,
    below: usize,
    item: Box<Item>,
}

impl Aside {
    pub fn set(_py: Python<'_>, top: Top) -> Self {
        let mut item = Box::new(Item([0; 4]));
        // SAFETY: the GIL is held, and this is the word of the current thread's own state which says where its
        // topmost item is (`Top::find`). The new one lives, where it is, until `take_back`.
        let below = unsafe { ptr::replace(state().add(top.0), &raw mut *item as usize) };
        Aside { top, below, item }
    }

    pub fn take_back(self, _py: Python<'_>) {
        // SAFETY: as above, on the same thread: what it has run meanwhile is over, and so are the generators
        // that had items on top of this one.
        unsafe { *state().add(self.top.0) = self.below };
        // It is not used from here on.
        drop(self.item);
    }
}
