//! Who the current thread is: a worker of which pool, if it is one at work.

use crate::base::term_env::{SavedTerm, Sender};
use crate::engine::main::awaiting::EventLoop;
use crate::engine::main::runner::{self, Runner};
use crate::pool::request::{Place, Request};
use crate::pool::{Pool, Worker};
use pyo3::Python;
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

/// The worker that the current thread is.
#[derive(Clone)]
pub struct Running {
    pub pool: Arc<Pool>,
    pub worker: Arc<Worker>,
    pub runner: Arc<Runner>,
    pub place: Arc<Place>,
    pub sender: Sender,
    pub event_loop: Option<Arc<dyn EventLoop>>,
}

thread_local! {
    static SEAT: Cell<Option<NonNull<Seat<'static>>>> = const { Cell::new(None) };
}

/// None on a thread that Python started, and where no worker is at work.
pub fn running() -> Option<Running> {
    // SAFETY: `Seat::enter` vouches for the seat as long as it is to be found here.
    let seat = unsafe { SEAT.get()?.as_ref() };
    Some(Running {
        pool: Arc::clone(seat.pool),
        worker: Arc::clone(seat.worker),
        runner: Arc::clone(seat.runner),
        place: Arc::clone(seat.place),
        sender: seat.sender,
        event_loop: seat.event_loop.clone(),
    })
}

/// Whether the current thread runs an event loop of ours, which nothing is to hold up.
pub fn is_loop() -> bool {
    // SAFETY: as in `running`.
    SEAT.get()
        .is_some_and(|seat| unsafe { seat.as_ref() }.event_loop.is_some())
}

/// Whether an interrupt is aimed at what the current thread runs. A quick look: threads that know nothing of
/// us come here as well.
pub fn is_aimed_at() -> bool {
    // SAFETY: as in `running`.
    let seat = || SEAT.get().map(|seat| unsafe { seat.as_ref() });
    runner::is_any_aimed_at() && seat().is_some_and(|seat| seat.runner.is_aimed_at())
}

/// As whom the current thread sends. None where no worker is at work.
pub fn sender() -> Option<Sender> {
    // SAFETY: as in `running`.
    SEAT.get().map(|seat| unsafe { seat.as_ref() }.sender)
}

/// The home of what the current thread makes. None where no worker is at work.
pub fn home() -> Option<SavedTerm> {
    // SAFETY: as in `running`.
    let seat = unsafe { SEAT.get()?.as_ref() };
    Some(seat.pool.home)
}

/// The same, of those who are at work this moment.
pub struct Seat<'r> {
    pub pool: &'r Arc<Pool>,
    pub worker: &'r Arc<Worker>,
    pub runner: &'r Arc<Runner>,
    /// What others find the two by.
    pub place: &'r Arc<Place>,
    pub sender: Sender,
    /// The event loop that it runs, whose requests run beside each other.
    pub event_loop: Option<Arc<dyn EventLoop>>,
}

impl Seat<'_> {
    /// Says who the current thread is, for as long as the result lives.
    pub fn enter(&self) -> Entered<'_> {
        SEAT.set(Some(NonNull::from(self).cast()));
        Entered(PhantomData)
    }
}

/// It borrows the seat, and stays on its thread.
pub struct Entered<'s>(PhantomData<(&'s (), *const ())>);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        SEAT.set(None);
    }
}

impl Running {
    /// The request whose code the thread is in.
    pub fn request(&self, py: Python<'_>) -> Option<Arc<Request>> {
        self.runner.innermost(py)
    }
}
