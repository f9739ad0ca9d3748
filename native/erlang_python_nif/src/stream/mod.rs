//! Iterators, pulled in chunks by a consumer.
//!
//! The consumer demands a chunk (`demand`); a request fills it on the stream's pool (`fill`) and
//! then lets the worker go, so a stream that nobody reads from holds none. While the consumer is
//! busy with one chunk the next are made ready, up to `prefetch`, and wait here: nothing reaches the
//! consumer's mailbox that it has not asked for.
//!
//! A chunk ends at `max_items`, or `max_wait` after it was begun. A generator that yields a few
//! items quickly and then takes its time would keep those back until its next one: so the consumer,
//! when it has waited for `max_wait`, takes what is there (`flush`).

mod consumer;
mod fill;
mod requests;
mod state;

pub use consumer::{Demanded, Flushed};
pub use fill::fill;
pub use state::Waiter;

use crate::atoms;
use crate::call::{Error, Work};
use crate::growth::{HandedOut, Turns};
use crate::isolation::Kept;
use crate::ledger::Account;
use crate::lock::{Mutex, MutexGuard};
use crate::object::Handle;
use crate::pool::Pool;
use crate::request::{Flags, Request};
use crate::term_env::OwnedTerm;
use crate::watchdog;
use pyo3::prelude::*;
use rustler::{Encoder, LocalPid, Resource, ResourceArc, Term};
use state::{Left, Phase, State};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

pub struct Stream {
    /// Given up when it has come to its end or has been closed, as `for` does it: what it holds (a
    /// file, a connection) need not wait for the BEAM's garbage collector.
    iterator: Mutex<Option<Handle>>,
    /// What that keeps alive.
    account: Account,
    turns: Turns,
    pool: Arc<Pool>,
    /// The context variables of all its chunks.
    context: Option<Kept>,
    /// It was opened in the body of a `with`: nothing is made ahead, on another thread.
    within: bool,
    flags: Flags,
    consumer: Option<LocalPid>,
    leader: OwnedTerm,
    limits: Limits,
    /// What the iterator may have as well: items, and what it was made of.
    handed_out: HandedOut,
    /// How many items it has given.
    count: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
pub struct Limits {
    pub max_items: usize,
    pub max_wait: Duration,
    pub prefetch: usize,
}

/// The consumer's hold on its stream. Nobody else has it: when it goes, the stream is closed.
pub struct Consumer(pub Arc<Stream>);

impl Resource for Consumer {}

impl Consumer {
    /// For `resources::register`: nobody reads from it.
    pub fn spare(request: &Arc<Request>) -> Self {
        Consumer(Arc::new(Stream {
            iterator: Mutex::new(None),
            account: Account::default(),
            turns: Turns::default(),
            handed_out: HandedOut::new(),
            pool: Arc::clone(&request.pool),
            context: None,
            within: false,
            flags: request.flags,
            consumer: None,
            leader: request.leader(),
            limits: Limits {
                max_items: 0,
                max_wait: Duration::ZERO,
                prefetch: 0,
            },
            count: AtomicUsize::new(0),
            state: Mutex::default(),
        }))
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // Closing may have to wake a worker, which a destructor should not.
        if !self.0.is_closed() {
            watchdog::close(Arc::clone(&self.0));
        }
    }
}

/// `{:iter, target, name, arguments, keywords}` and `{:iter_eval, source, variables}` with the
/// stream's limits: `{:ok, consumer}`.
pub fn open<'a>(
    work: &Work<'_, '_, '_, 'a>,
    object: &Bound<'_, PyAny>,
    mut limits: Limits,
) -> Result<Term<'a>, Error> {
    if work.isolated.is_within() {
        limits.prefetch = 0;
    }
    let iterator = work.helpers.iterate.bind(work.py).call1((object,))?;
    let stream = Stream {
        iterator: Mutex::new(Some(Handle::new(iterator.unbind()))),
        account: Account::default(),
        turns: Turns::default(),
        handed_out: HandedOut::new(),
        pool: Arc::clone(&work.request.pool),
        context: work.isolated.keep(),
        within: work.isolated.is_within(),
        flags: work.request.flags,
        consumer: work.request.caller(),
        leader: work.request.leader(),
        limits,
        count: AtomicUsize::new(0),
        state: Mutex::default(),
    };
    stream.handed_out.add(work.py, work.touched.watches());
    let consumer = ResourceArc::new(Consumer(Arc::new(stream)));
    Ok((atoms::ok(), consumer).encode(work.env))
}

impl Stream {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Held for a few moves, never while Python or a conversion runs.
        self.state.lock()
    }

    /// The process that opened it.
    pub fn consumer(&self) -> Option<LocalPid> {
        self.consumer
    }

    pub fn is_within(&self) -> bool {
        self.within
    }

    pub fn context(&self) -> Option<&Kept> {
        self.context.as_ref()
    }

    /// The group leader of that process.
    pub fn leader(&self) -> OwnedTerm {
        self.leader.clone()
    }

    fn is_closed(&self) -> bool {
        self.lock().phase == Phase::Closed
    }

    /// See `State::abandon`.
    fn abandon(&self) -> Left {
        self.lock().abandon()
    }

    fn take_iterator(&self) -> Option<Handle> {
        let iterator = self.iterator().take();
        self.account.close();
        iterator
    }

    fn iterator(&self) -> MutexGuard<'_, Option<Handle>> {
        // Held to copy or take it.
        self.iterator.lock()
    }

    /// Gives the iterator up, soon, on the reaper's thread. That closes a generator, too.
    fn release(&self) {
        drop(self.take_iterator());
    }
}
