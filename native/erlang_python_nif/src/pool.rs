//! Which request runs next, and who has to be woken for it.
//!
//! Every lock in this file is held for a few instructions and never while the GIL is waited for,
//! so schedulers may take them.

use crate::lookout::{Lookout, Mark};
use crate::mailbox::Mailbox;
use crate::namespace::Namespace;
use crate::request::Request;
use crate::term_env::Sender;
use crate::watchdog;
use crate::worker::Worker;
use rustler::LocalPid;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A pool's queue with its workers, as native code sees them.
pub struct Pool {
    queue: Mutex<Queue<Arc<Request>, Arc<Worker>>>,
    /// All that have joined and still exist.
    workers: Mutex<Vec<Weak<Worker>>>,
    /// How many workers wait for callbacks.
    blocked: AtomicUsize,
    /// Set before the workers are asked what they run, see `worker::run`.
    closed: AtomicBool,
    /// The `Python.Pool` process. It is told of workers that no longer count.
    pub owner: LocalPid,
    /// What was sent to a context with `Python.send`.
    pub mailbox: Mailbox,
    /// For a context: its own `__main__`. A pool has none and uses the interpreter's.
    pub namespace: Option<Namespace>,
    pub stats: Stats,
    pub lookout: Lookout,
}

/// Counts since the pool started, and what is going on now.
#[derive(Default)]
pub struct Stats {
    pub busy: AtomicUsize,
    pub done: AtomicU64,
    pub failed: AtomicU64,
    pub timed_out: AtomicU64,
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

/// Those that are no contexts.
static POOLS: Mutex<Vec<Weak<Pool>>> = Mutex::new(Vec::new());

/// All pools whose requests callers may run themselves.
pub fn all() -> Vec<Arc<Pool>> {
    let pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    pools.iter().filter_map(Weak::upgrade).collect()
}

impl Pool {
    pub fn create(owner: LocalPid, max_queue: usize, namespace: Option<Namespace>) -> Arc<Self> {
        let pool = Arc::new(Pool::new(owner, max_queue, namespace));
        if pool.namespace.is_none() {
            let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
            pools.retain(|pool| pool.strong_count() > 0);
            pools.push(Arc::downgrade(&pool));
        }
        pool
    }

    pub fn new(owner: LocalPid, max_queue: usize, namespace: Option<Namespace>) -> Self {
        Pool {
            queue: Mutex::new(Queue::new(max_queue)),
            workers: Mutex::default(),
            blocked: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            owner,
            mailbox: Mailbox::default(),
            namespace,
            stats: Stats::default(),
            lookout: Lookout::default(),
        }
    }

    pub fn submit(self: &Arc<Self>, request: Arc<Request>, sender: Sender) -> Submitted {
        let pushed = self.lock().push(request);
        self.pushed(pushed, sender)
    }

    fn pushed(
        self: &Arc<Self>,
        pushed: Result<Option<Arc<Worker>>, Refused>,
        sender: Sender,
    ) -> Submitted {
        self.lookout.tell();
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

    /// If something waits and all workers wait for callbacks, one more worker is started: what they
    /// wait for may be behind what waits here.
    fn help_if_needed(self: &Arc<Self>) {
        if self.needs_help() {
            watchdog::help(Arc::clone(self));
        }
    }

    pub fn needs_help(&self) -> bool {
        let blocked = self.blocked.load(Ordering::Acquire);
        if blocked == 0 || self.namespace.is_some() || self.is_closed() {
            return false;
        }
        let able = |worker: &Weak<Worker>| worker.upgrade().is_some_and(|w| !w.is_stopped());
        let workers = self.workers().iter().filter(|worker| able(worker)).count();
        let queue = self.lock();
        blocked >= workers && queue.live > 0 && queue.coming == 0 && queue.idle.is_empty()
    }

    /// The next request that waits, claimed, for a thread that is going to run it on top of what it
    /// runs.
    pub fn take_waiting(&self) -> Option<Arc<Request>> {
        self.lock().take()
    }

    /// Makes a new worker known. What it runs when the pool closes is ended.
    pub fn join(&self, worker: &Arc<Worker>) {
        let mut workers = self.workers();
        workers.retain(|worker| worker.strong_count() > 0);
        workers.push(Arc::downgrade(worker));
    }

    /// Counts a woken worker as arrived. To be called once it holds the GIL: until then others
    /// need not be woken for what it is going to run.
    pub fn arrived(&self, worker: &Worker) {
        let mut queue = self.lock();
        if worker.take_announced() {
            queue.coming -= 1;
        }
    }

    /// What the worker is to do. `idle`: it has looked out in vain.
    pub fn next(self: &Arc<Self>, worker: &Arc<Worker>, sender: Sender, idle: bool) -> Next {
        if worker.is_stopped() {
            return Next::Stop;
        }
        let mark = self.lookout.mark();
        let then = if idle { Then::Idle } else { Then::LookOut };
        let popped = self.lock().pop(worker, then);
        match popped {
            Popped::Request(request, wake) => {
                if let Some(other) = wake {
                    self.wake(other, sender);
                }
                Next::Run(request)
            }
            Popped::Nothing(Then::LookOut) => Next::LookOut(mark),
            Popped::Nothing(Then::Idle) => Next::Idle,
            Popped::Closed => Next::Stop,
        }
    }

    /// The place of an idle worker, for a caller that runs its request itself. None while anybody else
    /// is at work: many at once would fight for the GIL, and are better served by the queue.
    pub fn borrow(&self) -> Option<Arc<Worker>> {
        if self.stats.busy.load(Ordering::Relaxed) > 0 {
            return None;
        }
        self.lock().borrow(|worker| worker.is_process())
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

    /// Takes a worker out: its process is gone, or it was replaced. A wake-up that it can no
    /// longer follow goes to another one.
    pub fn remove(self: &Arc<Self>, worker: &Arc<Worker>, sender: Sender) {
        let wake = {
            let mut queue = self.lock();
            queue.idle.retain(|idle| !Arc::ptr_eq(idle, worker));
            if worker.take_announced() {
                queue.coming -= 1;
            }
            queue.whom_to_wake()
        };
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

    fn living_workers(&self) -> Vec<Arc<Worker>> {
        self.workers().iter().filter_map(Weak::upgrade).collect()
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub fn queued(&self) -> usize {
        self.lock().live
    }

    fn wake(self: &Arc<Self>, worker: Arc<Worker>, sender: Sender) {
        // A worker whose process is gone cannot come: the next one does.
        if !worker.wake(sender) {
            self.remove(&worker, sender);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<Arc<Request>, Arc<Worker>>> {
        // Nothing in the queue's methods can panic half-way, so a poisoned lock is still whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Weak<Worker>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

/// What the queue asks of a request: may it still run?
pub trait Start {
    /// Claims the request for running. False if it was cancelled before.
    fn start(&self) -> bool;
    /// Whether it was neither claimed nor cancelled yet.
    fn is_waiting(&self) -> bool;
    /// Notes whether it takes a place in the queue; says whether it did. With the queue's lock held:
    /// a request can be cancelled at any moment, before it is put into the queue too.
    fn take_place(&self, takes: bool) -> bool;
}

/// What the queue asks of a worker.
pub trait Announce {
    /// Notes that a wake-up is on its way to the worker.
    fn announce(&self);
}

impl<T: Start> Start for Arc<T> {
    fn start(&self) -> bool {
        T::start(self)
    }

    fn is_waiting(&self) -> bool {
        T::is_waiting(self)
    }

    fn take_place(&self, takes: bool) -> bool {
        T::take_place(self, takes)
    }
}

impl<T: Announce> Announce for Arc<T> {
    fn announce(&self) {
        T::announce(self);
    }
}

enum Refused {
    Full,
    Closed,
}

/// What a worker does that finds nothing.
#[derive(Clone, Copy)]
enum Then {
    /// It looks again soon, and need not be woken until then.
    LookOut,
    Idle,
}

enum Popped<R, W> {
    /// A request that now runs, and a worker to be woken for what is left.
    Request(R, Option<W>),
    Nothing(Then),
    Closed,
}

/// First in, first out, bounded.
///
/// While requests wait, at least one worker is on its way (`coming`) or none is idle. One is
/// enough: the worker that pops a request announces the next one if more are left, so that a
/// request that blocks holds back only itself, and a burst of short ones is served by few workers
/// that do not fight for the GIL.
struct Queue<R, W> {
    waiting: VecDeque<R>,
    /// The last to go idle is the first to be woken: its stack and caches are warm.
    idle: Vec<W>,
    coming: usize,
    /// How many of `waiting` were not cancelled.
    live: usize,
    limit: usize,
    closed: bool,
}

impl<R: Start, W: Announce> Queue<R, W> {
    fn new(limit: usize) -> Self {
        Queue {
            waiting: VecDeque::new(),
            idle: Vec::new(),
            coming: 0,
            live: 0,
            limit,
            closed: false,
        }
    }

    fn push(&mut self, request: R) -> Result<Option<W>, Refused> {
        // Those that a worker is about to take do not wait.
        let taken = self.coming + self.idle.len();
        if self.live >= self.limit.saturating_add(taken) {
            return Err(Refused::Full);
        }
        self.push_anyway(request)
    }

    fn push_anyway(&mut self, request: R) -> Result<Option<W>, Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        // Whoever cancels it from here on waits for the lock and finds that it takes a place.
        if request.is_waiting() {
            request.take_place(true);
            self.waiting.push_back(request);
            self.live += 1;
        }
        Ok(self.whom_to_wake())
    }

    fn pop(&mut self, worker: &W, then: Then) -> Popped<R, W>
    where
        W: Clone,
    {
        if self.closed {
            return Popped::Closed;
        }
        match self.take() {
            Some(request) => Popped::Request(request, self.whom_to_wake()),
            None => {
                // One is enough.
                if matches!(then, Then::LookOut) && self.coming == 0 {
                    worker.announce();
                    self.coming += 1;
                    return Popped::Nothing(Then::LookOut);
                }
                self.idle.push(worker.clone());
                Popped::Nothing(Then::Idle)
            }
        }
    }

    /// An idle worker, if there is nothing to do for the others.
    fn borrow(&mut self, able: impl FnOnce(&W) -> bool) -> Option<W> {
        if self.closed || self.live > 0 || !able(self.idle.last()?) {
            return None;
        }
        self.idle.pop()
    }

    /// Makes a worker idle again. Hands back one that is to be woken, for what came meanwhile.
    fn give_back(&mut self, worker: W) -> Option<W> {
        if self.closed {
            return Some(worker);
        }
        self.idle.push(worker);
        self.whom_to_wake()
    }

    /// The first request that was not cancelled, claimed.
    fn take(&mut self) -> Option<R> {
        while let Some(request) = self.waiting.pop_front() {
            if request.take_place(false) {
                self.live -= 1;
            }
            if request.start() {
                return Some(request);
            }
        }
        None
    }

    fn whom_to_wake(&mut self) -> Option<W> {
        if self.live == 0 || self.coming > 0 {
            return None;
        }
        let worker = self.idle.pop()?;
        worker.announce();
        self.coming += 1;
        Some(worker)
    }

    /// Hands back what is to be dropped.
    fn forget(&mut self, request: &impl Start) -> VecDeque<R> {
        if request.take_place(false) {
            self.live -= 1;
        }
        // Cancelled requests leave when they are popped. Should nothing be popped for long (all
        // workers busy), they are thrown out before they pile up, when most are cancelled: that
        // looks at each request twice at most, on average.
        if self.waiting.len() <= 64 + 2 * self.live {
            return VecDeque::new();
        }
        let (waiting, gone) = self.waiting.drain(..).partition(R::is_waiting);
        self.waiting = waiting;
        gone
    }

    fn close(&mut self) -> (Vec<R>, Vec<W>) {
        self.closed = true;
        for request in &self.waiting {
            request.take_place(false);
        }
        self.live = 0;
        (
            self.waiting.drain(..).collect(),
            self.idle.drain(..).collect(),
        )
    }
}

/// Adds one to a counter while it lives.
pub struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    pub fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Counted(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    struct Job {
        number: u32,
        cancelled: Cell<bool>,
        placed: Cell<bool>,
    }

    impl Start for Rc<Job> {
        fn start(&self) -> bool {
            self.is_waiting()
        }

        fn is_waiting(&self) -> bool {
            !self.cancelled.get()
        }

        fn take_place(&self, takes: bool) -> bool {
            self.placed.replace(takes)
        }
    }

    #[derive(Clone)]
    struct Hand(Rc<Cell<bool>>);

    impl Announce for Hand {
        fn announce(&self) {
            self.0.set(true);
        }
    }

    fn job(number: u32) -> Rc<Job> {
        Rc::new(Job {
            number,
            cancelled: Cell::new(false),
            placed: Cell::new(false),
        })
    }

    fn hand() -> Hand {
        Hand(Rc::new(Cell::new(false)))
    }

    fn popped(queue: &mut Queue<Rc<Job>, Hand>, worker: &Hand) -> Option<(u32, bool)> {
        match queue.pop(worker, Then::Idle) {
            Popped::Request(job, wake) => Some((job.number, wake.is_some())),
            Popped::Nothing(_) | Popped::Closed => None,
        }
    }

    #[test]
    fn nobody_is_woken_while_a_worker_looks_out() {
        let mut queue = Queue::new(10);
        let (one, other) = (hand(), hand());
        assert!(matches!(queue.pop(&other, Then::Idle), Popped::Nothing(_)));
        assert!(matches!(queue.pop(&one, Then::LookOut), Popped::Nothing(_)));
        assert!(one.0.get());
        assert!(matches!(queue.push(job(1)), Ok(None)));
        // It arrives, takes the first, and has the other one woken for the second.
        queue.coming -= 1;
        assert!(matches!(queue.push(job(2)), Ok(Some(_))));
        assert_eq!(popped(&mut queue, &one), Some((1, false)));
    }

    #[test]
    fn requests_leave_in_the_order_in_which_they_came() {
        let mut queue = Queue::new(10);
        let worker = hand();
        for number in 1..=3 {
            assert!(matches!(queue.push(job(number)), Ok(None)));
        }
        for number in 1..=3 {
            assert_eq!(popped(&mut queue, &worker), Some((number, false)));
        }
        assert_eq!(popped(&mut queue, &worker), None);
    }

    #[test]
    fn one_idle_worker_is_woken_for_the_first_request_and_one_more_when_it_pops() {
        let mut queue = Queue::new(10);
        let (first, second) = (hand(), hand());
        assert_eq!(popped(&mut queue, &first), None);
        assert_eq!(popped(&mut queue, &second), None);

        let woken = queue.push(job(1)).ok().flatten().expect("someone is idle");
        assert!(woken.0.get(), "the wake-up was announced");
        assert!(matches!(queue.push(job(2)), Ok(None)), "one is on its way");
        assert!(matches!(queue.push(job(3)), Ok(None)));

        queue.coming -= 1;
        assert_eq!(popped(&mut queue, &woken), Some((1, true)));
        assert_eq!(popped(&mut queue, &woken), Some((2, false)));
    }

    #[test]
    fn a_cancelled_request_is_passed_over_and_takes_no_place() {
        let mut queue = Queue::new(2);
        let worker = hand();
        let (first, second) = (job(1), job(2));
        assert!(queue.push(first.clone()).is_ok());
        assert!(queue.push(second).is_ok());
        assert!(matches!(queue.push(job(3)), Err(Refused::Full)));

        first.cancelled.set(true);
        queue.forget(&first);
        assert!(queue.push(job(4)).is_ok());
        assert_eq!(popped(&mut queue, &worker), Some((2, false)));
        assert_eq!(popped(&mut queue, &worker), Some((4, false)));
        assert_eq!(popped(&mut queue, &worker), None);
    }

    #[test]
    fn a_request_that_is_cancelled_before_it_comes_or_twice_counts_for_nothing() {
        let mut queue = Queue::new(2);
        let worker = hand();
        let (early, other) = (job(1), job(2));
        early.cancelled.set(true);
        queue.forget(&early);
        assert!(queue.push_anyway(early.clone()).is_ok());
        assert_eq!(queue.live, 0);

        assert!(queue.push(other.clone()).is_ok());
        queue.forget(&early);
        assert_eq!(queue.live, 1);
        // It is popped after it was cancelled and before the queue has heard of that.
        other.cancelled.set(true);
        assert_eq!(popped(&mut queue, &worker), None);
        queue.forget(&other);
        assert_eq!(queue.live, 0);
    }

    #[test]
    fn a_queue_of_cancelled_requests_is_emptied_without_a_pop() {
        let mut queue = Queue::<_, Hand>::new(100);
        for _ in 0..4 {
            let jobs: Vec<_> = (0..100).map(job).collect();
            for job in &jobs {
                assert!(queue.push(job.clone()).is_ok());
            }
            for job in &jobs {
                job.cancelled.set(true);
                queue.forget(job);
            }
        }
        assert!(queue.waiting.len() <= 100);
    }

    #[test]
    fn cancelled_requests_do_not_pile_up_behind_one_that_waits() {
        let mut queue = Queue::<_, Hand>::new(100);
        assert!(queue.push(job(0)).is_ok());
        for number in 1..10_000 {
            let job = job(number);
            assert!(queue.push(job.clone()).is_ok());
            job.cancelled.set(true);
            queue.forget(&job);
        }
        assert!(queue.waiting.len() <= 100);
        assert_eq!(popped(&mut queue, &hand()), Some((0, false)));
    }

    #[test]
    fn a_closed_queue_refuses_and_hands_back_what_waited() {
        let mut queue = Queue::new(10);
        let worker = hand();
        assert!(queue.push(job(1)).is_ok());
        let (waiting, idle) = queue.close();
        assert_eq!((waiting.len(), idle.len()), (1, 0));
        assert!(matches!(queue.push(job(2)), Err(Refused::Closed)));
        assert!(matches!(queue.pop(&worker, Then::Idle), Popped::Closed));
    }
}
