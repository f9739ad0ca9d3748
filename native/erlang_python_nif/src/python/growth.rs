//! What objects weigh once Python code is done with them: those whose handles it was given, which may have
//! grown, and those that it has handed out, which it had itself until then.
//!
//! The weighing is `weight`'s, the accounts are the handles' (`object`). A process is collected by what its calls
//! have made grow (`object::ballast`); of what was sent to processes the ledger alone knows.

use crate::base::deadline;
use crate::python::interpreter::GilCell;
use crate::python::object::{Given, Watch};
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// When an object was weighed last.
#[derive(Default)]
pub struct Turns {
    asked: AtomicU32,
    at: AtomicU64,
}

/// How often it is asked, at most, until it is time.
const TURNS: u32 = 64;

impl Turns {
    /// Whether it is time to weigh an object again, of which a call has come to its end. To weigh it each time would
    /// show where calls are short. What has doubled is noticed, if it grows by calls of one kind, and what takes
    /// long: memory needs time to be filled.
    pub fn is_due(&self) -> bool {
        let now = deadline::now();
        // Only by who has the GIL: nothing is lost between the two.
        let asked = self.asked.load(Ordering::Relaxed).wrapping_add(1);
        self.asked.store(asked, Ordering::Relaxed);
        let due = self.at.load(Ordering::Relaxed) != now
            || asked.is_power_of_two()
            || asked.is_multiple_of(TURNS);
        if due {
            self.at.store(now, Ordering::Relaxed);
        }
        due
    }
}

/// Some handles. Most calls are given one, if any, which needs no memory of its own.
#[derive(Default)]
pub struct Handles<'a> {
    first: Option<Given<'a>>,
    more: Vec<Given<'a>>,
}

impl<'a> Handles<'a> {
    pub fn add(&mut self, handle: Given<'a>) {
        match self.first {
            None => self.first = Some(handle),
            Some(_) => self.more.push(handle),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Given<'a>> {
        self.first.iter().chain(&self.more)
    }
}

/// The handles that a request is about, or was given.
pub struct Touched<'a> {
    handles: RefCell<Handles<'a>>,
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
        self.handles.borrow_mut().add(handle);
    }

    pub fn extend(&self, handles: Handles<'a>) {
        if let Some(first) = handles.first {
            self.add(first);
            self.handles.borrow_mut().more.extend(handles.more);
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
        self.handles.borrow().first.is_some()
    }

    /// Weighs their objects, of which the request has no reference any more. By how many bytes they have grown.
    pub fn weigh(&self, py: Python<'_>) -> usize {
        let result = self.result.get();
        let mut grown = 0usize;
        for handle in self.handles.borrow().iter() {
            if !handle.is_due() {
                continue;
            }
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
        all.extend(look(py, looked));
        all.append(&mut watches);
        if all.len() > MOST {
            all = look(py, all);
            let most = all.len().saturating_sub(MOST / 2);
            all.drain(..most);
        }
        self.0.with(py, |kept| *kept = all);
    }

    /// Weighs what has been let go of by the end of it all.
    pub fn end(&self, py: Python<'_>) {
        look(py, self.0.with(py, std::mem::take));
    }
}

/// Weighs what nobody has any more but those who were given it. The others.
fn look(py: Python<'_>, watches: Vec<Arc<Watch>>) -> Vec<Arc<Watch>> {
    let mut left = Vec::new();
    for (at, watch) in watches.iter().enumerate() {
        // What is handed out more than once is so in a short time, as a rule.
        let near = &watches[at.saturating_sub(NEWEST)..watches.len().min(at + NEWEST)];
        let same = near.iter().filter(|other| watch.is_twin(other)).count();
        if !watch.look(py, same.saturating_sub(1)) {
            left.push(Arc::clone(watch));
        }
    }
    left
}
