//! What a stream's requests do in Python: fill a chunk, close the iterator.

use super::Stream;
use super::consumer::closed;
use super::state::{Chunk, Found, Phase, State};
use crate::atoms;
use crate::call::{Answer, Error, Work};
use crate::convert::{Decoder, Failure, Step};
use crate::fork;
use crate::object::{self, Handle};
use crate::term_env::SavedTerm;
use crate::watchdog;
use crate::weight;
use pyo3::ffi;
use pyo3::prelude::*;
use rustler::{Encoder, Env};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a generator may take to its next `yield` before it is interrupted to be closed.
pub const PATIENCE: Duration = Duration::from_millis(100);

/// How long its `finally` blocks may take before they are interrupted.
const CLEANUP: Duration = Duration::from_secs(10);

/// `{:fill}`: fills a chunk. `{:ok, {:more | :done, items}}`, or `{:ok, {:failed, items, reason}}`
/// when the iterator raised after these items.
pub fn fill<'a>(work: &Work<'_, '_, '_, 'a>, stream: &Stream) -> Result<Answer<'a>, Error> {
    let iterator = stream.iterator().as_ref().map(|handle| handle.get(work.py));
    // SAFETY: the GIL is held.
    let iterator = iterator
        .filter(|iterator| unsafe { ffi::PyIter_Check(iterator.as_ptr()) } != 0)
        .ok_or(Error::BadRequest("only an iterator has a next item"))?;
    let mut clock = Clock::new();
    {
        let chunk = Chunk::default();
        let mut state = stream.lock();
        state.begun = Some(clock.begun);
        let before = state.filled.replace(chunk);
        state.wanted = false;
        drop(state);
        drop(before);
    }
    loop {
        work.go_on()?;
        // SAFETY: an iterator (just checked), and the GIL is held. A new reference, or null, with
        // an exception set if there was one.
        let next = unsafe {
            let next = ffi::PyIter_Next(iterator.as_ptr());
            Bound::from_owned_ptr_or_opt(work.py, next)
        };
        fork::end_if_child(work.py);
        let finished = {
            let mut state = stream.lock();
            let added = next.as_ref().is_some_and(|object| {
                stream.add_simple(work.py, state.filled.get_or_insert_default(), object)
            });
            if !added {
                // Gone if the consumer has taken it: a new one begins.
                let mut chunk = state.filled.take().unwrap_or_default();
                drop(state);
                let object = match &next {
                    Some(object) => object,
                    None => match PyErr::take(work.py) {
                        Some(error) => {
                            // To describe it may take long.
                            work.go_on()?;
                            return Ok(stream.failed(work.py, chunk, error.into()));
                        }
                        None => return Ok(stream.ended(work.py, chunk)),
                    },
                };
                if let Err(failure) = stream.add(work.py, &mut chunk, object) {
                    let at = stream.count.load(Ordering::Relaxed);
                    let error = Error::decode(failure.inside(|| Step::Index(at)));
                    return Ok(stream.failed(work.py, chunk, error));
                }
                state = stream.lock();
                state.filled = Some(chunk);
            }
            stream.finished(&mut state, &mut clock)
        };
        // Not under the lock: an item may have a `__del__` method of any length.
        drop(next);
        if let Some(chunk) = finished {
            object::ballast(chunk.env.env(), stream.weigh(&iterator));
            let (env, answer) = chunk.answer();
            return Ok(Answer::Elsewhere(env, answer));
        }
    }
}

/// How long a chunk is in the making. Reading the time costs a part of what a fast item does, so it
/// is read rarely as long as items are fast. Should they become slow all of a sudden, whoever waits for
/// them asks for what there is.
struct Clock {
    begun: Instant,
    read: Instant,
    passed: Duration,
    /// How many items may go by until it is read again.
    left: u32,
}

/// So many items that took no longer than this are fast.
const ITEMS: u32 = 16;
const FAST: Duration = Duration::from_micros(50);

impl Clock {
    fn new() -> Self {
        let begun = Instant::now();
        Clock {
            begun,
            read: begun,
            passed: Duration::ZERO,
            left: 0,
        }
    }

    fn passed(&mut self) -> Duration {
        if self.left > 0 {
            self.left -= 1;
            return self.passed;
        }
        let now = Instant::now();
        if now - self.read < FAST {
            self.left = ITEMS;
        }
        self.read = now;
        self.passed = now - self.begun;
        self.passed
    }
}

impl Stream {
    /// Adds an item whose conversion runs no Python code. False if it is another one.
    fn add_simple(&self, py: Python<'_>, chunk: &mut Chunk, object: &Bound<'_, PyAny>) -> bool {
        if self.flags.return_object() {
            return false;
        }
        let decoder = Decoder::with_flags(py, chunk.env.env(), self.flags);
        let Some(term) = decoder.simple(object).map(SavedTerm::save) else {
            return false;
        };
        drop(decoder);
        self.push(chunk, term);
        true
    }

    fn add<'py>(
        &self,
        py: Python<'py>,
        chunk: &mut Chunk,
        object: &Bound<'py, PyAny>,
    ) -> Result<(), Failure> {
        let mut decoder = Decoder::with_flags(py, chunk.env.env(), self.flags).handing_out();
        let term = if self.flags.return_object() {
            decoder.object(object)
        } else {
            decoder.value(object)?
        };
        let term = SavedTerm::save(term);
        let handed_out = decoder.handed_out();
        drop(decoder);
        self.handed_out.add(py, handed_out);
        self.push(chunk, term);
        Ok(())
    }

    /// By how many bytes the iterator has grown since it was weighed last.
    fn weigh(&self, iterator: &Bound<'_, PyAny>) -> usize {
        if !self.turns.is_due() {
            return 0;
        }
        // The stream's reference, and the caller's.
        let found = weight::of(iterator, 2);
        found.map_or(0, |found| object::enter(&self.account, &found))
    }

    fn push(&self, chunk: &mut Chunk, term: SavedTerm) {
        chunk.items.push(term);
        // Nobody else counts at the same time.
        let count = self.count.load(Ordering::Relaxed);
        self.count.store(count + 1, Ordering::Relaxed);
    }

    /// The chunk, if it is to be handed over. The look at the clock is under the lock: a consumer that
    /// has asked for what there is (`flush`) and found nothing is told of this item.
    fn finished(&self, state: &mut State, clock: &mut Clock) -> Option<Chunk> {
        let items = state.filled.as_ref().map_or(0, |chunk| chunk.items.len());
        let finished = state.closing
            || state.wanted
            || items >= self.limits.max_items
            || clock.passed() >= self.limits.max_wait;
        if finished { state.filled.take() } else { None }
    }
}

impl Stream {
    fn ended<'a>(&self, py: Python<'_>, chunk: Chunk) -> Answer<'a> {
        self.lock().found = Found::End;
        let handle = self.take_iterator();
        if let Some(handle) = handle {
            give_up(handle, py);
            self.handed_out.end(py);
        }
        let answer = {
            let env = chunk.env.env();
            SavedTerm::save((atoms::ok(), (atoms::done(), chunk.list(env))).encode(env))
        };
        Answer::Elsewhere(chunk.env, answer)
    }

    /// The iterator is closed when the consumer has been told.
    fn failed<'a>(&self, py: Python<'_>, chunk: Chunk, error: Error) -> Answer<'a> {
        self.lock().found = Found::Failure;
        let answer = {
            let env = chunk.env.env();
            let reason = error.into_term(py, env, self.flags.keep_locals(&self.pool));
            let items = chunk.list(env);
            SavedTerm::save((atoms::ok(), (atoms::failed(), items, reason)).encode(env))
        };
        Answer::Elsewhere(chunk.env, answer)
    }

    /// `{:close}`: closes the iterator; `{:ok, :closed}`.
    pub fn finish<'a>(&self, py: Python<'_>, env: Env<'a>) -> Answer<'a> {
        let request = {
            let mut state = self.lock();
            state.phase = Phase::Closed;
            state.request.clone()
        };
        if let Some(request) = request {
            watchdog::give_up_later(&request, CLEANUP);
        }
        self.close_iterator(py);
        Answer::Here(closed(env))
    }

    pub(super) fn close_iterator(&self, py: Python<'_>) {
        let Some(handle) = self.take_iterator() else {
            return;
        };
        let iterator = handle.get(py);
        let closed = crate::interpreter::python::helpers()
            .map(|helpers| helpers.close_iterator.bind(py).call1((&iterator,)));
        if let Some(Err(error)) = closed {
            // Nobody waits for it any more: as Python does in such cases.
            error.write_unraisable(py, Some(&iterator));
        }
        give_up(handle, py);
        self.handed_out.end(py);
    }
}

/// Gives up a handle's reference at once, on this thread. Otherwise the reaper does.
fn give_up(handle: Handle, py: Python<'_>) {
    let object = handle.get(py).unbind();
    std::mem::forget(handle);
    // SAFETY: the GIL is held, and the handle's own reference is nobody's any more. `object` has
    // another one.
    unsafe { ffi::Py_DecRef(object.as_ptr()) };
    drop(object.into_bound(py));
}
