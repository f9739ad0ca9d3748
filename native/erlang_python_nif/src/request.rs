//! One piece of work for Python: who asked, what for, and how far it is.
//!
//! The state changes by compare-and-swap only, and whoever wins decides: an answer is sent at
//! most once, never after the caller gave up, and a request that was cancelled in the queue never
//! runs.

use crate::deadline::Deadline;
use crate::growth::HandedOut;
use crate::interpreter::PythonThread;
use crate::lock::{Mutex, MutexGuard};
use crate::mailbox::Mailbox;
use crate::object::Watch;
use crate::on_interrupt::Functions;
use crate::pool::Pool;
use crate::queue::Start;
use crate::stream::Stream;
use crate::stuck::{self, Stuck};
use crate::term_env::{OwnedTerm, SavedTerm, Sender, TermEnv};
use crate::watchdog;
use crate::worker::Worker;
use pyo3::Python;
use rustler::{Atom, Encoder, Env, LocalPid, Resource, ResourceArc, Term};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
/// An answer has been sent, or is being sent this moment.
const ANSWERED: u8 = 2;
/// The caller gave up and still listens for the place where Python was.
const CANCELLED: u8 = 3;
/// The caller gave up and listens no more.
const CLOSED: u8 = 4;

pub struct Request {
    state: AtomicU8,
    sink: Sink,
    /// The group leader of the caller.
    leader: OwnedTerm,
    pub flags: Flags,
    pub pool: Arc<Pool>,
    body: Mutex<Option<Arc<Body>>>,
    /// What was sent to it with `Python.send`.
    pub mailbox: Mailbox,
    /// Where it runs, once it runs, until it has left there.
    place: OnceLock<Place>,
    left: AtomicBool,
    /// An interrupt was aimed at it, and may still be pending in its thread.
    interrupted: AtomicBool,
    /// An interrupt waits for the end of a C library's call.
    put_off: AtomicBool,
    /// The next interrupt is not needed: its work is done already.
    skip: AtomicBool,
    /// Its code was told that nobody waits any more.
    told: AtomicBool,
    /// How many threads that its code started wait for callbacks.
    pub threads_waiting: AtomicUsize,
    /// It waits with a callback and not in the queue.
    nested: AtomicBool,
    /// It takes a place in the queue. Changed with the queue's lock held.
    placed: AtomicBool,
    /// Somebody waits for the answer, or has.
    claimed: AtomicBool,
    /// Until when its caller waits.
    pub deadline: Deadline,
    /// The one whose callback has made it. It ends with that.
    outer: OnceLock<Arc<Request>>,
    /// What its code has registered. Hardly any does.
    on_interrupt: OnceLock<Box<Functions>>,
    /// What its code has given to others. Hardly any does.
    handed_out: OnceLock<Box<HandedOut>>,
    pub stuck: Stuck,
    /// See `keep`.
    kept: Mutex<Option<ResourceArc<Ticket>>>,
}

/// Where the answer goes.
pub enum Sink {
    /// To a process, as a message with this reference, which is a term of the body.
    Caller(LocalPid, SavedTerm),
    /// To a stream, for whoever demands the next chunk.
    Stream(Arc<Stream>),
    /// To the process that runs it itself, as what the native function returns. If others answer,
    /// their answer waits here.
    Here(LocalPid, Mutex<Option<(TermEnv, SavedTerm)>>),
}

/// The terms of a request, freed as soon as it is over.
pub struct Body {
    env: TermEnv,
    operation: SavedTerm,
}

// SAFETY: only the thread that runs the request uses the environment (`operation`). All others
// read the reference, an immutable term in it, to copy it elsewhere (`Request::send`).
unsafe impl Sync for Body {}

impl Body {
    /// What is asked of Python. For the thread that runs the request.
    pub fn operation(&self) -> Term<'_> {
        self.env.term(self.operation)
    }
}

/// How the answer is to look.
#[derive(Clone, Copy)]
pub struct Flags(u32);

impl Flags {
    pub fn new(bits: u32) -> Self {
        Flags(bits)
    }

    /// The result stays in Python; the answer is a handle.
    pub fn return_object(self) -> bool {
        self.0 & 1 != 0
    }

    /// The caller speaks Erlang: `None` is `none`.
    pub fn erlang(self) -> bool {
        self.0 & 2 != 0
    }

    /// It is the `:init` of a pool or context. The context variables that a pool's sets are
    /// those that calls begin with.
    pub fn init(self) -> bool {
        self.0 & 32 != 0
    }

    /// What was `bytes` is a `%Python.Bytes{}`.
    pub fn return_bytes(self) -> bool {
        self.0 & 8 != 0
    }

    /// The option `:decode`, as `lib/python/decode.ex` writes it. 0 for none.
    pub fn settings(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// With the settings of the pool where it has none of its own.
    fn over(self, pool: u16) -> Self {
        if pool == 0 {
            return self;
        }
        // The bits of each setting. All of them at 0: it was not given.
        const SETTINGS: [u16; 7] = [3, 3 << 2, 7 << 4, 3 << 7, 3 << 9, 3 << 11, 7 << 13];
        let own = self.settings();
        let pool = SETTINGS
            .into_iter()
            .filter(|bits| own & bits == 0)
            .fold(0, |settings, bits| settings | pool & bits);
        Flags(self.0 | u32::from(pool) << 16)
    }

    /// Errors keep what their frames hold: as the call says, or else as the pool does.
    pub fn keep_locals(self, pool: &Pool) -> bool {
        self.0 & 64 != 0 || (self.0 & 128 == 0 && pool.keep_locals.load(Ordering::Relaxed))
    }

    /// The request is cancelled when its ticket is no longer held.
    fn cancel_on_drop(self) -> bool {
        self.0 & 4 != 0
    }
}

/// How long a wait in a `finally` block lasts, at most. As long as such a block has before the next
/// interrupt.
const LEAVE: Duration = Duration::from_secs(1);

/// How long code may wait for something.
///
/// A wait ends when nobody waits for the request any more. But once its code knows that, it is
/// leaving, and what it waits for on its way out is part of that. A C library that has called the code
/// is not to be left by an exception, so such code waits for the answer.
pub struct Patience {
    request: Arc<Request>,
    until: Option<Instant>,
    endless: bool,
}

impl Patience {
    pub fn is_over(&self) -> bool {
        !self.endless
            && self.request.is_given_up()
            && self.until.is_none_or(|until| Instant::now() >= until)
    }
}

pub struct Place {
    pub thread: Arc<PythonThread>,
    pub worker: Arc<Worker>,
}

/// How far a request was when it was cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    Queued,
    Running,
    /// Too late: the answer is there or on its way.
    Answered,
}

impl Request {
    pub fn new(
        caller: LocalPid,
        flags: Flags,
        pool: Arc<Pool>,
        reference: Term<'_>,
        operation: Term<'_>,
        leader: Term<'_>,
    ) -> Arc<Self> {
        let env = TermEnv::new();
        let sink = Sink::Caller(caller, env.copy(reference));
        let body = Body {
            operation: env.copy(operation),
            env,
        };
        Self::with(Some(body), sink, OwnedTerm::new(leader), flags, pool)
    }

    /// A request that `caller` runs itself. It runs already.
    pub fn here(caller: LocalPid, flags: Flags, pool: Arc<Pool>, leader: Term<'_>) -> Arc<Self> {
        let sink = Sink::Here(caller, Mutex::new(None));
        let leader = OwnedTerm::new(leader);
        let request = Self::with(None, sink, leader, flags, pool);
        request.state.store(RUNNING, Ordering::Release);
        request
    }

    /// A request of a stream's own, to do what `tag` says.
    pub fn for_stream(stream: Arc<Stream>, pool: Arc<Pool>, tag: Atom) -> Arc<Self> {
        let env = TermEnv::new();
        let body = Body {
            operation: SavedTerm::save((tag,).encode(env.env())),
            env,
        };
        let leader = stream.leader();
        Self::with(
            Some(body),
            Sink::Stream(stream),
            leader,
            Flags::new(0),
            pool,
        )
    }

    fn with(
        body: Option<Body>,
        sink: Sink,
        leader: OwnedTerm,
        flags: Flags,
        pool: Arc<Pool>,
    ) -> Arc<Self> {
        Arc::new(Request {
            state: AtomicU8::new(QUEUED),
            sink,
            leader,
            flags: flags.over(pool.settings()),
            pool,
            mailbox: Mailbox::default(),
            body: Mutex::new(body.map(Arc::new)),
            place: OnceLock::new(),
            left: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            put_off: AtomicBool::new(false),
            skip: AtomicBool::new(false),
            told: AtomicBool::new(false),
            threads_waiting: AtomicUsize::new(0),
            nested: AtomicBool::new(false),
            placed: AtomicBool::new(false),
            claimed: AtomicBool::new(false),
            deadline: Deadline::default(),
            outer: OnceLock::new(),
            on_interrupt: OnceLock::new(),
            handed_out: OnceLock::new(),
            stuck: Stuck::default(),
            kept: Mutex::new(None),
        })
    }

    pub fn body(&self) -> Option<Arc<Body>> {
        lock(&self.body).clone()
    }

    /// Sends what `build` makes of it, as `{reference, answer}`, if nobody has answered or
    /// cancelled the request yet. Says whether it was sent.
    pub fn answer(
        &self,
        sender: Sender,
        env: &mut TermEnv,
        build: impl for<'a> FnOnce(Env<'a>) -> Term<'a>,
    ) -> bool {
        // The body first: once the state says answered, the one who runs the request may free it.
        let body = self.body();
        if self.change(QUEUED, ANSWERED) {
            self.leave_queue();
            // It may stay in the queue for long.
            self.forget_body();
        } else if !self.change(RUNNING, ANSWERED) {
            return false;
        }
        match &self.sink {
            Sink::Caller(pid, reference) => {
                let Some(body) = body else { return false };
                send(&body, *reference, pid, sender, env, build);
            }
            Sink::Stream(stream) => stream.deliver(sender, env, build),
            Sink::Here(_, answer) => {
                let term = SavedTerm::save(build(env.env()));
                *lock(answer) = Some((std::mem::take(env), term));
            }
        }
        self.let_go();
        true
    }

    /// For the process that has run it itself: whether nobody has answered or cancelled it, and the
    /// result is the answer.
    pub fn settle_here(&self) -> bool {
        self.change(RUNNING, ANSWERED)
    }

    /// What others have answered to the process that has run it itself.
    pub fn answer_of_others<'a>(&self, env: Env<'a>) -> Option<Term<'a>> {
        let Sink::Here(_, answer) = &self.sink else {
            return None;
        };
        let (own, answer) = lock(answer).take()?;
        Some(own.term(answer).in_env(env))
    }

    /// Sends the caller something before the answer. False if it waits no more.
    pub fn tell(&self, sender: Sender, build: impl for<'a> FnOnce(Env<'a>) -> Term<'a>) -> bool {
        let (Sink::Caller(pid, reference), Some(body)) = (&self.sink, self.body()) else {
            return false;
        };
        let waits = self.is_pending();
        if waits {
            send(&body, *reference, pid, sender, &mut TermEnv::new(), build);
        }
        waits
    }

    /// Whether the process that asked for it runs it itself.
    pub fn is_here(&self) -> bool {
        matches!(self.sink, Sink::Here(..))
    }

    /// The stream that this is a request of.
    pub fn stream(&self) -> Option<&Arc<Stream>> {
        match &self.sink {
            Sink::Stream(stream) => Some(stream),
            Sink::Caller(..) | Sink::Here(..) => None,
        }
    }

    /// Tells the caller, who gave up, where Python was. Says whether it still listened. `body`: the
    /// request's, from when it was interrupted; it may have ended since.
    pub fn tell_location(
        &self,
        body: &Body,
        sender: Sender,
        env: &mut TermEnv,
        build: impl for<'a> FnOnce(Env<'a>) -> Term<'a>,
    ) -> bool {
        let told = self.change(CANCELLED, CLOSED);
        if told {
            match &self.sink {
                Sink::Caller(pid, reference) => {
                    send(body, *reference, pid, sender, env, build);
                }
                Sink::Stream(stream) => stream.tell(sender, env, build),
                // It has no timeout, so its caller never asks.
                Sink::Here(..) => {}
            }
        }
        told
    }

    /// The caller stops listening for the place. False if it was told already.
    pub fn stop_listening(&self) -> bool {
        self.change(CANCELLED, CLOSED)
    }

    /// Gives the request up. Python is interrupted if it is at it, and the pool sees to it that
    /// its strength is kept.
    pub fn cancel(self: &Arc<Self>, listens: bool) -> Progress {
        let state = if listens { CANCELLED } else { CLOSED };
        if self.change(QUEUED, state) {
            self.leave_queue();
            self.forget_body();
            self.let_go();
            Progress::Queued
        } else if self.change(RUNNING, state) {
            watchdog::watch(Arc::clone(self));
            self.let_go();
            Progress::Running
        } else {
            Progress::Answered
        }
    }

    /// True the first time only.
    pub fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::AcqRel)
    }

    /// Keeps the ticket, and with it the monitor on the owner, until the request is over: the owner
    /// may have dropped it.
    pub fn keep(&self, ticket: ResourceArc<Ticket>) {
        *lock(&self.kept) = Some(ticket);
        if !self.is_pending() {
            self.let_go();
        }
    }

    fn let_go(&self) {
        let kept = lock(&self.kept).take();
        drop(kept);
    }

    /// It is made by the callback of another one. Before it is handed in.
    pub fn set_outer(&self, outer: Arc<Request>) {
        let _ = self.outer.set(outer);
    }

    /// How many ms its code has: the least of what is left to it and to those that it is nested in, and nothing
    /// once one of them was given up. None: there is no end.
    pub fn time_left(&self) -> Option<u64> {
        let mut left = None;
        let mut next = Some(self);
        while let Some(request) = next {
            if request.is_given_up() {
                return Some(0);
            }
            left = match (left, request.deadline.left()) {
                (Some(one), Some(other)) => Some(u64::min(one, other)),
                (one, other) => one.or(other),
            };
            next = request.outer.get().map(|outer| &**outer);
        }
        left
    }

    /// Whether somebody still waits for the answer.
    pub fn is_pending(&self) -> bool {
        matches!(self.state.load(Ordering::Acquire), QUEUED | RUNNING)
    }

    pub fn keep_locals(&self) -> bool {
        self.flags.keep_locals(&self.pool)
    }

    /// Whether nobody waits for the answer any more: the caller gave up, or was told that the time is
    /// over or the pool gone.
    pub fn is_cancelled(&self) -> bool {
        !self.is_pending()
    }

    pub fn place(&self) -> Option<&Place> {
        self.place
            .get()
            .filter(|_| !self.left.load(Ordering::Acquire))
    }

    pub fn enter(&self, place: Place) {
        // It runs once.
        let _ = self.place.set(place);
    }

    pub fn leave(&self) {
        self.left.store(true, Ordering::SeqCst);
        stuck::ended(self);
    }

    /// What its code has registered for its interrupt, if it has.
    /// What its code has given to others, if anything.
    pub fn handed_out(&self) -> Option<&HandedOut> {
        self.handed_out.get().map(|handed_out| &**handed_out)
    }

    pub fn hand_out(&self, py: Python<'_>, watches: Vec<Arc<Watch>>) {
        if !watches.is_empty() {
            self.handed_out.get_or_init(Box::default).add(py, watches);
        }
    }

    pub fn on_interrupt(&self) -> Option<&Functions> {
        self.on_interrupt.get().map(|functions| &**functions)
    }

    pub fn make_on_interrupt(&self) -> &Functions {
        self.on_interrupt.get_or_init(Box::default)
    }

    pub fn mark_interrupted(&self) {
        self.interrupted.store(true, Ordering::Release);
    }

    pub fn put_interrupt_off(&self) {
        self.put_off.store(true, Ordering::Release);
    }

    /// True once after `put_interrupt_off`.
    pub fn interrupt_was_put_off(&self) -> bool {
        self.put_off.swap(false, Ordering::AcqRel)
    }

    /// An interrupt was aimed at it, or is to be.
    pub fn was_aimed_at(&self) -> bool {
        self.was_interrupted() || self.put_off.load(Ordering::Acquire)
    }

    pub fn skip_interrupt(&self) {
        self.skip.store(true, Ordering::Release);
    }

    /// True once after `skip_interrupt`.
    pub fn interrupt_is_skipped(&self) -> bool {
        self.skip.swap(false, Ordering::AcqRel)
    }

    /// Whether nobody waits for it any more.
    pub fn is_given_up(&self) -> bool {
        self.is_cancelled() || self.state.load(Ordering::Acquire) == ANSWERED
    }

    /// Its code was told so, by an exception that a wait ended with.
    pub fn mark_told(&self) {
        self.told.store(true, Ordering::Release);
    }

    /// For a wait of its code that begins now: how long nobody need be waiting for it.
    pub fn patience(self: &Arc<Self>, py: Python<'_>) -> Patience {
        let told = self.told.load(Ordering::Acquire) || self.was_interrupted();
        Patience {
            request: Arc::clone(self),
            endless: self
                .place()
                .is_some_and(|place| place.thread.is_in_callback(py)),
            until: told.then(|| Instant::now() + LEAVE),
        }
    }

    /// Whether it waits with a callback, or was run from there.
    pub fn is_nested(&self) -> bool {
        self.nested.load(Ordering::Acquire)
    }

    /// The process that asked for it.
    pub fn caller(&self) -> Option<LocalPid> {
        match &self.sink {
            Sink::Caller(pid, _) | Sink::Here(pid, _) => Some(*pid),
            Sink::Stream(stream) => stream.consumer(),
        }
    }

    /// The group leader of the process that asked for it.
    pub fn leader(&self) -> OwnedTerm {
        self.leader.clone()
    }

    /// Says where it waits: with a callback, or in its pool's queue.
    pub fn set_nested(&self, nested: bool) {
        self.nested.store(nested, Ordering::Release);
    }

    /// If it is in the queue, it has left that before a worker took it.
    fn leave_queue(&self) {
        self.pool.forget(self);
    }

    pub fn was_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Acquire)
    }

    /// Frees the terms that came with the request.
    pub fn forget_body(&self) {
        let body = lock(&self.body).take();
        drop(body);
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

fn send(
    body: &Body,
    reference: SavedTerm,
    to: &LocalPid,
    sender: Sender,
    env: &mut TermEnv,
    build: impl for<'a> FnOnce(Env<'a>) -> Term<'a>,
) {
    env.send(sender, to, |env| {
        let reference = body.env.term(reference).in_env(env);
        (reference, build(env)).encode(env)
    });
}

impl Start for Request {
    fn start(&self) -> bool {
        self.change(QUEUED, RUNNING)
    }

    fn is_waiting(&self) -> bool {
        self.state.load(Ordering::Acquire) == QUEUED
    }

    fn take_place(&self, takes: bool) -> bool {
        self.placed.swap(takes, Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every critical section here is one assignment or clone.
    mutex.lock()
}

/// The caller's hold on its request.
///
/// For a call that is waited for, nobody but the caller's own heap has it: when the caller dies,
/// its heap goes, and the request is cancelled with it. That costs nothing per call, where a
/// monitor costs two locks. A request that others may hold on to (`Python.Async`) is not tied to
/// its ticket but to a monitor on its owner.
pub struct Ticket(pub Arc<Request>);

impl Resource for Ticket {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: rustler::Monitor) {
        self.0.cancel(false);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.flags.cancel_on_drop() {
            self.0.cancel(false);
        }
    }
}
