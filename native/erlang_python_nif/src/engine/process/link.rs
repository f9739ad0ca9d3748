//! The VM's side of one worker process: what is sent to it, and what it is at.

use super::beside::{self, Beside};
use super::encoded::Encoded;
use super::guard::Guard;
use super::kick::Kick;
use super::lying::Ahead;
use super::outbox::Outbox;
use super::shared::Shared;
use super::shown::{Pins, Shown};
use super::tray::Tray;
use super::wear::Wear;
use crate::base::clock;
use crate::base::lock::{Mutex, MutexGuard};
use crate::base::numbers::Numbers;
use crate::base::term_env::{OwnedTerm, Sender};
use crate::pool::request::{Place, Request};
use crate::pool::{Pool, Worker};
use erlang_python_wire::Writer;
use erlang_python_wire::frame::to_worker;
use rustler::{Env, LocalPid, Term};
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

pub struct Link {
    /// Which no other has, or had, in this VM.
    pub number: u64,
    pub pool: Arc<Pool>,
    pub worker: Arc<Worker>,
    /// Where its requests run. Who has one of these keeps nothing else of the worker.
    pub place: Arc<Place>,
    /// The process that is told of its output and of its end.
    pub owner: LocalPid,
    pub patience: Patience,
    stage: AtomicU8,
    pub outbox: Outbox,
    pub shared: Shared,
    pub kick: Kick,
    /// Memory that both see.
    pub beside: Beside,
    pub tray: Tray,
    /// There is some of it.
    pub has_beside: AtomicBool,
    /// What it was forked from, if it was: it knows what that has compiled.
    pub template: OnceLock<Weak<Link>>,
    /// Held for a look-up or a move.
    state: Mutex<State>,
    /// Answers that a scheduler is to make. Held for a move.
    unmade: Mutex<VecDeque<Unmade>>,
    /// How many errands are left that hand messages on.
    mail: AtomicUsize,
    /// The guard of the worker, as long as nobody has waited for its end. Held for a signal.
    guard: Mutex<Option<Guard>>,
    /// The id that the worker has said is its own; 0 if it has not yet.
    pub os_pid: AtomicU64,
    /// It knows what is registered.
    told: AtomicBool,
    /// Why it was killed by us, if it was.
    pub killed: AtomicU8,
    pub born: Instant,
    pub wear: Wear,
    pub ahead: Ahead,
}

/// Who takes a small frame in the worker.
#[derive(Clone, Copy)]
pub enum Listener {
    /// Its main thread, which idles.
    Idle,
    /// A thread that waits for the answer to a callback, and may look there.
    Waiting,
}

/// How long an object that nobody has any more waits for others, of so many at most: the worker is told of all at once.
const TOGETHER: Duration = Duration::from_millis(1);
const MANY: usize = 64;

/// How long a worker may take.
#[derive(Clone, Copy, Default)]
pub struct Patience {
    /// To end an interrupted request.
    pub kill_after: Duration,
    /// To end by itself.
    pub stop_after: Duration,
    /// To be ready.
    pub start: Duration,
}

/// How far a worker is. It never goes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Stage {
    Starting,
    /// Its `:init` runs.
    Opening,
    Ready,
    /// It was told to end.
    Stopping,
    /// It never was ready. It says why to those who call, if there is no other worker.
    Failed,
    Ended,
}

#[derive(Default)]
struct State {
    /// What it is at: one request, and those that are nested in it.
    requests: Numbers<Arc<Request>>,
    callbacks: HashMap<u64, Weak<dyn Waits>>,
    /// Terms of ours that it has.
    kept: Numbers<OwnedTerm>,
    /// Its objects that nobody has any more.
    released: Vec<u64>,
    /// To be sent by the link's thread.
    errands: Vec<Errand>,
    /// Why it has failed.
    reason: Option<OwnedTerm>,
    /// What it has said about its end.
    report: Option<String>,
    /// It was at something when it ended.
    was_busy: bool,
    ended: bool,
}

/// The answer to a request that has ended, which a scheduler is to make.
pub struct Unmade {
    pub request: Arc<Request>,
    /// In the external term format, and nothing else.
    pub bytes: Vec<u8>,
}

/// What the link's thread does for others.
pub enum Errand {
    /// A request that is too large for a scheduler, with the callback that it is nested in.
    Send(Arc<Request>, u64),
    /// There is something in the mailbox of a request, or in that of the context.
    Mail(Option<Arc<Request>>),
    /// The answer to a callback, that is too large for a scheduler.
    Answer(u64, Encoded),
    /// To give back memory that lies idle.
    Tidy,
    /// The worker is not to see it any more.
    Forget(Arc<Shown>),
}

/// What Python waits for.
pub trait Waits: Send + Sync {
    /// Whether nobody has answered yet.
    fn is_waiting(&self) -> bool;

    /// It waits no more. `given_up`: though nobody has answered, or nobody could any more.
    fn over(&self, sender: Sender);
}

/// What a link leaves at its end.
pub struct Left {
    pub requests: Vec<Arc<Request>>,
    pub callbacks: Vec<Arc<dyn Waits>>,
    _kept: Numbers<OwnedTerm>,
    _errands: Vec<Errand>,
}

impl Link {
    pub fn new(
        pool: Arc<Pool>,
        worker: Arc<Worker>,
        owner: LocalPid,
        patience: Patience,
        wear: Wear,
    ) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let place = Arc::new(Place {
            worker: Arc::clone(&worker),
            at: Arc::clone(&worker) as _,
        });
        Link {
            number: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            pool,
            worker,
            place,
            owner,
            patience,
            stage: AtomicU8::new(Stage::Starting as u8),
            outbox: Outbox::default(),
            shared: Shared::default(),
            kick: Kick::default(),
            beside: Beside::default(),
            tray: Tray::default(),
            has_beside: AtomicBool::new(false),
            template: OnceLock::new(),
            state: Mutex::default(),
            unmade: Mutex::default(),
            mail: AtomicUsize::new(0),
            guard: Mutex::new(None),
            os_pid: AtomicU64::new(0),
            told: AtomicBool::new(false),
            killed: AtomicU8::new(0),
            born: Instant::now(),
            wear,
            ahead: Ahead::default(),
        }
    }

    /// Whether it takes requests of its pool: a spare one does not.
    pub fn serves(&self) -> bool {
        self.stage() == Stage::Ready && self.wear.has_entered()
    }

    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Starting,
            1 => Stage::Opening,
            2 => Stage::Ready,
            3 => Stage::Stopping,
            4 => Stage::Failed,
            _ => Stage::Ended,
        }
    }

    /// Says whether it was at an earlier one.
    pub fn advance(&self, stage: Stage) -> bool {
        self.stage.fetch_max(stage as u8, Ordering::AcqRel) < stage as u8
    }

    pub fn is_told(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }

    pub fn set_told(&self) {
        self.told.store(true, Ordering::Release);
    }

    pub fn is_over(&self) -> bool {
        self.stage() >= Stage::Stopping
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Sends a frame, or has it sent soon. Never waits.
    pub fn send(&self, frame: Writer) {
        // What is larger was refused when it was encoded.
        if let Some(frame) = frame.finish()
            && self.outbox.send(frame)
        {
            self.kick.kick();
        }
    }

    /// Adds a frame with a descriptor to what is to be sent.
    pub fn send_with(&self, frame: Writer, file: Arc<File>) {
        if let Some(frame) = frame.finish() {
            self.outbox.add(frame, Some(file));
        }
    }

    /// Sends a frame with terms at its end. What they refer to is kept for the worker before it has them.
    pub fn send_terms(&self, mut frame: Writer, terms: &[&Encoded]) {
        let terms = terms.iter();
        let _pins: Vec<_> = terms.map(|term| self.write(&mut frame, term)).collect();
        self.send(frame);
    }

    /// The same by the shortest way to who has asked for it. False if that was the socket.
    pub fn offer(&self, mut frame: Writer, term: &Encoded, listener: Listener) -> bool {
        let _pins = self.write(&mut frame, term);
        let put = self.put(&frame, listener);
        if !put {
            self.send(frame);
        }
        put
    }

    /// Adds a term to a frame. What this gives back is to live until that is on its way.
    fn write(&self, frame: &mut Writer, term: &Encoded) -> Option<Pins> {
        self.keep(term);
        if term.large().next().is_none() {
            term.write(frame);
            return None;
        }
        let (places, pinned) = beside::place(self, term);
        term.write_beside(frame, &places);
        Some(pinned)
    }

    /// Puts a frame into the memory that both share. False if it has to go by the socket.
    fn put(&self, frame: &Writer, listener: Listener) -> bool {
        let offer = || self.shared.offer(self.outbox.sent(), frame);
        match listener {
            Listener::Idle => offer(),
            Listener::Waiting => {
                if !self.shared.is_listening() || !offer() {
                    return false;
                }
                // Should it have stopped this moment and not seen it. What is sent is handled after it.
                if !self.shared.is_listening() {
                    self.send(Writer::frame(to_worker::NUDGE));
                }
                true
            }
        }
    }

    /// Keeps what only the VM can.
    fn keep(&self, encoded: &Encoded) {
        for (number, term) in encoded.kept() {
            let term = OwnedTerm::new(term);
            self.lock().kept.insert(number, term);
        }
    }

    pub fn kept<'a>(&self, env: Env<'a>, number: u64) -> Option<Term<'a>> {
        let kept = self.lock().kept.get(&number).cloned();
        kept.map(|term| term.in_env(env))
    }

    pub fn release_kept(&self, numbers: impl Iterator<Item = u64>) {
        let mut gone = Vec::new();
        {
            let mut state = self.lock();
            gone.extend(numbers.filter_map(|number| state.kept.remove(&number)));
        }
    }

    /// An object of the worker's that nobody has any more. By a destructor, so that many come at once.
    pub fn release(self: &Arc<Self>, number: u64) {
        let count = {
            let mut state = self.lock();
            if state.ended {
                return;
            }
            state.released.push(number);
            state.released.len()
        };
        if count == 1 {
            let link = Arc::downgrade(self);
            clock::after(TOGETHER, move |_, _| {
                link.upgrade()?.kick.kick();
                None
            });
        } else if count == MANY {
            self.kick.kick();
        }
    }

    /// The objects that nobody has any more.
    pub fn take_released(&self) -> Vec<u64> {
        std::mem::take(&mut self.lock().released)
    }

    /// Tells the worker of them.
    pub fn send_released(&self, released: &[u64]) {
        for numbers in released.chunks(10_000) {
            let mut frame = Writer::frame(to_worker::RELEASE);
            frame.u32(numbers.len() as u32);
            for &number in numbers {
                frame.u64(number);
            }
            if !self.put(&frame, Listener::Waiting) {
                self.send(frame);
            }
        }
    }

    /// Leaves something to the link's thread.
    pub fn post(&self, errand: Errand) {
        if matches!(errand, Errand::Mail(_)) {
            self.mail.fetch_add(1, Ordering::AcqRel);
        }
        // Dropped when the lock is free again.
        let _refused = {
            let mut state = self.lock();
            if state.ended {
                Some(errand)
            } else {
                state.errands.push(errand);
                None
            }
        };
        self.kick.kick();
    }

    pub fn errands(&self) -> Vec<Errand> {
        std::mem::take(&mut self.lock().errands)
    }

    /// Whether messages are left to the link's thread. What is not to overtake them is left to it as well.
    pub fn has_mail(&self) -> bool {
        self.mail.load(Ordering::Acquire) != 0
    }

    /// An errand of those is done.
    pub fn mailed(&self) {
        self.mail.fetch_sub(1, Ordering::AcqRel);
    }

    pub fn leave(&self, unmade: Unmade) {
        self.unmade.lock().push_back(unmade);
    }

    pub fn take_left(&self) -> Option<Unmade> {
        self.unmade.lock().pop_front()
    }

    /// It is at a request. False if it has ended.
    pub fn begin(&self, number: u64, request: &Arc<Request>) -> bool {
        let mut state = self.lock();
        if !state.ended {
            state.requests.insert(number, Arc::clone(request));
        }
        !state.ended
    }

    pub fn request(&self, number: u64) -> Option<Arc<Request>> {
        self.lock().requests.get(&number).cloned()
    }

    /// It is at it no more.
    pub fn end(&self, number: u64) -> Option<Arc<Request>> {
        self.lock().requests.remove(&number)
    }

    pub fn is_at(&self, number: u64) -> bool {
        self.lock().requests.contains_key(&number)
    }

    /// False if it has ended.
    pub fn add_callback(&self, number: u64, callback: Weak<dyn Waits>) -> bool {
        let mut state = self.lock();
        if !state.ended {
            state.callbacks.insert(number, callback);
        }
        !state.ended
    }

    /// Whether Python waits for something of Elixir's.
    pub fn waits(&self) -> bool {
        !self.lock().callbacks.is_empty()
    }

    /// The innermost callback that waits, if all that it is at waits for one.
    pub fn innermost(&self) -> Option<u64> {
        let (requests, callbacks) = {
            let state = self.lock();
            let callbacks = state.callbacks.iter();
            let callbacks: Vec<_> = callbacks
                .map(|(number, callback)| (*number, callback.clone()))
                .collect();
            (state.requests.len(), callbacks)
        };
        let waiting = callbacks.into_iter().filter_map(|(number, callback)| {
            let waits = callback
                .upgrade()
                .is_some_and(|callback| callback.is_waiting());
            waits.then_some(number)
        });
        let waiting: Vec<u64> = waiting.collect();
        // One that is answered goes on this moment.
        waiting
            .iter()
            .max()
            .copied()
            .filter(|_| waiting.len() >= requests)
    }

    pub fn remove_callback(&self, number: u64) -> Option<Arc<dyn Waits>> {
        // Dropped when the lock is free again.
        let removed = self.lock().callbacks.remove(&number);
        removed?.upgrade()
    }

    /// Says why it cannot start. The first reason holds.
    pub fn set_reason(&self, reason: OwnedTerm) {
        let mut state = self.lock();
        let _other = match state.reason {
            None => {
                state.reason = Some(reason);
                None
            }
            Some(_) => Some(reason),
        };
        drop(state);
    }

    pub fn reason(&self) -> Option<OwnedTerm> {
        self.lock().reason.clone()
    }

    pub fn set_report(&self, report: String) {
        self.lock().report.get_or_insert(report);
    }

    pub fn report(&self) -> Option<String> {
        self.lock().report.clone()
    }

    pub fn set_was_busy(&self) {
        self.lock().was_busy = true;
    }

    pub fn was_busy(&self) -> bool {
        self.lock().was_busy
    }

    /// Ends the template that it is to be forked from: nothing comes of it.
    pub fn end_template(&self) {
        if let Some(template) = self.template.get().and_then(Weak::upgrade) {
            template.kill(Killed::Stuck);
        }
    }

    pub fn was_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire) != 0
    }

    /// Takes nothing more, and hands back what it was at.
    pub fn close(&self) -> Left {
        self.outbox.close();
        self.beside.close();
        let mut state = self.lock();
        state.ended = true;
        let requests = std::mem::take(&mut state.requests);
        let callbacks = std::mem::take(&mut state.callbacks);
        let kept = std::mem::take(&mut state.kept);
        let errands = std::mem::take(&mut state.errands);
        drop(state);
        Left {
            requests: requests.into_values().collect(),
            callbacks: callbacks.values().filter_map(Weak::upgrade).collect(),
            _kept: kept,
            _errands: errands,
        }
    }

    /// The guard that was started for it. Told to end at once if that is what becomes of it.
    pub fn set_guard(&self, guard: Guard) {
        *self.guard.lock() = Some(guard);
        if self.killed.load(Ordering::Acquire) != 0 {
            self.end_process();
        }
    }

    /// Kills the worker and all that it has started.
    pub fn kill(&self, why: Killed) {
        let _ = self
            .killed
            .compare_exchange(0, why as u8, Ordering::AcqRel, Ordering::Relaxed);
        self.end_process();
    }

    /// Kills the worker if it still is at this request. It begins no other one then.
    pub fn kill_if_at(&self, number: u64) {
        {
            let state = self.lock();
            if !state.requests.contains_key(&number) {
                return;
            }
            let _ = self.killed.compare_exchange(
                0,
                Killed::Stuck as u8,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
        }
        self.end_process();
    }

    /// Has the guard kill all that it guards.
    fn end_process(&self) {
        let guard = self.guard.lock();
        if let Some(guard) = &*guard {
            guard.end();
        }
    }

    /// Forgets the guard: its end is about to be waited for.
    pub fn forget_guard(&self) -> Option<Guard> {
        self.guard.lock().take()
    }
}

/// Why a worker is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Killed {
    /// It was at a request that was given up and did not end.
    Stuck = 1,
    /// What it has sent is broken.
    Broken = 2,
    /// It has not come up, or not gone, in time.
    Late = 3,
}
