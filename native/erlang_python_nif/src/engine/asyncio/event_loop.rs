//! An event loop, as others reach it: on any thread, also on a scheduler.

use crate::base::Location;
use crate::base::clock;
use crate::base::lock::Mutex;
use crate::base::lookout::Luck;
use crate::base::term_env::Sender;
use crate::base::waker::Waker;
use crate::engine::asyncio::blocked;
use crate::engine::asyncio::hold::{self, Hold};
use crate::engine::main::awaiting::Awaited;
use crate::engine::main::interrupt;
use crate::engine::main::runner::Runner;
use crate::pool::marks::{INTERRUPTED, POSTED, REFUSES};
use crate::pool::request::Request;
use crate::pool::worker::Taker;
use crate::pool::{Pool, Worker};
use crate::python::interpreter::GilCell;
use pyo3::prelude::*;
use std::collections::{HashMap, VecDeque};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

/// How long a loop may take to a letter before what holds it up is interrupted.
pub const BUSY: Duration = Duration::from_millis(10);

/// How long that may take from one look to the next, while it does one step after the other.
const LONG: Duration = Duration::from_millis(160);

/// How long a task that was cancelled has for its `finally` blocks until it is cancelled again, while nothing holds the
/// loop up. Somewhat less than the pause between two letters (`pool::watch`).
const ENDS: Duration = Duration::from_millis(900);

/// How many turns of a loop later a task that was cancelled has surely been told.
const DELIVERED: usize = 2;

/// How often in a row a loop takes what has come without a look at its descriptors.
const UNSEEN: usize = 16;

/// A task that has been cancelled so often, and goes on, refuses to end.
const REFUSALS: u32 = 2;

pub struct Loop {
    pub id: u64,
    waker: Waker,
    luck: Luck,
    /// Something has ended since it has looked out last, so that more may come at once.
    expects: AtomicBool,
    /// How often it has taken what it has looked out for without a look at its descriptors.
    taken: AtomicUsize,
    /// Held for a push, or to take all.
    letters: Mutex<Vec<Letter>>,
    /// How often it has looked for letters and requests.
    turns: AtomicUsize,
    pub of: OnceLock<Of>,
    /// How many steps of tasks it has begun and done, those within others left out.
    steps: AtomicUsize,
    /// The address of the request that it does a step of, or 0.
    at: AtomicUsize,
    /// How many steps it is in. Changed on its thread.
    depth: AtomicUsize,
    born: Instant,
    /// When it was rung after its last look, in µs of its life.
    rung: AtomicU64,
    /// For how many µs it has not looked though it was rung.
    held: AtomicU64,
    /// Whether it runs, or why it does not. Set once it is known.
    pub started: OnceLock<Result<(), String>>,
    /// It is to end.
    pub stops: AtomicBool,
    /// Its thread has ended.
    pub ended: AtomicBool,
    /// The tasks of its requests, by the addresses of these.
    tasks: GilCell<HashMap<usize, Kept>>,
    /// The thread that it runs on, until it ends.
    pub runner: GilCell<Option<Arc<Runner>>>,
    /// See `blocked`.
    pub watched: AtomicBool,
    pub hold: Hold,
    /// What its code waits for.
    pub waiting: GilCell<Waiting>,
    /// The loop in Python.
    pub object: GilCell<Option<Py<PyAny>>>,
}

/// Whose loop it is, and what is asked of it.
pub struct Of {
    pub pool: Weak<Pool>,
    pub worker: Weak<Worker>,
    /// No other loop has the same queue.
    pub alone: bool,
    /// How long code may hold it up until it is said where. None: for ever.
    pub block_warning: Option<Duration>,
    /// How long its tasks have to end.
    pub patience: Duration,
}

#[derive(Default)]
pub struct Waiting {
    last: u64,
    /// Futures by their numbers, and what they are for.
    futures: HashMap<u64, (Py<PyAny>, Arc<dyn Awaited>)>,
    /// Futures by the mailboxes that they wait for.
    mail: HashMap<usize, VecDeque<Py<PyAny>>>,
}

/// What a loop is told.
pub enum Letter {
    /// Nobody waits for the request any more; whether it was interrupted before that was said.
    Cancel(Arc<Request>, bool),
    /// What the future of this number waits for is settled.
    Settled(u64),
    /// Something is in this mailbox.
    Mail(usize),
    /// What the request has printed is written, so that it can end.
    Written(Arc<Request>),
}

impl Loop {
    pub fn new(id: u64) -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(Loop {
            id,
            waker: Waker::new()?,
            luck: Luck::new(),
            expects: AtomicBool::new(false),
            taken: AtomicUsize::new(0),
            letters: Mutex::new(Vec::new()),
            turns: AtomicUsize::new(0),
            of: OnceLock::new(),
            steps: AtomicUsize::new(0),
            at: AtomicUsize::new(0),
            depth: AtomicUsize::new(0),
            born: Instant::now(),
            rung: AtomicU64::new(0),
            held: AtomicU64::new(0),
            started: OnceLock::new(),
            stops: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            tasks: GilCell::new(HashMap::new()),
            runner: GilCell::new(None),
            watched: AtomicBool::new(false),
            hold: Hold::default(),
            waiting: GilCell::new(Waiting::default()),
            object: GilCell::new(None),
        }))
    }

    /// What the loop watches.
    pub fn descriptor(&self) -> RawFd {
        self.waker.descriptor()
    }

    /// A number that changes as long as it goes on: with each turn, and each step in a long one.
    pub fn progress(&self) -> usize {
        let steps = self.steps.load(Ordering::Relaxed);
        self.turns.load(Ordering::SeqCst).wrapping_add(steps)
    }

    /// It does something that takes a moment, such as a step of a task.
    pub fn stepped(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// A step of the request at this address begins. Gives the one that it was at. On its thread, as the next one.
    pub fn begin_step(&self, request: usize) -> usize {
        let depth = self.depth.load(Ordering::Relaxed);
        self.depth.store(depth + 1, Ordering::Relaxed);
        if depth == 0 {
            self.stepped();
        }
        self.at.swap(request, Ordering::Relaxed)
    }

    pub fn end_step(&self, before: usize) {
        self.at.store(before, Ordering::Relaxed);
        let depth = self.depth.load(Ordering::Relaxed).saturating_sub(1);
        self.depth.store(depth, Ordering::Relaxed);
        if depth == 0 {
            self.stepped();
        }
    }

    /// Whether it does a step of this request.
    pub fn is_at(&self, request: &Arc<Request>) -> bool {
        self.at.load(Ordering::Relaxed) == key(request)
    }

    /// Where the code of its thread is.
    pub fn location(&self, py: Python<'_>) -> Option<Location> {
        let runner = self.runner.with(py, |runner| runner.clone())?;
        // SAFETY: it is taken away with the GIL, before the thread ends.
        unsafe { runner.any_frame(py) }?.location()
    }

    /// Has it look for letters and requests. Never waits.
    pub fn ring(&self) {
        if self.waker.ring() {
            self.rung.store(self.age(), Ordering::Relaxed);
        }
    }

    /// Something is about to come, or may be. On its thread.
    pub fn expect(&self) {
        self.expects.store(true, Ordering::Relaxed);
    }

    /// For the loop itself, before it waits: looks out for what is expected. True if it is to take that at once, without
    /// a look at its descriptors.
    pub fn looks_out(&self, py: Python<'_>) -> bool {
        // An exception may have struck before it could take what it had looked out for: its descriptor never tells.
        if self.waker.is_unheard() {
            return true;
        }
        if !self.expects.load(Ordering::Relaxed) {
            return false;
        }
        let taken = self.taken.load(Ordering::Relaxed);
        // Those are not to wait for long.
        if taken < UNSEEN {
            self.expects.store(false, Ordering::Relaxed);
            if py.detach(|| self.waker.look_out(&self.luck)) {
                self.taken.store(taken + 1, Ordering::Relaxed);
                return true;
            }
        }
        self.taken.store(0, Ordering::Relaxed);
        false
    }

    /// Its descriptor is to be readable, although it has been rung before.
    pub fn ring_again(&self) {
        self.waker.write();
    }

    fn age(&self) -> u64 {
        self.born.elapsed().as_micros() as u64
    }

    pub fn post(&self, letter: Letter) {
        self.letters.lock().push(letter);
        self.ring();
    }

    /// For the loop itself: it looks.
    pub fn look(&self) -> Vec<Letter> {
        self.turns.fetch_add(1, Ordering::SeqCst);
        // It may look unasked, too.
        let rung = self.rung.swap(u64::MAX, Ordering::Relaxed);
        let held = self.age().saturating_sub(rung);
        self.held.fetch_add(held, Ordering::Relaxed);
        self.waker.heard();
        std::mem::take(&mut *self.letters.lock())
    }

    /// Ends the task of a request that nobody waits for, and interrupts it if it holds the loop up.
    pub fn cancel(self: &Arc<Self>, request: Arc<Request>) {
        let turn = self.turns.load(Ordering::SeqCst);
        let mut seen = self.progress();
        let own = Arc::clone(self);
        let cancelled = Arc::clone(&request);
        let interrupted = request.marks.has(INTERRUPTED);
        // It is asked again and again, and may not look for long.
        if !request.marks.set(POSTED) {
            self.post(Letter::Cancel(request, interrupted));
        }
        hold::suspect(self);
        let (mut pause, mut posted) = (BUSY, None);
        clock::after(BUSY, move |_, _| {
            if own.turns.load(Ordering::SeqCst) != turn || cancelled.place().is_none() {
                return None;
            }
            let progress = own.progress();
            // Code that does not hold it up is not to be struck in its place, be it of this very request: what it
            // shares with others, such as a lock, may be in the middle of a change.
            let at = own.at.load(Ordering::Relaxed);
            if posted.is_some_and(|posted| posted == progress || cancelled.marks.struck()) {
                return None;
            }
            if progress == seen && (at == 0 || at == key(&cancelled)) {
                let own = Arc::clone(&own);
                let goes_on = move || own.progress() == progress;
                interrupt::post_while(Arc::clone(&cancelled), Box::new(goes_on));
                posted = Some(progress);
            }
            // It is in a long turn, and comes to the letter after that: thousands may have been cancelled.
            seen = progress;
            pause = LONG.min(pause * 2);
            Some(pause)
        });
    }

    /// A request has a task from now on.
    pub fn keep(&self, py: Python<'_>, request: &Arc<Request>, task: Py<PyAny>) {
        let kept = Kept {
            task,
            // It was interrupted in its first step, or is to be cancelled.
            ending: request.marks.struck().then(|| self.ending(1)),
        };
        let before = self
            .tasks
            .with(py, |tasks| tasks.insert(key(request), kept));
        drop(before);
    }

    /// The task of a request, which is to be cancelled, if it is time for that. `struck`: it was interrupted, which is
    /// as good.
    pub fn task_to_cancel<'py>(
        &self,
        py: Python<'py>,
        request: &Arc<Request>,
        struck: bool,
    ) -> Option<Bound<'py, PyAny>> {
        self.tasks.with(py, |tasks| {
            let kept = tasks.get_mut(&key(request))?;
            let times = match &kept.ending {
                // Its `finally` blocks are at work, or have not even begun.
                Some(ending) if !self.is_over(ending) => return None,
                Some(ending) => ending.times + 1,
                None => 1,
            };
            if times > REFUSALS {
                request.marks.set(REFUSES);
            }
            kept.ending = Some(self.ending(times));
            (!struck).then(|| kept.task.bind(py).clone())
        })
    }

    /// How often the task of a request was told to end.
    pub fn told(&self, py: Python<'_>, request: &Arc<Request>) -> u32 {
        self.tasks.with(py, |tasks| {
            let kept = tasks.get(&key(request));
            kept.and_then(|kept| kept.ending.as_ref())
                .map_or(0, |ending| ending.times)
        })
    }

    fn ending(&self, times: u32) -> Ending {
        Ending {
            since: self.time_turning(),
            turn: self.turns.load(Ordering::SeqCst),
            times,
        }
    }

    fn is_over(&self, ending: &Ending) -> bool {
        let turns = self.turns.load(Ordering::SeqCst).wrapping_sub(ending.turn);
        turns >= DELIVERED && self.time_turning().saturating_sub(ending.since) >= ENDS
    }

    /// How long it has lived without being held up.
    fn time_turning(&self) -> Duration {
        let held = self.held.load(Ordering::Relaxed);
        Duration::from_micros(self.age().saturating_sub(held))
    }

    /// It has ended.
    pub fn forget(&self, py: Python<'_>, request: &Arc<Request>) {
        let task = self.tasks.with(py, |tasks| tasks.remove(&key(request)));
        drop(task);
    }
}

/// The task of a request.
struct Kept {
    task: Py<PyAny>,
    ending: Option<Ending>,
}

/// It was told to end.
struct Ending {
    /// See `time_turning`.
    since: Duration,
    /// In which turn of the loop.
    turn: usize,
    times: u32,
}

fn key(request: &Arc<Request>) -> usize {
    Arc::as_ptr(request) as usize
}

impl Waiting {
    /// A number for a future.
    pub fn add(&mut self, future: Py<PyAny>, awaited: Arc<dyn Awaited>) -> u64 {
        self.last += 1;
        self.futures.insert(self.last, (future, awaited));
        self.last
    }

    pub fn take(&mut self, number: u64) -> Option<(Py<PyAny>, Arc<dyn Awaited>)> {
        self.futures.remove(&number)
    }

    pub fn add_mail(&mut self, mailbox: usize, future: Py<PyAny>) {
        self.mail.entry(mailbox).or_default().push_back(future);
    }

    /// The next one that waits for a mailbox.
    pub fn take_mail(&mut self, mailbox: usize) -> Option<Py<PyAny>> {
        let waiting = self.mail.get_mut(&mailbox)?;
        let next = waiting.pop_front();
        if waiting.is_empty() {
            self.mail.remove(&mailbox);
        }
        next
    }
}

impl Taker for Loop {
    fn take(self: Arc<Self>, _sender: Sender) {
        blocked::watch(&self);
        if self.of.get().is_some_and(|of| !of.alone) {
            self.pass_on_later();
        }
        self.ring();
    }
}

impl Loop {
    /// Should it be held up, what it was woken for is for the others.
    fn pass_on_later(self: &Arc<Self>) {
        let own = Arc::clone(self);
        let seen = self.turns.load(Ordering::SeqCst);
        clock::after(BUSY, move |sender, _| {
            let of = own.of.get()?;
            if own.turns.load(Ordering::SeqCst) == seen {
                of.pool.upgrade()?.pass_on(&*of.worker.upgrade()?, sender);
            }
            None
        });
    }
}
