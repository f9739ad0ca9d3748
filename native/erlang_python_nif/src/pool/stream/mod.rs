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
mod requests;
mod state;

pub use consumer::{Demanded, Flushed, closed};
pub use requests::settle;
pub use state::{Chunk, Found, Phase, State, Waiter};

use crate::base::clock;
use crate::base::flags::Flags;
use crate::base::lock::{Mutex, MutexGuard};
use crate::base::term_env::OwnedTerm;
use crate::pool::Pool;
use crate::pool::queue::ANY;
use crate::pool::request::Request;
use rustler::{LocalPid, Resource};
use state::Left;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// How long the `finally` blocks of a generator may take before they are interrupted.
pub const CLEANUP: Duration = Duration::from_secs(10);

pub struct Stream {
    pub source: Box<dyn Source>,
    pub pool: Arc<Pool>,
    pub flags: Flags,
    consumer: Option<LocalPid>,
    leader: OwnedTerm,
    pub limits: Limits,
    state: Mutex<State>,
}

/// What the items of a stream come from, as its engine knows it.
pub trait Source: Any + Send + Sync {
    /// What there is of the chunk is wanted, and nothing of it is here.
    fn flush(&self) {}

    /// Gives it up, soon. Never waits.
    fn release(&self);

    /// Closes it, on a thread of the engine's: there is no worker left that could.
    fn close(&self);

    /// The id of the worker that alone can fill it.
    fn worker(&self) -> u64 {
        ANY
    }
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
    /// For what a request has asked for.
    pub fn new(request: &Request, source: Box<dyn Source>, limits: Limits) -> Self {
        Consumer(Arc::new(Stream {
            source,
            pool: Arc::clone(&request.pool),
            flags: request.flags,
            consumer: request.caller(),
            leader: request.leader(),
            limits,
            state: Mutex::default(),
        }))
    }

    /// For `resources::register`: nobody reads from it.
    pub fn spare(request: &Request) -> Self {
        let limits = Limits {
            max_items: 0,
            max_wait: Duration::ZERO,
            prefetch: 0,
        };
        Self::new(request, Box::new(Nothing), limits)
    }
}

struct Nothing;

impl Source for Nothing {
    fn release(&self) {}

    fn close(&self) {}
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // Closing may have to wake a worker, which a destructor should not.
        if !self.0.is_closed() {
            self.0.close_soon();
        }
    }
}

impl Stream {
    /// Closes it where nothing else is going on.
    fn close_soon(self: &Arc<Self>) {
        let stream = Arc::clone(self);
        clock::soon(move |sender, _| {
            stream.close(None, &|_| false, sender);
        });
    }

    /// The stream that a request is of.
    pub fn of(request: &Request) -> Option<&Stream> {
        (&**request.receiver()? as &dyn Any).downcast_ref()
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        // Held for a few moves, never while Python or a conversion runs.
        self.state.lock()
    }

    fn is_closed(&self) -> bool {
        self.lock().phase == Phase::Closed
    }

    /// The process that asks for its items.
    pub fn consumer(&self) -> Option<LocalPid> {
        self.consumer
    }

    /// See `State::abandon`.
    fn abandon(&self) -> Left {
        self.lock().abandon()
    }
}
