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

use crate::atoms;
use crate::call::{Answer, Error, Work};
use crate::convert::{Decoder, Step};
use crate::object::Handle;
use crate::pool::{Pool, Start, Submitted};
use crate::request::{Flags, Progress, Request};
use crate::term_env::{OwnedTerm, SavedTerm, Sender, TermEnv};
use crate::watchdog;
use pyo3::ffi;
use pyo3::prelude::*;
use rustler::{Encoder, Env, LocalPid, Resource, ResourceArc, Term};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a generator may take to its next `yield` before it is interrupted to be closed.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long its `finally` blocks may take before they are interrupted.
const CLEANUP: Duration = Duration::from_secs(10);

pub struct Stream {
    /// Given up when it has come to its end or has been closed, as `for` does it: what it holds (a
    /// file, a connection) need not wait for the BEAM's garbage collector.
    iterator: Mutex<Option<Handle>>,
    pool: Arc<Pool>,
    flags: Flags,
    consumer: Option<LocalPid>,
    leader: OwnedTerm,
    limits: Limits,
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

#[derive(Default)]
struct State {
    phase: Phase,
    /// What the request that fills a chunk has found out. It counts when that is delivered: until
    /// then the consumer is to wait.
    found: Found,
    /// It failed: no further item is asked for.
    over: bool,
    /// Its consumer waits no more: no further item is asked for.
    given_up: bool,
    /// Its worker or its pool was ended while it was being filled, and answered for it. A worker whose
    /// process has ended can neither send anything nor wake anybody.
    orphaned: bool,
    /// It is to be closed as soon as the request that fills it is over.
    closing: bool,
    /// Since when the chunk is being filled.
    begun: Option<Instant>,
    /// What has been filled in so far.
    filled: Option<Chunk>,
    ready: VecDeque<(TermEnv, SavedTerm)>,
    /// Who waits for the next chunk, or for the end.
    waiter: Option<Waiter>,
    request: Option<Arc<Request>>,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Phase {
    #[default]
    Idle,
    /// A request is filling a chunk, or waits to.
    Filling,
    /// The iterator came to its end and is gone; only ready chunks are left.
    Ended,
    Closed,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Found {
    #[default]
    More,
    /// The iterator has come to its end.
    End,
    /// The iterator has failed.
    Failure,
}

/// Items in an environment of their own.
#[derive(Default)]
struct Chunk {
    env: TermEnv,
    items: Vec<SavedTerm>,
}

/// A demand that has not been met: who, and the reference that the answer is to bear.
pub struct Waiter {
    pid: LocalPid,
    env: TermEnv,
    reference: SavedTerm,
}

/// The consumer's hold on its stream. Nobody else has it: when it goes, the stream is closed.
pub struct Consumer(pub Arc<Stream>);

impl Resource for Consumer {}

impl Consumer {
    /// For `resources::register`: nobody reads from it.
    pub fn spare(request: &Arc<Request>) -> Self {
        Consumer(Arc::new(Stream {
            iterator: Mutex::new(None),
            pool: Arc::clone(&request.pool),
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
    limits: Limits,
) -> Result<Term<'a>, Error> {
    let iterator = work.helpers.iterate.bind(work.py).call1((object,))?;
    let stream = Stream {
        iterator: Mutex::new(Some(Handle::new(iterator.unbind()))),
        pool: Arc::clone(&work.request.pool),
        flags: work.request.flags,
        consumer: work.request.caller(),
        leader: work.request.leader(),
        limits,
        count: AtomicUsize::new(0),
        state: Mutex::default(),
    };
    let consumer = ResourceArc::new(Consumer(Arc::new(stream)));
    Ok((atoms::ok(), consumer).encode(work.env))
}

impl Stream {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Held for a few moves, never while Python or a conversion runs.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process that opened it.
    pub fn consumer(&self) -> Option<LocalPid> {
        self.consumer
    }

    /// The group leader of that process.
    pub fn leader(&self) -> OwnedTerm {
        self.leader.clone()
    }

    fn is_closed(&self) -> bool {
        self.lock().phase == Phase::Closed
    }

    fn iterator(&self) -> MutexGuard<'_, Option<Handle>> {
        // Held to copy or take it.
        self.iterator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the iterator up, soon, on the reaper's thread. That closes a generator, too.
    fn release(&self) {
        let iterator = self.iterator().take();
        drop(iterator);
    }
}

/// What a consumer is told at once.
pub enum Demanded {
    /// The chunk is in its mailbox, or will be.
    Coming,
    /// There are no more.
    Ended,
    Refused(Submitted),
}

/// What came of asking for an unfinished chunk.
pub enum Flushed {
    /// It is in the mailbox.
    Sent,
    /// The chunk has not been filled for `max_wait` yet.
    Early,
    /// There is no item yet. The next one will be sent as soon as it is made.
    Empty,
}

/// For the consumer's process.
impl Stream {
    pub fn demand(self: &Arc<Self>, env: Env<'_>, reference: Term<'_>) -> Demanded {
        let sender = Sender::scheduler(env);
        let mut state = self.lock();
        if let Some((mut chunk, answer)) = state.ready.pop_front() {
            drop(state);
            chunk.send(sender, &env.pid(), |chunk| {
                (reference.in_env(chunk), answer.load(chunk)).encode(chunk)
            });
            self.prefetch(sender);
            return Demanded::Coming;
        }
        match state.phase {
            _ if state.is_over() => Demanded::Ended,
            Phase::Ended | Phase::Closed => Demanded::Ended,
            Phase::Filling => {
                state.waiter = Some(Waiter::new(env, reference));
                Demanded::Coming
            }
            Phase::Idle => {
                state.waiter = Some(Waiter::new(env, reference));
                match self.submit(state, Task::Fill, sender) {
                    Ok(()) => Demanded::Coming,
                    Err((refused, _waiter)) => Demanded::Refused(refused),
                }
            }
        }
    }

    /// Sends what there is of a chunk that is long in the making.
    pub fn flush(&self, sender: Sender) -> Flushed {
        let mut state = self.lock();
        if state.waiter.is_none() {
            return Flushed::Sent;
        }
        match state.begun {
            Some(begun) if begun.elapsed() >= self.limits.max_wait => {}
            _ => return Flushed::Early,
        }
        let Some(chunk) = state.take_filled() else {
            return Flushed::Empty;
        };
        let waiter = state.waiter.take();
        drop(state);
        if let Some(waiter) = waiter {
            let (mut env, answer) = chunk.answer();
            waiter.send(sender, &mut env, |env| answer.load(env));
        }
        Flushed::Sent
    }

    /// Gives up the chunk that is waited for. As `Request::cancel`; the place is told to the one
    /// who waits.
    pub fn cancel(self: &Arc<Self>) -> Progress {
        let request = {
            let mut state = self.lock();
            if state.waiter.is_none() {
                // It has been sent. The request that there may be is the next one's.
                return Progress::Answered;
            }
            // Now, or a request that ends this moment is followed by another.
            state.given_up = true;
            state.request.clone()
        };
        let progress = request.map_or(Progress::Answered, |request| request.cancel(true));
        match progress {
            Progress::Queued => self.lock().abandon(),
            Progress::Running => {}
            Progress::Answered => self.lock().given_up = false,
        }
        progress
    }

    /// The one who waits does so no more. False if something is in its mailbox, or about to be.
    pub fn stop_listening(&self) -> bool {
        self.lock().waiter.take().is_some()
    }

    /// Closes the iterator, or sees to it that it is closed. True if it is already; otherwise
    /// `{reference, {:ok, :closed}}` is sent to `waiter` when it has been. Without one, whoever waits
    /// already is told.
    pub fn close(self: &Arc<Self>, waiter: Option<Waiter>, sender: Sender) -> bool {
        let asked = waiter.is_some();
        let mut state = self.lock();
        if asked {
            state.waiter = waiter;
        }
        state.ready.clear();
        if state.phase == Phase::Closed || state.phase == Phase::Ended {
            return self.closed(state, asked, sender);
        }
        if state.closing {
            return false;
        }
        state.closing = true;
        if let Some(request) = state.request.clone() {
            drop(state);
            // In the queue it only is in the way. Should it begin this moment, it is interrupted.
            if !request.is_waiting() || request.cancel(false) != Progress::Queued {
                // Between two items it closes by itself. If it is not there soon, it is interrupted.
                watchdog::give_up_later(&request, PATIENCE);
                return false;
            }
            state = self.lock();
            state.abandon();
        }
        match self.submit(state, Task::Close, sender) {
            Ok(()) => false,
            // There are no workers any more.
            Err((_, waiter)) => {
                self.release();
                let mut state = self.lock();
                state.waiter = waiter;
                self.closed(state, asked, sender)
            }
        }
    }

    /// It is closed: whoever waits knows (`told`) or is told.
    fn closed(&self, mut state: MutexGuard<'_, State>, told: bool, sender: Sender) -> bool {
        state.phase = Phase::Closed;
        let waiter = state.waiter.take();
        drop(state);
        if let (Some(waiter), false) = (waiter, told) {
            waiter.send(sender, &mut TermEnv::new(), closed);
        }
        true
    }
}

/// What a stream asks its pool for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    Fill,
    Close,
}

/// For whoever runs its requests.
impl Stream {
    /// Hands in a request. `state` is idle and becomes filling. If it is refused, nobody is to wait
    /// for it: whoever would comes back.
    fn submit(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        task: Task,
        sender: Sender,
    ) -> Result<(), (Submitted, Option<Waiter>)> {
        let tag = match task {
            Task::Fill => atoms::fill(),
            Task::Close => atoms::close(),
        };
        let request = Request::for_stream(Arc::clone(self), Arc::clone(&self.pool), tag);
        state.phase = Phase::Filling;
        state.begun = None;
        state.filled = None;
        state.request = Some(Arc::clone(&request));
        drop(state);
        let submitted = match task {
            Task::Fill => self.pool.submit(request, sender),
            // Closing has to happen, however long the queue is.
            Task::Close => self.pool.submit_anyway(request, sender),
        };
        if matches!(submitted, Submitted::Queued) {
            return Ok(());
        }
        let mut state = self.lock();
        state.abandon();
        Err((submitted, state.waiter.take()))
    }

    /// Sees to it that chunks are ready before they are asked for.
    fn prefetch(self: &Arc<Self>, sender: Sender) {
        let state = self.lock();
        let wanted = state.phase == Phase::Idle
            && !state.is_over()
            && !state.closing
            && state.ready.len() < self.limits.prefetch;
        if !wanted {
            return;
        }
        // Should the queue be full, the next demand asks again. One that came while this was being
        // refused is told.
        if let Err((refused, Some(waiter))) = self.submit(state, Task::Fill, sender) {
            let reason = match refused {
                Submitted::Overloaded => atoms::overloaded(),
                _ => atoms::closed(),
            };
            waiter.send(sender, &mut TermEnv::new(), |env| {
                (atoms::error(), reason).encode(env)
            });
        }
    }

    /// Takes the answer of a request, for the one who waits or for later.
    pub fn deliver(
        self: &Arc<Self>,
        sender: Sender,
        env: &mut TermEnv,
        build: impl for<'a> FnOnce(Env<'a>) -> Term<'a>,
    ) {
        let mut state = self.lock();
        let began = state.begun.is_some() || state.phase == Phase::Closed;
        let running = state.is_running();
        if running {
            // The request is over when it settles. What it has made so far is given before the error.
            state.over = true;
            state.orphaned = true;
            if let Some(chunk) = state.take_filled() {
                state.ready.push_back(chunk.answer());
            }
        } else {
            state.abandon();
        }
        if state.closing && state.phase != Phase::Closed {
            // `settle` sees to the closing, which answers.
            if running || began {
                return;
            }
            // There is nothing to settle, and no worker any more.
            self.release();
            self.closed(state, false, sender);
            return;
        }
        let waiter = state.waiter.take();
        if waiter.is_none() && state.phase == Phase::Closed {
            return;
        }
        let answer = SavedTerm::save(build(env.env()));
        state.ready.push_back((std::mem::take(env), answer));
        if let Some(waiter) = waiter
            && let Some((mut chunk, answer)) = state.ready.pop_front()
        {
            drop(state);
            waiter.send(sender, &mut chunk, |env| answer.load(env));
        }
    }

    /// Tells the one who waits where Python was.
    pub fn tell(
        &self,
        sender: Sender,
        env: &mut TermEnv,
        build: impl for<'a> FnOnce(Env<'a>) -> Term<'a>,
    ) {
        let waiter = self.lock().waiter.take();
        if let Some(waiter) = waiter {
            waiter.send(sender, env, build);
        }
    }

    /// The end of a request, answered or not.
    pub fn settle(self: &Arc<Self>, request: &Arc<Request>, sender: Sender) {
        let mut state = self.lock();
        match &state.request {
            Some(current) if Arc::ptr_eq(current, request) => state.abandon(),
            // The consumer was quick and has asked for the next chunk: that request settles.
            Some(_) => return,
            None => {}
        }
        if !state.closing || state.phase == Phase::Closed {
            drop(state);
            return self.prefetch(sender);
        }
        if state.orphaned && self.pool.namespace.is_none() {
            state.closing = false;
            drop(state);
            return watchdog::close(Arc::clone(self));
        }
        if state.phase == Phase::Idle {
            // By a request of its own: what a `finally` block does can take long, or for ever.
            match self.submit(state, Task::Close, sender) {
                Ok(()) => return,
                // There is no other worker any more.
                Err((_, waiter)) => {
                    Python::attach(|py| self.close_iterator(py));
                    state = self.lock();
                    state.waiter = waiter;
                }
            }
        }
        self.closed(state, false, sender);
    }

    fn close_iterator(&self, py: Python<'_>) {
        let Some(handle) = self.iterator().take() else {
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

impl State {
    /// Whether Python still is at it, answered or not.
    fn is_running(&self) -> bool {
        self.request
            .as_ref()
            .is_some_and(|request| request.place().is_some())
    }

    /// Whether no further item is asked for.
    fn is_over(&self) -> bool {
        self.over || self.given_up
    }

    /// What there is of an unfinished chunk, if there is anything.
    fn take_filled(&mut self) -> Option<Chunk> {
        self.filled.take_if(|chunk| !chunk.items.is_empty())
    }

    /// The request is over, or will never run.
    fn abandon(&mut self) {
        self.request = None;
        self.begun = None;
        self.filled = None;
        self.over |= self.found == Found::Failure;
        if self.phase == Phase::Filling {
            self.phase = if self.found == Found::End {
                Phase::Ended
            } else {
                Phase::Idle
            };
        }
    }
}

impl Waiter {
    pub fn new(env: Env<'_>, reference: Term<'_>) -> Self {
        let own = TermEnv::new();
        let reference = own.copy(reference);
        Waiter {
            pid: env.pid(),
            env: own,
            reference,
        }
    }

    fn send(
        self,
        sender: Sender,
        env: &mut TermEnv,
        build: impl for<'a> FnOnce(Env<'a>) -> Term<'a>,
    ) {
        env.send(sender, &self.pid, |env| {
            let reference = self.env.term(self.reference).in_env(env);
            (reference, build(env)).encode(env)
        });
    }
}

fn closed(env: Env<'_>) -> Term<'_> {
    (atoms::ok(), atoms::closed()).encode(env)
}

impl Chunk {
    /// `{:ok, {:more, items}}`
    fn answer(self) -> (TermEnv, SavedTerm) {
        let answer = {
            let env = self.env.env();
            SavedTerm::save((atoms::ok(), (atoms::more(), self.list(env))).encode(env))
        };
        (self.env, answer)
    }

    /// The items; `env` is its own.
    fn list<'a>(&self, env: Env<'a>) -> Term<'a> {
        let items: Vec<Term> = self.items.iter().map(|item| item.load(env)).collect();
        items.encode(env)
    }
}

/// `{:fill}`: fills a chunk. `{:ok, {:more | :done, items}}`, or `{:ok, {:failed, items, reason}}`
/// when the iterator raised after these items.
pub fn fill<'a>(work: &Work<'_, '_, '_, 'a>, stream: &Stream) -> Result<Answer<'a>, Error> {
    let iterator = stream.iterator().as_ref().map(|handle| handle.get(work.py));
    // SAFETY: the GIL is held.
    let iterator = iterator
        .filter(|iterator| unsafe { ffi::PyIter_Check(iterator.as_ptr()) } != 0)
        .ok_or(Error::BadRequest("only an iterator has a next item"))?;
    let begun = Instant::now();
    {
        let mut state = stream.lock();
        state.begun = Some(begun);
        state.filled = Some(Chunk::default());
    }
    loop {
        work.go_on()?;
        // SAFETY: an iterator (just checked), and the GIL is held. A new reference, or null, with
        // an exception set if there was one.
        let next = unsafe {
            let next = ffi::PyIter_Next(iterator.as_ptr());
            Bound::from_owned_ptr_or_opt(work.py, next)
        };
        let mut state = stream.lock();
        let closing = state.closing;
        // Gone if the consumer has taken it: a new one begins.
        let mut chunk = state.filled.take().unwrap_or_default();
        drop(state);
        let object = match next {
            Some(object) => object,
            None => match PyErr::take(work.py) {
                Some(error) => return Ok(stream.failed(work.py, chunk, error.into())),
                None => return Ok(stream.ended(work.py, chunk)),
            },
        };
        let converted = {
            let mut decoder = Decoder::new(work.py, chunk.env.env(), stream.flags.erlang());
            if stream.flags.return_object() {
                Ok(SavedTerm::save(decoder.object(&object)))
            } else {
                decoder.value(&object).map(SavedTerm::save)
            }
        };
        match converted {
            Ok(term) => {
                chunk.items.push(term);
                stream.count.fetch_add(1, Ordering::Relaxed);
            }
            Err(failure) => {
                let at = stream.count.load(Ordering::Relaxed);
                let error = Error::decode(failure.inside(|| Step::Index(at)));
                return Ok(stream.failed(work.py, chunk, error));
            }
        }
        // The look at the clock under the lock: a consumer that has asked for what there is (`flush`)
        // and found nothing is told of this item.
        let mut state = stream.lock();
        if closing
            || chunk.items.len() >= stream.limits.max_items
            || begun.elapsed() >= stream.limits.max_wait
        {
            drop(state);
            let (env, answer) = chunk.answer();
            return Ok(Answer::Elsewhere(env, answer));
        }
        state.filled = Some(chunk);
    }
}

impl Stream {
    fn ended<'a>(&self, py: Python<'_>, chunk: Chunk) -> Answer<'a> {
        self.lock().found = Found::End;
        let handle = self.iterator().take();
        if let Some(handle) = handle {
            give_up(handle, py);
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
            let reason = error.into_term(py, env);
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
}
