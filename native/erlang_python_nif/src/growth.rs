//! What objects weigh once Python code is done with them: those whose handles it was given, which may have
//! grown, and those that it has handed out, which it had itself until then.
//!
//! The weighing is `weight`'s, the accounts are the handles' (`object`). A process is collected by what its calls
//! have made grow (`object::ballast`); of what was sent to processes the ledger alone knows.

use crate::interpreter::GilCell;
use crate::object::{Given, Watch};
use crate::request::Request;
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::Arc;

/// The handles that a request is about, or was given.
pub struct Touched<'a> {
    handles: RefCell<Vec<Given<'a>>>,
    /// What the answer has a new handle of.
    result: Cell<*const ffi::PyObject>,
}

impl Default for Touched<'_> {
    fn default() -> Self {
        Touched {
            handles: RefCell::default(),
            result: Cell::new(ptr::null()),
        }
    }
}

impl<'a> Touched<'a> {
    pub fn add(&self, handle: Given<'a>) {
        self.handles.borrow_mut().push(handle);
    }

    pub fn extend(&self, handles: &mut Vec<Given<'a>>) {
        if !handles.is_empty() {
            self.handles.borrow_mut().append(handles);
        }
    }

    /// For an iterator that may have them, and goes on.
    pub fn watches(&self) -> Vec<Arc<Watch>> {
        let handles = self.handles.borrow();
        handles
            .iter()
            .take(NEWEST)
            .filter_map(Given::watch)
            .collect()
    }

    pub fn result(&self, object: &Bound<'_, PyAny>) {
        self.result.set(object.as_ptr());
    }

    /// Whether there is anything to weigh.
    pub fn any(&self) -> bool {
        !self.handles.borrow().is_empty()
    }

    /// Weighs their objects, of which the request has no reference any more. By how many bytes they have grown.
    pub fn weigh(&self, py: Python<'_>) -> usize {
        let result = self.result.get();
        let mut grown = 0usize;
        for handle in self.handles.take() {
            let Some(object) = handle.object(py) else {
                continue;
            };
            // A method may return its object: a new handle has that, too.
            let others = usize::from(object.as_ptr().cast_const() == result);
            drop(object);
            grown = grown.saturating_add(handle.weigh(py, others));
        }
        grown
    }
}

/// What Python code has handed out and not let go of yet.
pub struct HandedOut(GilCell<Vec<Arc<Watch>>>);

/// What threads have that Python code has started: they are of no request.
static OF_THREADS: HandedOut = HandedOut::new();

/// `request`: whose code hands it out.
pub fn hand_out(py: Python<'_>, request: Option<&Arc<Request>>, watches: Vec<Arc<Watch>>) {
    match request {
        Some(request) => request.hand_out(py, watches),
        None => OF_THREADS.add(py, watches),
    }
}

/// How many there are at most. The oldest are forgotten.
const MOST: usize = 512;

/// How many are looked at each time: most code has let go of one when it hands out the next.
const NEWEST: usize = 8;

impl Default for HandedOut {
    fn default() -> Self {
        Self::new()
    }
}

impl HandedOut {
    pub const fn new() -> Self {
        HandedOut(GilCell::new(Vec::new()))
    }

    pub fn add(&self, py: Python<'_>, mut watches: Vec<Arc<Watch>>) {
        if watches.is_empty() {
            return;
        }
        // Nobody else has them meanwhile: nothing that runs Python code is done before they are back.
        let mut all = self.0.with(py, std::mem::take);
        let newest = all.len().saturating_sub(NEWEST);
        let looked = all.split_off(newest);
        all.extend(looked.into_iter().filter(|watch| !watch.look(py)));
        all.append(&mut watches);
        if all.len() > MOST {
            all.retain(|watch| !watch.look(py));
            let most = all.len().saturating_sub(MOST / 2);
            all.drain(..most);
        }
        self.0.with(py, |kept| *kept = all);
    }

    /// Weighs what has been let go of by the end of it all.
    pub fn end(&self, py: Python<'_>) {
        for watch in self.0.with(py, std::mem::take) {
            watch.look(py);
        }
    }
}
