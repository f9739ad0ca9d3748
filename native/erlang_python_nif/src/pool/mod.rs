//! Which request runs next, and who has to be woken for it.
//!
//! Every lock in this file is held for a few instructions and never while the GIL is waited for,
//! so schedulers may take them.

pub mod elsewhere;
pub mod ending;
pub mod engine;
pub mod extras;
pub mod growth;
pub mod handles;
pub mod lanes;
pub mod look;
pub mod marks;
pub mod queue;
pub mod registry;
pub mod request;
pub mod sink;
pub mod stats;
pub mod stream;
pub mod stuck;
pub mod ticket;
pub mod watch;
pub mod worker;

use crate::base::apart::Apart;
use crate::base::atoms;
use crate::base::clock;
use crate::base::flags::Flags;
use crate::base::lock::{Mutex, MutexGuard};
use crate::base::lookout::{Lookout, Mark};
use crate::base::mailbox::Mailbox;
use crate::base::sleepers::{Sleepers, Wake};
use crate::base::term_env::{SavedTerm, Sender, TermEnv};
use crate::pool::engine::Engine;
use crate::pool::queue::{ANY, Popped, Queue, Refused, Then};
use crate::pool::request::Request;
use crate::pool::stats::{Counted, Stats};
use crate::pool::stuck::{Report, Stays, Stuck};
use crate::pool::worker::HELPER;
use rustler::{Encoder, LocalPid};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

pub type Worker = crate::pool::worker::Worker<Request>;

/// How many threads help a pool at the same time, at most. Beyond that, calls wait for what the others wait
/// for, and for their timeouts.
const MOST_HELPERS: usize = 128;

/// When to try again to start a thread where there was none to be had.
const HELP: Duration = Duration::from_millis(100);

type Requests = Queue<Arc<Request>, Arc<Worker>>;

/// A pool's queue with its workers, as native code sees them.
pub struct Pool {
    queue: Apart<Mutex<Requests>>,
    /// All that have joined and still exist.
    workers: Mutex<Vec<Weak<Worker>>>,
    /// How many workers wait for callbacks.
    blocked: AtomicUsize,
    /// How many bodies of `with` its workers wait for.
    holds: AtomicUsize,
    /// Set before the workers are asked what they run: who begins with something looks here then.
    closed: AtomicBool,
    /// The `Python.Pool` process. It is told of workers that no longer count.
    pub owner: LocalPid,
    /// The option `:decode` of its calls, where they have none.
    settings: AtomicU16,
    /// What handles to its objects bear: its name, or the process of a context. An atom or a local pid,
    /// which needs no environment.
    pub home: SavedTerm,
    /// How long a call may take that does not say so itself, in ms. None: for ever.
    pub timeout: Option<u64>,
    /// What was sent to a context with `Python.send`.
    pub mailbox: Mailbox,
    /// A context's thread that waits for a callback, and takes what is handed in meanwhile.
    pub sleepers: Sleepers,
    /// A context: it has one thread for life.
    pub pinned: bool,
    pub engine: Box<dyn Engine>,
    /// What may be stuck. Held for a push or a copy.
    stuck: Mutex<Vec<Weak<dyn Stays>>>,
    /// Whether errors of calls that do not say so themselves keep what their frames hold.
    pub keep_locals: AtomicBool,
    pub stats: Stats,
    pub lookout: Apart<Lookout>,
}

/// What became of a request that was handed in.
pub enum Submitted {
    Queued,
    Overloaded,
    Closed,
}

/// What a worker is to do next.
pub enum Next {
    Run(Arc<Request>),
    /// Nothing waits; the worker counts as coming, and is to look out for more without the GIL.
    LookOut(Mark),
    /// Nothing waits; the worker counts as idle from now on and will be woken.
    Idle,
    /// The pool is gone or the worker was replaced.
    Stop,
}

/// What a pool is made with.
pub struct Settings {
    pub max_queue: usize,
    pub pinned: bool,
    pub engine: Box<dyn Engine>,
    pub home: SavedTerm,
    pub timeout: Option<u64>,
    /// Its `:init` comes before all else.
    pub held: bool,
}

impl Pool {
    pub fn settings(&self) -> u16 {
        self.settings.load(Ordering::Relaxed)
    }

    /// Whether errors of a call keep what their frames hold: as the call says, or else as the pool does.
    pub fn keeps_locals(&self, flags: Flags) -> bool {
        let own = flags.keep_locals();
        own.unwrap_or_else(|| self.keep_locals.load(Ordering::Relaxed))
    }

    /// Before its first call.
    pub fn set_settings(&self, settings: u16) {
        self.settings.store(settings, Ordering::Relaxed);
    }

    pub fn new(owner: LocalPid, settings: Settings) -> Self {
        let Settings {
            max_queue,
            pinned,
            engine,
            home,
            timeout,
            held,
        } = settings;
        let mut queue = Queue::new(max_queue, held);
        if engine.counts_running() {
            queue.count_running();
        }
        Pool {
            queue: Apart::new(Mutex::new(queue)),
            home,
            timeout,
            workers: Mutex::default(),
            blocked: AtomicUsize::new(0),
            holds: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            settings: AtomicU16::new(0),
            keep_locals: AtomicBool::new(false),
            owner,
            mailbox: Mailbox::default(),
            sleepers: Sleepers::default(),
            pinned,
            engine,
            stuck: Mutex::default(),
            stats: Stats::default(),
            lookout: Apart::default(),
        }
    }

    pub fn submit(self: &Arc<Self>, request: Arc<Request>, sender: Sender) -> Submitted {
        if self.is_jammed() {
            return Submitted::Overloaded;
        }
        let (pushed, asked) = {
            let mut queue = self.lock();
            (queue.push(request), queue.extras.take_asked())
        };
        if asked {
            self.watch_growth();
        }
        self.pushed(pushed, sender)
    }

    /// Lets requests be pinned to a worker that has joined (`Request::pin_to`), until it is removed.
    pub fn open_lane(&self, worker: &Arc<Worker>) {
        self.lock().open_lane(worker);
    }

    /// A request that was taken has ended (`Engine::counts_running`).
    pub fn ended(&self) {
        self.lock().ended();
    }

    /// Whether as many calls are stuck as may be.
    pub fn is_jammed(&self) -> bool {
        let most = self.stats.max_stuck.load(Ordering::Relaxed);
        most > 0 && self.stats.stuck.load(Ordering::Relaxed) >= most
    }

    /// The pool's `:init`, which comes before all else.
    pub fn submit_first(self: &Arc<Self>, request: Arc<Request>, sender: Sender) -> Submitted {
        let pushed = self.lock().push_first(request);
        self.pushed(pushed, sender)
    }

    /// Lets what waits run: its `:init` is done.
    pub fn open(self: &Arc<Self>, sender: Sender) {
        let wake = self.lock().open();
        self.lookout.tell();
        self.sleepers.wake();
        for worker in wake {
            self.wake(worker, sender);
        }
    }

    fn pushed(
        self: &Arc<Self>,
        pushed: Result<Option<Arc<Worker>>, Refused<Arc<Request>>>,
        sender: Sender,
    ) -> Submitted {
        self.lookout.tell();
        self.sleepers.wake();
        match pushed {
            Ok(Some(worker)) => {
                self.wake(worker, sender);
                Submitted::Queued
            }
            Ok(None) => {
                self.help_if_needed();
                Submitted::Queued
            }
            Err(Refused::Full) => Submitted::Overloaded,
            Err(Refused::Closed) => Submitted::Closed,
            Err(Refused::Gone(request)) => {
                self.engine.lost(&request, sender);
                Submitted::Queued
            }
        }
    }

    /// Puts a request into the queue even if that is full. For what must be done and cannot be
    /// refused to anybody.
    pub fn submit_anyway(self: &Arc<Self>, request: Arc<Request>, sender: Sender) -> Submitted {
        let pushed = self.lock().push_anyway(request);
        self.pushed(pushed, sender)
    }

    /// Counts a worker as waiting for a callback, while the result lives.
    pub fn block(self: &Arc<Self>) -> Blocked {
        self.blocked.fetch_add(1, Ordering::AcqRel);
        self.help_if_needed();
        Blocked {
            pool: Arc::clone(self),
            request: None,
        }
    }

    /// Counts a body of a `with`, while the result lives.
    pub fn hold(&self) -> Counted<'_> {
        Counted::new(&self.holds)
    }

    /// The same for an engine that counts them itself.
    pub fn hold_begins(&self) {
        self.holds.fetch_add(1, Ordering::Relaxed);
    }

    pub fn hold_ends(&self) {
        self.holds.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether it is a context whose thread is for the body of a `with` alone.
    pub fn is_reserved(&self) -> bool {
        self.pinned && self.holds.load(Ordering::Relaxed) > 0
    }

    /// The same for a request whose threads wait: once, however many they are.
    pub fn block_for(self: &Arc<Self>, request: &Arc<Request>) -> Blocked {
        if request.threads_waiting.fetch_add(1, Ordering::AcqRel) == 0 {
            self.blocked.fetch_add(1, Ordering::AcqRel);
        }
        self.help_if_needed();
        Blocked {
            pool: Arc::clone(self),
            request: Some(Arc::clone(request)),
        }
    }

    /// For an engine whose helpers do no more than one thing.
    pub fn ask_for_help(self: &Arc<Self>) {
        self.help_if_needed();
    }

    /// If something waits and all workers wait for callbacks, one more worker is started: what they
    /// wait for may be behind what waits here.
    fn help_if_needed(self: &Arc<Self>) {
        if self.needs_help() {
            let pool = Arc::downgrade(self);
            clock::after(Duration::ZERO, move |_, _| help(&pool.upgrade()?));
        }
    }

    fn needs_help(&self) -> bool {
        let blocked = self.blocked.load(Ordering::Acquire);
        if blocked == 0 || self.pinned || self.is_closed() {
            return false;
        }
        let mut able = self.living_workers();
        able.retain(|worker| !worker.is_stopped());
        let workers = able.len();
        if able.iter().filter(|worker| worker.id == 0).count() >= MOST_HELPERS {
            return false;
        }
        let queue = self.lock();
        // What waits for one worker alone may do so for one that waits.
        queue.has_pinned()
            || blocked + queue.extras.in_reserve() >= workers
                && queue.live > 0
                && !queue.held
                && queue.coming == 0
                && queue.idle.is_empty()
    }

    /// Whether all workers wait for callbacks.
    pub fn is_blocked(&self) -> bool {
        let mut able = self.living_workers();
        able.retain(|worker| !worker.is_stopped());
        self.blocked.load(Ordering::Acquire) >= able.len()
    }

    /// The next request that waits, claimed, for a thread that is going to run it on top of what it
    /// runs.
    pub fn take_waiting(&self) -> Option<Arc<Request>> {
        self.take_waiting_for(ANY)
    }

    /// The same for a worker that requests can be pinned to.
    pub fn take_waiting_for(&self, worker: u64) -> Option<Arc<Request>> {
        let (request, _gone) = {
            let mut queue = self.lock();
            (queue.take(worker), std::mem::take(&mut queue.gone))
        };
        request
    }

    /// The next request that only this worker can run.
    pub fn take_pinned(&self, worker: u64) -> Option<Arc<Request>> {
        let (request, _gone) = {
            let mut queue = self.lock();
            (queue.take_pinned(worker), std::mem::take(&mut queue.gone))
        };
        request
    }

    /// How many wait in the queue for any worker, and how many were offered to workers.
    pub fn line(&self) -> (usize, usize) {
        let queue = self.lock();
        (queue.live, queue.ahead)
    }

    /// Offers the first request to a worker that is at something, if `may` and nobody is free for it. `dropped`: what is to
    /// be dropped without a lock.
    pub fn take_ahead(
        &self,
        may: impl Fn(&Arc<Request>) -> bool,
        dropped: &mut Vec<Arc<Request>>,
    ) -> Option<Arc<Request>> {
        let mut queue = self.lock();
        let request = queue.take_ahead(|request| may(request).then(|| request.offer()));
        dropped.append(&mut queue.gone);
        request
    }

    /// One that was offered runs, or has ended.
    pub fn taken_ahead(&self) {
        self.lock().ahead -= 1;
    }

    /// Puts back what was offered, the last one first.
    pub fn put_back(
        self: &Arc<Self>,
        requests: impl IntoIterator<Item = Arc<Request>>,
        sender: Sender,
    ) {
        for request in requests {
            let (wake, over) = self.lock().put_back(request, |request| {
                request.leave_offered();
            });
            if let Some(over) = over {
                // The pool was closed, if it is not that nobody waits for it.
                over.answer(sender, &mut TermEnv::new(), |env| {
                    (atoms::error(), atoms::closed()).encode(env)
                });
            } else if let Some(worker) = wake {
                self.wake(worker, sender);
            } else {
                self.help_if_needed();
            }
        }
    }

    /// Makes a new worker known. What it runs when the pool closes is ended.
    pub fn join(&self, worker: &Arc<Worker>) {
        let mut workers = self.workers();
        workers.retain(|worker| worker.strong_count() > 0);
        workers.push(Arc::downgrade(worker));
    }

    /// An idle worker has come by itself.
    pub fn has_come(&self, worker: &Arc<Worker>) {
        let mut queue = self.lock();
        queue.idle.retain(|idle| !Arc::ptr_eq(idle, worker));
    }

    /// A worker that was woken does not come: it is held up. What waits is for another one, if any is idle.
    pub fn pass_on(self: &Arc<Self>, worker: &Worker, sender: Sender) {
        let wake = {
            let mut queue = self.lock();
            queue.arrived(worker);
            queue.whom_to_wake()
        };
        if let Some(other) = wake {
            self.wake(other, sender);
        }
    }

    /// Counts a woken worker as arrived.
    pub fn arrived(&self, worker: &Worker) {
        self.lock().arrived(worker);
    }

    /// What the worker is to do. To be asked once it holds the GIL: it has arrived now, and until then others
    /// need not be woken for what it is going to run. `idle`: it has looked out in vain.
    pub fn next(self: &Arc<Self>, worker: &Arc<Worker>, sender: Sender, idle: bool) -> Next {
        if worker.is_stopped() {
            self.arrived(worker);
            return Next::Stop;
        }
        let mark = self.lookout.mark();
        let then = if idle { Then::Idle } else { Then::LookOut };
        let popped = self.pop(worker, |queue| queue.pop(worker, then));
        match popped {
            Popped::Request(request, wake) => {
                if let Some(other) = wake {
                    self.wake(other, sender);
                }
                Next::Run(request)
            }
            Popped::Nothing(Then::LookOut) => Next::LookOut(mark),
            Popped::Nothing(Then::Idle) | Popped::Rests(_) => Next::Idle,
            Popped::Closed => Next::Stop,
        }
    }

    /// What a worker that has arrived takes out of the queue.
    fn pop(
        self: &Arc<Self>,
        worker: &Arc<Worker>,
        pop: impl FnOnce(&mut Requests) -> Popped<Arc<Request>, Arc<Worker>>,
    ) -> Popped<Arc<Request>, Arc<Worker>> {
        let (popped, gone, asked) = {
            let mut queue = self.lock();
            queue.arrived(worker);
            let popped = pop(&mut queue);
            let asked = queue.extras.take_asked();
            (popped, std::mem::take(&mut queue.gone), asked)
        };
        drop(gone);
        if asked {
            self.watch_growth();
        }
        popped
    }

    /// The place of an idle worker, for a caller that runs its request itself. None while anybody else
    /// is at work: many at once would fight for the GIL, and are better served by the queue.
    pub fn borrow(&self) -> Option<Arc<Worker>> {
        if self.stats.busy.load(Ordering::Relaxed) > 0 || self.is_jammed() {
            return None;
        }
        self.lock().borrow(|worker| worker.is_process())
    }

    /// Whether nobody is at work, nor looks out for more.
    pub fn is_asleep(&self) -> bool {
        self.stats.busy.load(Ordering::Relaxed) == 0 && self.lock().coming == 0
    }

    /// Takes a worker's place back.
    pub fn give_back(self: &Arc<Self>, worker: Arc<Worker>, sender: Sender) {
        // Replaced meanwhile, its process is to end.
        let wake = if worker.is_stopped() {
            Some(worker)
        } else {
            self.lock().give_back(worker)
        };
        if let Some(worker) = wake {
            self.wake(worker, sender);
        }
    }

    /// A request was cancelled and takes no place any more, if it was in the queue.
    pub fn forget(&self, request: &Request) {
        // They are dropped when the lock is free again.
        let _forgotten = self.lock().forget(request);
    }

    /// Takes a worker from those that wait for something to do. False if it was not among them.
    pub fn take_idle(&self, worker: &Arc<Worker>) -> bool {
        let mut queue = self.lock();
        let idle = &mut queue.idle;
        let at = idle.iter().position(|idle| Arc::ptr_eq(idle, worker));
        at.map(|at| idle.remove(at)).is_some()
    }

    /// A worker was replaced that has more to do: it takes nothing but what is pinned to it, until it is removed.
    pub fn retire(self: &Arc<Self>, worker: &Arc<Worker>, sender: Sender) {
        let wake = {
            let mut queue = self.lock();
            queue.retire(worker);
            queue.idle.retain(|idle| !Arc::ptr_eq(idle, worker));
            queue.arrived(worker);
            queue.whom_to_wake()
        };
        if let Some(other) = wake {
            self.wake(other, sender);
        }
    }

    /// Takes a worker out: its process is gone, or it was replaced. A wake-up that it can no
    /// longer follow goes to another one. What only it could have run is answered (`Engine::lost`).
    pub fn remove(self: &Arc<Self>, worker: &Arc<Worker>, sender: Sender) {
        let (wake, pinned) = {
            let mut queue = self.lock();
            let pinned = queue.remove(worker);
            queue.idle.retain(|idle| !Arc::ptr_eq(idle, worker));
            queue.arrived(worker);
            (queue.whom_to_wake(), pinned)
        };
        for (_, request) in &pinned {
            self.engine.lost(request, sender);
        }
        // Should it look out for more.
        self.lookout.tell();
        match wake {
            Some(other) => self.wake(other, sender),
            // It may have been the one that was to do what the others wait for.
            None => self.help_if_needed(),
        }
    }

    /// Refuses further requests and hands back those that wait and those that run.
    pub fn close(&self, sender: Sender) -> Closed {
        let (waiting, idle) = self.lock().close();
        for worker in idle {
            worker.wake(sender);
        }
        self.closed.store(true, Ordering::Release);
        self.engine.closing(sender);
        self.lookout.tell();
        for worker in self.living_workers() {
            worker.stop();
        }
        Closed {
            waiting,
            running: self.running(),
        }
    }

    /// What its workers run.
    pub fn running(&self) -> Vec<Arc<Request>> {
        self.living_workers()
            .iter()
            .flat_map(|worker| worker.current())
            .collect()
    }

    /// For each worker that counts: whether it runs anything, and how many requests it has begun.
    pub fn work(&self) -> Vec<(bool, u64)> {
        self.living_workers()
            .iter()
            .filter(|worker| !worker.is_stopped() && worker.id != HELPER)
            .map(|worker| worker.work())
            .collect()
    }

    /// Counts a request that does not end though it was interrupted.
    pub fn count_stuck(&self, request: &Arc<Request>) {
        if request.is_stuck() {
            let stays: Arc<dyn Stays> = request.clone();
            self.remember_stuck(&stays);
        }
    }

    /// The same for a thread, which runs none, until `end_stuck`.
    pub fn count_stuck_thread(&self, thread: &Arc<dyn Stays>) {
        if !thread.stuck().begin() {
            self.stats.stuck.fetch_add(1, Ordering::SeqCst);
            self.remember_stuck(thread);
        }
    }

    pub fn end_stuck(&self, stuck: &Stuck) {
        if stuck.end() {
            self.stats.stuck.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn remember_stuck(&self, stays: &Arc<dyn Stays>) {
        let mut stuck = self.stuck.lock();
        // When it would grow: there may be thousands.
        if stuck.len() == stuck.capacity() {
            stuck.retain(|stays| stays.strong_count() > 0);
        }
        stuck.push(Arc::downgrade(stays));
    }

    /// What is stuck, the oldest first.
    pub fn stuck(&self) -> Vec<Report> {
        let stuck = self.stuck.lock().clone();
        let stuck = stuck.iter().filter_map(Weak::upgrade);
        stuck.filter_map(|stays| stays.stuck().report()).collect()
    }

    fn living_workers(&self) -> Vec<Arc<Worker>> {
        self.workers().iter().filter_map(Weak::upgrade).collect()
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub fn queued(&self) -> usize {
        self.lock().waiting()
    }

    fn wake(self: &Arc<Self>, worker: Arc<Worker>, sender: Sender) {
        // A worker whose process is gone cannot come: the next one does.
        if !worker.wake(sender) {
            self.remove(&worker, sender);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<Arc<Request>, Arc<Worker>>> {
        // Nothing in the queue's methods can panic half-way, so a poisoned lock is still whole.
        self.queue.lock()
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Weak<Worker>>> {
        self.workers.lock()
    }
}

impl Wake for Pool {
    fn wake(&self) {
        self.mailbox.wake();
    }
}

/// Starts one more worker for a pool, if it still needs one: others may have asked for the same. Should there be
/// no thread to be had, tries again later.
fn help(pool: &Arc<Pool>) -> Option<Duration> {
    let helped = !pool.needs_help() || pool.engine.spawn_helper(Arc::clone(pool)).is_ok();
    (!helped).then_some(HELP)
}

/// What a pool was at when it closed.
pub struct Closed {
    pub waiting: Vec<Arc<Request>>,
    pub running: Vec<Arc<Request>>,
}

/// A worker that waits for a callback.
pub struct Blocked {
    pool: Arc<Pool>,
    /// The request whose threads wait, if it is not its own thread that does.
    request: Option<Arc<Request>>,
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let last = self
            .request
            .as_ref()
            .is_none_or(|request| request.threads_waiting.fetch_sub(1, Ordering::AcqRel) == 1);
        if last {
            self.pool.blocked.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
