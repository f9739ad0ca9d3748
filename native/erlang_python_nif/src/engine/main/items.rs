//! What a stream's items come from: an iterator.

use crate::base::ledger::Account;
use crate::base::lock::Mutex;
use crate::pool::request::Request;
use crate::pool::stream::{Source, Stream};
use crate::python::contextvars::Kept;
use crate::python::current;
use crate::python::growth::{HandedOut, Turns};
use crate::python::handle::Handle;
use crate::python::object;
use crate::python::weight;
use pyo3::prelude::*;
use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};

pub struct Items {
    /// Given up when it has come to its end or has been closed, as `for` does it: what it holds (a
    /// file, a connection) need not wait for the BEAM's garbage collector. Held to copy or take it.
    iterator: Mutex<Option<Handle>>,
    /// What that keeps alive.
    account: Account,
    turns: Turns,
    /// What the iterator may have as well: items, and what it was made of.
    pub handed_out: HandedOut,
    /// The context variables of all its chunks.
    context: Option<Kept>,
    /// It was opened in the body of a `with`: nothing is made ahead, on another thread.
    within: bool,
    /// The worker that alone can ask for them, or `ANY`.
    worker: u64,
    /// How many there have been.
    count: AtomicUsize,
}

/// What the request is for items of. None if it is none of a stream.
pub fn of(request: &Request) -> Option<&Items> {
    let stream = Stream::of(request)?;
    (&*stream.source as &dyn Any).downcast_ref()
}

impl Items {
    pub fn new(iterator: Py<PyAny>, context: Option<Kept>, within: bool, worker: u64) -> Self {
        Items {
            iterator: Mutex::new(Some(Handle::new(iterator))),
            account: Account::default(),
            turns: Turns::default(),
            handed_out: HandedOut::new(),
            context,
            within,
            worker,
            count: AtomicUsize::new(0),
        }
    }

    pub fn iterator<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let iterator = self.iterator.lock();
        iterator.as_ref().map(|handle| handle.get(py))
    }

    pub fn context(&self) -> Option<&Kept> {
        self.context.as_ref()
    }

    pub fn is_within(&self) -> bool {
        self.within
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// One more. Nobody else counts at the same time.
    pub fn add(&self) {
        self.count.store(self.count() + 1, Ordering::Relaxed);
    }

    /// By how many bytes the iterator has grown since it was weighed last.
    pub fn weigh(&self, iterator: &Bound<'_, PyAny>) -> usize {
        if !self.turns.is_due() {
            return 0;
        }
        // The stream's reference, and the caller's.
        let found = weight::of(iterator, 2);
        found.map_or(0, |found| object::enter(&self.account, &found))
    }

    /// There are no more.
    pub fn end(&self, py: Python<'_>) {
        let handle = self.take();
        if let Some(handle) = handle {
            handle.give_up(py);
            self.handed_out.end(py);
        }
    }

    /// Ends the iterator early, as it is done with a generator.
    pub fn close_iterator(&self, py: Python<'_>) {
        let Some(handle) = self.take() else {
            return;
        };
        let iterator = handle.get(py);
        let closed =
            current::helpers().map(|helpers| helpers.close_iterator.bind(py).call1((&iterator,)));
        if let Some(Err(error)) = closed {
            // Nobody waits for it any more: as Python does in such cases.
            error.write_unraisable(py, Some(&iterator));
        }
        drop(iterator);
        handle.give_up(py);
        self.handed_out.end(py);
    }

    fn take(&self) -> Option<Handle> {
        let iterator = self.iterator.lock().take();
        self.account.close();
        iterator
    }
}

impl Source for Items {
    fn worker(&self) -> u64 {
        self.worker
    }

    fn release(&self) {
        // On the reaper's thread. That closes a generator, too.
        drop(self.take());
    }

    fn close(&self) {
        Python::attach(|py| match &self.context {
            Some(context) => context.within(py, || self.close_iterator(py)),
            None => self.close_iterator(py),
        });
    }
}
