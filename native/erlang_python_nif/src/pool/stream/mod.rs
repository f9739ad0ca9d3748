//! Iterators, pulled in chunks by a consumer.
//!
//! The consumer demands a chunk (`demand`); a request fills it on the stream's pool (`fill`) and
//! then lets the worker go, so a stream that nobody reads from holds none. While the consumer is
//! busy with one chunk the next are made ready, up to `prefetch`, and wait here: nothing reaches the
//! consumer's mailbox that it has not asked for. The first one is begun as soon as the stream is open.
//!
//! A chunk ends at `max_items`, or `max_wait` after it was begun, the first ones earlier. A generator that yields a few
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

/// The same once their pool is closed.
pub const LAST_CLEANUP: Duration = Duration::from_millis(500);

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

/// The first chunk, once it has `FEW` items, takes a part of `max_wait`, 1 divided by 2 to this power, each later one
/// four times as long as the one before: a consumer that takes a few items and leaves does not wait for thousands.
const FIRST: u32 = 8;
const FEW: usize = 16;

impl Limits {
    /// How long a chunk of `FEW` items may be in the making. `before`: how many chunks there were before it.
    pub fn time_of_chunk(&self, before: u32) -> Duration {
        self.max_wait / (1 << FIRST.saturating_sub(before.saturating_mul(2)))
    }

    /// Whether a chunk is complete. `time`: that of the chunk, see `time_of_chunk`.
    pub fn are_reached(
        &self,
        items: usize,
        time: Duration,
        passed: impl FnOnce() -> Duration,
    ) -> bool {
        if items >= self.max_items {
            return true;
        }
        let limit = if items < FEW { self.max_wait } else { time };
        passed() >= limit
    }
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

    pub fn is_closed(&self) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_take_longer_and_longer_up_to_the_limit() {
        let limits = |max_wait| Limits {
            max_items: 1,
            max_wait: Duration::from_millis(max_wait),
            prefetch: 0,
        };
        let times =
            |max_wait| [0, 1, 2, 3, 4, 5, u32::MAX].map(|n| limits(max_wait).time_of_chunk(n));
        let micros = [4, 16, 64, 256, 1_024, 1_024, 1_024].map(Duration::from_micros);
        assert_eq!(times(1_024), micros.map(|time| time * 1_000));
        assert_eq!(times(0), [Duration::ZERO; 7]);
    }

    #[test]
    fn a_chunk_of_a_few_items_is_complete_when_max_wait_has_passed() {
        let limits = Limits {
            max_items: 100,
            max_wait: Duration::from_millis(10),
            prefetch: 0,
        };
        let time = limits.time_of_chunk(0);
        let reached = |items, passed| limits.are_reached(items, time, || passed);
        assert!(!reached(FEW - 1, time));
        assert!(reached(FEW - 1, limits.max_wait));
        assert!(!reached(FEW, time / 2));
        assert!(reached(FEW, time));
        assert!(reached(100, Duration::ZERO));
    }
}
