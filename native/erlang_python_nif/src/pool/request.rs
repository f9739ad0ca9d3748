//! One piece of work for Python: who asked, what for, and how far it is.
//!
//! The state changes by compare-and-swap only, and whoever wins decides: an answer is sent at
//! most once, never after the caller gave up, and a request that was cancelled in the queue never
//! runs.

use crate::base::deadline::Deadline;
use crate::base::flags::Flags;
use crate::base::later::Later;
use crate::base::lock::{Mutex, MutexGuard};
use crate::base::mailbox::Mailbox;
use crate::base::side;
use crate::base::sleepers::{Sleepers, Wake};
use crate::base::term_env::{OwnedTerm, SavedTerm, Sender, TermEnv};
use crate::pool::look::Look;
use crate::pool::marks::{BODY_OVER, DROPPED, HELD, KEPT, LEFT, Marks, PLACED};
use crate::pool::queue::{ANY, Start};
use crate::pool::sink::{Body, Receiver, Sink};
use crate::pool::stuck::{Stays, Stuck};
use crate::pool::watch;
use crate::pool::{Pool, Worker};
use rustler::{Atom, Encoder, Env, LocalPid, Term};
use std::any::Any;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
/// An answer has been sent, or is being sent this moment.
const ANSWERED: u8 = 2;
/// The caller gave up and still listens for the place where Python was.
const CANCELLED: u8 = 3;
/// The caller gave up and listens no more.
const CLOSED: u8 = 4;
/// It waits still, and a worker may begin with it at any moment.
const OFFERED: u8 = 5;

pub struct Request {
    state: AtomicU8,
    sink: Sink,
    /// The group leader of the caller.
    leader: OwnedTerm,
    pub flags: Flags,
    pub pool: Arc<Pool>,
    /// Its caller looks for the answer, or did.
    pub look: Look<(TermEnv, SavedTerm)>,
    body: Mutex<Option<Arc<Body>>>,
    /// What was sent to it with `Python.send`.
    pub mailbox: Mailbox,
    /// Where it runs, once it runs, until it has left there.
    place: Later<Arc<Place>>,
    pub marks: Marks,
    /// Threads of its code that wait for something, and are to know when it is over.
    pub sleepers: Sleepers,
    /// The id of the worker that alone can run it, or `ANY`.
    pin: AtomicU64,
    /// How many threads that its code started wait for callbacks.
    pub threads_waiting: AtomicUsize,
    /// Until when its caller waits.
    pub deadline: Deadline,
    /// The one whose callback has made it. It ends with that.
    outer: OnceLock<Arc<Request>>,
    /// What its engine keeps with it. Hardly any has something.
    kept_by_engine: OnceLock<Box<dyn Any + Send + Sync>>,
    pub stuck: Stuck,
    /// See `keep`.
    kept: Mutex<Option<Box<dyn Any + Send + Sync>>>,
}

/// Where a request runs. Requests that follow one another there have it in common.
pub struct Place {
    pub worker: Arc<Worker>,
    /// What its engine finds it by.
    pub at: Arc<dyn Any + Send + Sync>,
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
        let reference = env.copy(reference);
        let operation = env.copy(operation);
        Self::of_terms(env, caller, flags, pool, (reference, operation), leader)
    }

    /// The same with reference and operation in an environment that is to be its own.
    pub fn of_terms(
        env: TermEnv,
        caller: LocalPid,
        flags: Flags,
        pool: Arc<Pool>,
        (reference, operation): (SavedTerm, SavedTerm),
        leader: Term<'_>,
    ) -> Arc<Self> {
        let leader = OwnedTerm::new(leader);
        let sink = Sink::Caller(caller, reference);
        let body = Body::new(env, operation);
        Self::with(Some(body), sink, leader, flags, pool)
    }

    /// A request that `caller` runs itself. It runs already.
    pub fn here(caller: LocalPid, flags: Flags, pool: Arc<Pool>, leader: Term<'_>) -> Arc<Self> {
        let sink = Sink::Here(caller, Mutex::new(None));
        let leader = OwnedTerm::new(leader);
        let request = Self::with(None, sink, leader, flags, pool);
        request.state.store(RUNNING, Ordering::Release);
        request
    }

    /// A request whose answer another one, or a stream, is for: to do what `tag` says.
    pub fn of_receiver(
        receiver: Arc<dyn Receiver>,
        leader: OwnedTerm,
        pool: Arc<Pool>,
        tag: Atom,
        flags: Flags,
    ) -> Arc<Self> {
        let env = TermEnv::new();
        let operation = SavedTerm::save((tag,).encode(env.env()));
        Self::with(
            Some(Body::new(env, operation)),
            Sink::Receiver(receiver),
            leader,
            flags,
            pool,
        )
    }

    fn with(
        body: Option<Arc<Body>>,
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
            look: Look::default(),
            mailbox: Mailbox::default(),
            body: Mutex::new(body),
            place: Later::new(),
            marks: Marks::default(),
            sleepers: Sleepers::default(),
            pin: AtomicU64::new(ANY),
            threads_waiting: AtomicUsize::new(0),
            deadline: Deadline::default(),
            outer: OnceLock::new(),
            kept_by_engine: OnceLock::new(),
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
        self.settle_offer();
        if self.change(QUEUED, ANSWERED) {
            self.leave_queue();
            // It may stay in the queue for long.
            self.forget_body();
        } else if !self.change(RUNNING, ANSWERED) {
            // It may have left or entered the queue this moment.
            return self.is_pending() && self.answer(sender, env, build);
        }
        self.send(body, sender, env, build)
    }

    /// The same for the one who runs it, and has its body.
    pub fn answer_running(
        &self,
        body: Arc<Body>,
        sender: Sender,
        env: &mut TermEnv,
        build: impl for<'a> FnOnce(Env<'a>) -> Term<'a>,
    ) -> bool {
        self.change(RUNNING, ANSWERED) && self.send(Some(body), sender, env, build)
    }

    fn send(
        &self,
        body: Option<Arc<Body>>,
        sender: Sender,
        env: &mut TermEnv,
        build: impl for<'a> FnOnce(Env<'a>) -> Term<'a>,
    ) -> bool {
        match &self.sink {
            Sink::Caller(pid, reference) => {
                if self.look.is_looked_for() {
                    self.show(body, (pid, *reference), sender, env, build);
                } else {
                    let Some(body) = body else { return false };
                    body.send(*reference, pid, sender, env, build);
                }
            }
            Sink::Receiver(receiver) => {
                let answer = SavedTerm::save(build(env.env()));
                Arc::clone(receiver).deliver(sender, env, answer);
            }
            Sink::Here(_, answer) => {
                let term = SavedTerm::save(build(env.env()));
                *lock(answer) = Some((std::mem::take(env), term));
            }
        }
        self.let_go();
        true
    }

    /// Puts the answer where the caller looks, or sends it should that have stopped this moment.
    fn show(
        &self,
        body: Option<Arc<Body>>,
        (pid, reference): (&LocalPid, SavedTerm),
        sender: Sender,
        env: &mut TermEnv,
        build: impl for<'a> FnOnce(Env<'a>) -> Term<'a>,
    ) {
        let answer = SavedTerm::save(build(env.env()));
        // The caller's terms are the caller's to free.
        drop(body);
        if let Err((own, answer)) = self.look.put((std::mem::take(env), answer)) {
            *env = own;
            if let Some(body) = self.body() {
                body.send(reference, pid, sender, env, |env| answer.load(env));
            }
        }
    }

    /// For the caller, who has found its answer (`Look::take`): sends it to itself, so that it need not be copied.
    pub fn send_to_caller(&self, own: &mut TermEnv, answer: SavedTerm, sender: Sender) {
        if let (Sink::Caller(pid, reference), Some(body)) = (&self.sink, self.body()) {
            body.send(*reference, pid, sender, own, |env| answer.load(env));
        }
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
            body.send(*reference, pid, sender, &mut TermEnv::new(), build);
        }
        waits
    }

    /// Whether the process that asked for it runs it itself.
    pub fn is_here(&self) -> bool {
        matches!(self.sink, Sink::Here(..))
    }

    /// The stream that this is a request of.
    pub fn receiver(&self) -> Option<&Arc<dyn Receiver>> {
        match &self.sink {
            Sink::Receiver(receiver) => Some(receiver),
            Sink::Caller(..) | Sink::Here(..) => None,
        }
    }

    /// It has ended and its caller was not answered by that. The VM is told, if this is another process.
    pub fn done(&self, body: &Body) {
        let Some(link) = side::link() else { return };
        match &self.sink {
            Sink::Caller(_, reference) => link.done(body.term(*reference)),
            Sink::Receiver(receiver) => link.fill_done(&**receiver),
            Sink::Here(..) => {}
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
                    body.send(*reference, pid, sender, env, build);
                }
                Sink::Receiver(receiver) => {
                    let location = SavedTerm::save(build(env.env()));
                    receiver.tell(sender, env, location);
                }
                // It has no timeout, so its caller never asks.
                Sink::Here(..) => {}
            }
        }
        told
    }

    /// Whether the caller, who gave up, waits to be told where Python was.
    pub fn is_asked_for_location(&self) -> bool {
        self.state.load(Ordering::SeqCst) == CANCELLED
    }

    /// The caller stops listening for the place. False if it was told already.
    pub fn stop_listening(&self) -> bool {
        self.change(CANCELLED, CLOSED)
    }

    /// Gives the request up. Python is interrupted if it is at it, and the pool sees to it that
    /// its strength is kept.
    pub fn cancel(self: &Arc<Self>, listens: bool) -> Progress {
        let state = if listens { CANCELLED } else { CLOSED };
        self.settle_offer();
        if self.change(QUEUED, state) {
            self.leave_queue();
            self.forget_body();
            self.let_go();
            Progress::Queued
        } else if self.change(RUNNING, state) {
            watch::watch(Arc::clone(self));
            self.let_go();
            Progress::Running
        } else if self.is_pending() {
            // It has left or entered the queue this moment.
            self.cancel(listens)
        } else {
            Progress::Answered
        }
    }

    /// Its caller is about to be told that it is in the body of a `with`.
    pub fn enter_body(&self) {
        self.marks.set(HELD);
    }

    /// That body is over, and its manager is left: for nobody, if the caller has died meanwhile.
    pub fn leave_body(self: &Arc<Self>) {
        self.marks.set(BODY_OVER);
        self.marks.take(HELD);
        // In one order with `dropped`: one of both sees what the other has set.
        if self.marks.has(DROPPED) {
            self.cancel(false);
        }
    }

    /// The caller has died, or waits no more.
    pub fn dropped(self: &Arc<Self>) {
        if self.is_over() {
            return;
        }
        self.marks.set(DROPPED);
        if !self.marks.has(HELD) {
            self.cancel(false);
        }
    }

    /// It waits for a worker that may begin with it at any moment, who says so (`begin_offered`), in no queue. False if it
    /// was cancelled before.
    pub fn offer(&self) -> bool {
        self.change(QUEUED, OFFERED)
    }

    pub fn is_offered(&self) -> bool {
        self.state.load(Ordering::SeqCst) == OFFERED
    }

    /// That worker has begun.
    pub fn begin_offered(&self) -> bool {
        self.change(OFFERED, RUNNING)
    }

    /// No worker begins with it.
    pub fn leave_offered(&self) -> bool {
        self.change(OFFERED, QUEUED)
    }

    fn settle_offer(&self) {
        while self.is_offered() {
            self.pool.engine.settle(self);
        }
    }

    /// Keeps the ticket, and with it the monitor on the owner, until the request is over: the owner
    /// may have dropped it.
    pub fn keep(&self, ticket: impl Any + Send + Sync) {
        *lock(&self.kept) = Some(Box::new(ticket));
        // In one order with the end of the request: either this sees that, or that sees the mark.
        self.marks.set(KEPT);
        if self.is_over() {
            self.let_go();
        }
    }

    /// It is over.
    fn let_go(&self) {
        // Hardly any has its ticket with it.
        if self.marks.has(KEPT) {
            let kept = lock(&self.kept).take();
            drop(kept);
        }
    }

    /// It is made by the callback of another one. Before it is handed in.
    pub fn set_outer(&self, outer: Arc<Request>) {
        let _ = self.outer.set(outer);
    }

    /// Only the worker with this id can run it (`Pool::open_lane`). Before it is handed in.
    pub fn pin_to(&self, worker: u64) {
        self.pin.store(worker, Ordering::Relaxed);
    }

    /// How many ms its code has: the least of what is left to it and to those that it is nested in, and nothing
    /// once one of them was given up. None: there is no end.
    pub fn time_left(&self) -> Option<u64> {
        let mut left = None;
        let mut next = Some(self);
        while let Some(request) = next {
            if request.is_over() {
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
        // In one order with `change`, for `Sleepers::enter`.
        let state = self.state.load(Ordering::SeqCst);
        matches!(state, QUEUED | OFFERED | RUNNING)
    }

    pub fn keep_locals(&self) -> bool {
        self.pool.keeps_locals(self.flags)
    }

    /// Whether nobody waits for the answer any more: it was given, the caller gave up, or was told that the
    /// time is over or the pool gone.
    pub fn is_over(&self) -> bool {
        !self.is_pending()
    }

    pub fn place(&self) -> Option<&Place> {
        let place = self.place.get().filter(|_| !self.marks.has(LEFT));
        place.map(|place| &**place)
    }

    pub fn enter(&self, place: Arc<Place>) {
        // It runs once.
        self.place.set(place);
    }

    pub fn leave(&self) {
        self.marks.set(LEFT);
        self.pool.end_stuck(&self.stuck);
    }

    /// It is still where it was, though it was interrupted. True the first time only.
    pub fn is_stuck(&self) -> bool {
        if self.stuck.begin() {
            return false;
        }
        self.pool.stats.stuck.fetch_add(1, Ordering::SeqCst);
        // It may have ended this moment, and seen that it was not counted.
        if self.place().is_none() {
            self.pool.end_stuck(&self.stuck);
        }
        true
    }

    /// What its engine keeps with it, of the one type that this engine keeps.
    pub fn kept<T: Any>(&self) -> Option<&T> {
        (**self.kept_by_engine.get()?).downcast_ref()
    }

    /// The same, made if there is none yet.
    pub fn keep_for_engine<T: Any + Default + Send + Sync>(&self) -> Option<&T> {
        let kept = self.kept_by_engine.get_or_init(|| Box::new(T::default()));
        (**kept).downcast_ref()
    }

    /// Whether this worker can run it.
    pub fn may_run_on(&self, worker: u64) -> bool {
        let pin = self.pin.load(Ordering::Relaxed);
        pin == ANY || pin == worker
    }

    /// Keeps what its engine has made of the operation. Before it is handed in.
    pub fn keep_prepared(&self, prepared: Box<dyn Any + Send + Sync>) {
        let _ = self.kept_by_engine.set(prepared);
    }

    /// The process that asked for it.
    pub fn caller(&self) -> Option<LocalPid> {
        self.sink.caller()
    }

    /// The group leader of the process that asked for it.
    pub fn leader(&self) -> OwnedTerm {
        self.leader.clone()
    }

    /// If it is in the queue, it has left that before a worker took it.
    fn leave_queue(&self) {
        self.pool.forget(self);
        self.pool.engine.given_up_in_queue();
    }

    /// Frees the terms that came with the request.
    pub fn forget_body(&self) {
        let body = lock(&self.body).take();
        drop(body);
    }

    fn change(&self, from: u8, to: u8) -> bool {
        let changed = self
            .state
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::Acquire)
            .is_ok();
        if changed && from == RUNNING {
            self.sleepers.wake();
        }
        changed
    }
}

impl Wake for Request {
    fn wake(&self) {
        self.mailbox.wake();
    }
}

impl Stays for Request {
    fn stuck(&self) -> &Stuck {
        &self.stuck
    }
}

impl Start for Request {
    fn start(&self) -> bool {
        self.change(QUEUED, RUNNING)
    }

    fn is_waiting(&self) -> bool {
        self.state.load(Ordering::Acquire) == QUEUED
    }

    fn take_place(&self, takes: bool) -> bool {
        if takes {
            self.marks.set(PLACED)
        } else {
            self.marks.take(PLACED)
        }
    }

    fn pin(&self) -> u64 {
        self.pin.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every critical section here is one assignment or clone.
    mutex.lock()
}
