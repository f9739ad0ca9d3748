//! What a stream's requests do in Python: fill a chunk, close the iterator.

use crate::base::atoms;
use crate::base::term_env::SavedTerm;
use crate::engine::main::call::{Answer, Work};
use crate::engine::main::error::Error;
use crate::engine::main::items::Items;
use crate::pool::queue::ANY;
use crate::pool::stream::{self, Chunk, Consumer, Found, Limits, Phase, State, Stream, closed};
use crate::pool::watch;
use crate::python::child;
use crate::python::convert::{Decoder, Failure, Immediate, Step};
use crate::python::object;
use pyo3::ffi;
use pyo3::prelude::*;
use rustler::{Encoder, ResourceArc, Term};
use std::time::{Duration, Instant};

/// `{:iter, target, name, arguments, keywords}` and `{:iter_eval, source, variables}` with the
/// stream's limits: `{:ok, consumer}`.
pub fn open<'a>(
    work: &Work<'_, '_, '_, 'a>,
    object: &Bound<'_, PyAny>,
    mut limits: Limits,
) -> Result<Term<'a>, Error> {
    let within = work.isolated.is_within();
    if within {
        limits.prefetch = 0;
    }
    let iterator = work.helpers.iterate.bind(work.py).call1((object,))?;
    let items = Items::new(iterator.unbind(), work.isolated.keep(), within, ANY);
    Ok(made(work, items, limits))
}

/// `{:ok, consumer}` for an iterator.
pub fn made<'a>(work: &Work<'_, '_, '_, 'a>, items: Items, limits: Limits) -> Term<'a> {
    items.handed_out.add(work.py, work.touched.watches());
    let consumer = Consumer::new(work.request, Box::new(items), limits);
    work.leftovers.opened(&consumer);
    (atoms::ok(), ResourceArc::new(consumer)).encode(work.env)
}

/// `{:fill}`: fills a chunk. `{:ok, {:more | :done, items}}`, or `{:ok, {:failed, items, reason}}`
/// when the iterator raised after these items.
pub fn fill<'a>(
    work: &Work<'_, '_, '_, 'a>,
    stream: &Stream,
    items: &Items,
) -> Result<Answer<'a>, Error> {
    // SAFETY: the GIL is held.
    let iterator = items
        .iterator(work.py)
        .filter(|iterator| unsafe { ffi::PyIter_Check(iterator.as_ptr()) } != 0)
        .ok_or(Error::BadRequest("expected an iterator"))?;
    let filling = Filling::new(work.py, stream, items);
    let mut clock = filling.begin();
    loop {
        work.go_on()?;
        match filling.next(&iterator, &mut clock) {
            Filled::More => {}
            Filled::Answer(answer) => return Ok(answer),
            // To describe it may take long.
            Filled::Raised(error) => {
                work.go_on()?;
                return Ok(filling.failed(error.into()));
            }
        }
    }
}

/// What has come of asking for an item.
pub enum Filled<'a> {
    /// The chunk takes more.
    More,
    Answer(Answer<'a>),
    /// The iterator has raised this, see `Filling::failed`.
    Raised(PyErr),
}

/// How long a chunk is in the making. Reading the time costs a part of what a fast item does, so it
/// is read rarely as long as items are fast. Should they become slow all of a sudden, whoever waits for
/// them asks for what there is.
pub struct Clock {
    begun: Instant,
    /// How long it may be, once it has some items.
    limit: Duration,
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
            limit: Duration::ZERO,
            read: begun,
            passed: Duration::ZERO,
            left: 0,
        }
    }

    #[inline]
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

/// A chunk in the making.
pub struct Filling<'f, 'py> {
    py: Python<'py>,
    stream: &'f Stream,
    items: &'f Items,
}

impl<'f, 'py> Filling<'f, 'py> {
    pub fn new(py: Python<'py>, stream: &'f Stream, items: &'f Items) -> Self {
        Filling { py, stream, items }
    }

    /// A chunk begins.
    pub fn begin(&self) -> Clock {
        self.make(true)
    }

    /// The first item of a chunk that was prepared is asked for. Its time counts from here.
    pub fn begin_prepared(&self, clock: &mut Clock) {
        *clock = Clock {
            limit: clock.limit,
            ..Clock::new()
        };
        self.stream.lock().begun = Some(clock.begun);
    }

    /// A chunk is to begin.
    pub fn prepare(&self) -> Clock {
        self.make(false)
    }

    fn make(&self, begins: bool) -> Clock {
        let mut clock = Clock::new();
        let chunk = Chunk::default();
        let mut state = self.stream.lock();
        state.begun = begins.then_some(clock.begun);
        clock.limit = self.stream.limits.time_of_chunk(state.chunks);
        state.chunks = state.chunks.saturating_add(1);
        let before = state.filled.replace(chunk);
        state.wanted = false;
        drop(state);
        drop(before);
        clock
    }

    /// Asks an iterator for an item.
    pub fn next<'a>(&self, iterator: &Bound<'py, PyAny>, clock: &mut Clock) -> Filled<'a> {
        // SAFETY: an iterator (the caller has checked), and the GIL is held. A new reference, or null, with
        // an exception set if there was one.
        let next = unsafe {
            let next = ffi::PyIter_Next(iterator.as_ptr());
            Bound::from_owned_ptr_or_opt(self.py, next)
        };
        child::end_if_child(self.py);
        match next {
            Some(object) => self.put(object, clock, Some(iterator)),
            None => match PyErr::take(self.py) {
                Some(error) => Filled::Raised(error),
                None => Filled::Answer(self.ended()),
            },
        }
    }

    /// Takes an item. `iterator`: the caller's reference to it, if there is one.
    pub fn put<'a>(
        &self,
        object: Bound<'py, PyAny>,
        clock: &mut Clock,
        iterator: Option<&Bound<'py, PyAny>>,
    ) -> Filled<'a> {
        let finished = {
            let mut state = self.stream.lock();
            let added = self.add_simple(state.filled.get_or_insert_default(), &object);
            if !added {
                // Gone if the consumer has taken it: a new one begins.
                let mut chunk = state.filled.take().unwrap_or_default();
                drop(state);
                if let Err(failure) = self.add(&mut chunk, &object) {
                    let at = self.items.count();
                    let error = Error::decode(failure.inside(|| Step::Index(at)));
                    return Filled::Answer(self.failed_with(chunk, error));
                }
                state = self.stream.lock();
                state.filled = Some(chunk);
            }
            self.finished(&mut state, clock)
        };
        // Not under the lock: an item may have a `__del__` method of any length.
        drop(object);
        let Some(chunk) = finished else {
            return Filled::More;
        };
        let own = match iterator {
            // One more reference, and it would be taken for somebody else's.
            Some(_) => None,
            None => self.items.iterator(self.py),
        };
        if let Some(iterator) = iterator.or(own.as_ref()) {
            object::ballast(chunk.env.env(), self.items.weigh(iterator));
        }
        let (env, answer) = chunk.answer();
        Filled::Answer(Answer::Elsewhere(env, answer))
    }

    /// What there is of the chunk.
    fn rest(&self) -> Chunk {
        self.stream.lock().filled.take().unwrap_or_default()
    }

    /// Adds an item whose conversion runs no Python code. False if it is another one.
    fn add_simple(&self, chunk: &mut Chunk, object: &Bound<'py, PyAny>) -> bool {
        if self.stream.flags.return_object() {
            return false;
        }
        let immediate = Immediate::new(chunk.env.env(), self.stream.flags.erlang());
        let Some(term) = immediate.term(object).map(SavedTerm::save) else {
            return false;
        };
        self.push(chunk, term);
        true
    }

    fn add(&self, chunk: &mut Chunk, object: &Bound<'py, PyAny>) -> Result<(), Failure> {
        let mut decoder =
            Decoder::with_flags(self.py, chunk.env.env(), self.stream.flags).handing_out();
        let term = if self.stream.flags.return_object() {
            decoder.object(object)
        } else {
            decoder.value(object)?
        };
        let term = SavedTerm::save(term);
        let handed_out = decoder.handed_out();
        drop(decoder);
        self.items.handed_out.add(self.py, handed_out);
        self.push(chunk, term);
        Ok(())
    }

    fn push(&self, chunk: &mut Chunk, term: SavedTerm) {
        chunk.items.push(term);
        self.items.add();
    }

    /// The chunk, if it is to be handed over. The look at the clock is under the lock: a consumer that
    /// has asked for what there is (`flush`) and found nothing is told of this item.
    fn finished(&self, state: &mut State, clock: &mut Clock) -> Option<Chunk> {
        let items = state.filled.as_ref().map_or(0, |chunk| chunk.items.len());
        let finished = state.closing
            || state.wanted
            || self
                .stream
                .limits
                .are_reached(items, clock.limit, || clock.passed());
        if finished { state.filled.take() } else { None }
    }

    /// There are no more items.
    pub fn ended<'a>(&self) -> Answer<'a> {
        let chunk = self.rest();
        self.stream.lock().found = Found::End;
        self.items.end(self.py);
        let answer = {
            let env = chunk.env.env();
            SavedTerm::save((atoms::ok(), (atoms::done(), chunk.list(env))).encode(env))
        };
        Answer::Elsewhere(chunk.env, answer)
    }

    /// The iterator has failed. It is closed when the consumer has been told.
    pub fn failed<'a>(&self, error: Error) -> Answer<'a> {
        self.failed_with(self.rest(), error)
    }

    fn failed_with<'a>(&self, chunk: Chunk, error: Error) -> Answer<'a> {
        self.stream.lock().found = Found::Failure;
        let answer = {
            let env = chunk.env.env();
            let keep_locals = self.stream.pool.keeps_locals(self.stream.flags);
            let reason = error.into_term(self.py, env, keep_locals);
            let items = chunk.list(env);
            SavedTerm::save((atoms::ok(), (atoms::failed(), items, reason)).encode(env))
        };
        Answer::Elsewhere(chunk.env, answer)
    }
}

/// `{:close}`: closes the iterator; `{:ok, :closed}`.
pub fn close<'a>(
    work: &Work<'_, '_, '_, 'a>,
    stream: &Stream,
    items: &Items,
) -> Result<Answer<'a>, Error> {
    begin_to_close(stream);
    items.close_iterator(work.py);
    Ok(Answer::Here(closed(work.env)))
}

/// It is being closed, which has some time.
pub fn begin_to_close(stream: &Stream) {
    let request = {
        let mut state = stream.lock();
        state.phase = Phase::Closed;
        state.request.clone()
    };
    if let Some(request) = request {
        watch::give_up_later(&request, stream::CLEANUP);
    }
}
