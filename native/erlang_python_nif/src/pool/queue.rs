//! The requests that wait for a pool's workers, and which of these come for them. It locks nothing and
//! wakes nobody: that is the pool's.

use crate::pool::extras::{Comes, Extras, Seen, Stay, Stays};
use crate::pool::lanes::{Lanes, Line};
use std::sync::Arc;

/// What the queue asks of a request: may it still run?
pub trait Start {
    /// Claims the request for running. False if it was cancelled before.
    fn start(&self) -> bool;
    /// Whether it was neither claimed nor cancelled yet.
    fn is_waiting(&self) -> bool;
    /// Notes whether it takes a place in the queue; says whether it did. With the queue's lock held:
    /// a request can be cancelled at any moment, before it is put into the queue too.
    fn take_place(&self, takes: bool) -> bool;
    /// The worker that alone can run it. `ANY` for most.
    fn pin(&self) -> u64;
}

/// What the queue asks of a worker.
pub trait Announce: Stays {
    /// Notes that a wake-up is on its way to the worker. With the queue's lock held, as `take_announced`.
    fn announce(&self);
    /// Whether one is.
    fn is_announced(&self) -> bool;
    fn id(&self) -> u64;
    /// Says whether one was on its way, which it is no longer.
    fn take_announced(&self) -> bool;
}

/// The pin of a request that any worker can run. No worker that others are pinned to has this id.
pub const ANY: u64 = 0;

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

    fn pin(&self) -> u64 {
        T::pin(self)
    }
}

impl<T: Stays> Stays for Arc<T> {
    fn stay(&self) -> &Stay {
        T::stay(self)
    }
}

impl<T: Announce> Announce for Arc<T> {
    fn announce(&self) {
        T::announce(self);
    }

    fn is_announced(&self) -> bool {
        T::is_announced(self)
    }

    fn id(&self) -> u64 {
        T::id(self)
    }

    fn take_announced(&self) -> bool {
        T::take_announced(self)
    }
}

pub enum Refused<R> {
    Full,
    Closed,
    /// The worker that it is pinned to is not there.
    Gone(R),
}

/// What a worker does that finds nothing.
#[derive(Clone, Copy)]
pub enum Then {
    /// It looks again soon, and need not be woken until then.
    LookOut,
    Idle,
}

pub enum Popped<R, W> {
    /// A request that now runs, and a worker to be woken for what is left.
    Request(R, Option<W>),
    /// An extra worker is in reserve from now on; a worker to be woken for what is left.
    Rests(Option<W>),
    Nothing(Then),
    Closed,
}

/// First in, first out, bounded.
///
/// While requests wait, at least one worker is on its way (`coming`) or none is idle. One is
/// enough: the worker that pops a request announces the next one if more are left, so that a
/// request that blocks holds back only itself, and a burst of short ones is served by few workers
/// that do not fight for the GIL.
///
/// Some can only be run by one worker, which takes what comes first: of its own ones, or of those for all. While
/// such a one waits, its worker is not idle.
pub struct Queue<R, W> {
    line: Line<R>,
    /// How many were put into a line so far.
    pushed: u64,
    lanes: Lanes<R, W>,
    /// The last to go idle is the first to be woken: its stack and caches are warm.
    pub idle: Vec<W>,
    /// Those that come when none is idle, and others wait in what they run.
    pub extras: Extras<W>,
    pub coming: usize,
    /// How many of `line` were not cancelled.
    pub live: usize,
    /// How many wait that were offered to workers.
    pub ahead: usize,
    limit: usize,
    /// How many run, where these count against the limit as well.
    running: Option<usize>,
    closed: bool,
    /// The pool's `:init` is not done yet: nothing else runs.
    pub held: bool,
    /// That one, until it is taken. It takes no place.
    first: Option<R>,
    /// Cancelled, and met by `take`: to be dropped when the lock is free again.
    pub gone: Vec<R>,
}

impl<R: Start, W: Announce + Clone> Queue<R, W> {
    pub fn new(limit: usize, held: bool) -> Self {
        Queue {
            line: Line::new(),
            pushed: 0,
            lanes: Lanes::new(),
            idle: Vec::new(),
            extras: Extras::new(),
            coming: 0,
            live: 0,
            ahead: 0,
            limit,
            running: None,
            closed: false,
            held,
            first: None,
            gone: Vec::new(),
        }
    }

    /// Requests that run count against the limit, until `ended` says that they do not any more.
    pub fn count_running(&mut self) {
        self.running = Some(0);
    }

    /// One that was taken has ended.
    pub fn ended(&mut self) {
        if let Some(running) = &mut self.running {
            *running = running.saturating_sub(1);
        }
    }

    pub fn push(&mut self, request: R) -> Result<Option<W>, Refused<R>> {
        if self.is_full(request.pin()) {
            return Err(Refused::Full);
        }
        self.push_anyway(request)
    }

    fn is_full(&self, pin: u64) -> bool {
        if let Some(running) = self.running {
            return self.waiting() + running >= self.limit;
        }
        if self.waiting() < self.limit {
            return false;
        }
        // Those that a worker is about to take do not wait.
        let taken = self.coming + self.idle.len();
        let Some((worker, own)) = (pin != ANY).then(|| self.lanes.get(pin)).flatten() else {
            return self.waiting() >= self.limit.saturating_add(taken);
        };
        let is_coming = |worker: &W, line: &Line<R>| worker.is_announced() && has_any(line);
        let pinned = self
            .lanes
            .iter()
            .filter(|(worker, line)| is_coming(worker, line))
            .count();
        let waiting =
            self.live.saturating_sub(taken) + self.ahead + self.lanes.live.saturating_sub(pinned);
        let takes = !has_any(own) && (worker.is_announced() || self.idle_at(pin).is_some());
        waiting >= self.limit.saturating_add(takes.into())
    }

    /// How many wait that were not cancelled.
    pub fn waiting(&self) -> usize {
        self.live + self.lanes.live + self.ahead
    }

    fn idle_at(&self, id: u64) -> Option<usize> {
        self.idle.iter().rposition(|worker| worker.id() == id)
    }

    pub fn push_anyway(&mut self, request: R) -> Result<Option<W>, Refused<R>> {
        if self.closed {
            return Err(Refused::Closed);
        }
        let pin = request.pin();
        if pin != ANY {
            return self.push_pinned(request, pin);
        }
        // Whoever cancels it from here on waits for the lock and finds that it takes a place.
        if request.is_waiting() {
            request.take_place(true);
            self.pushed += 1;
            self.line.push_back((self.pushed, request));
            self.live += 1;
        }
        Ok(self.whom_to_wake())
    }

    fn push_pinned(&mut self, request: R, pin: u64) -> Result<Option<W>, Refused<R>> {
        if self.lanes.get(pin).is_none() {
            return Err(Refused::Gone(request));
        }
        if !request.is_waiting() {
            return Ok(None);
        }
        request.take_place(true);
        self.pushed += 1;
        self.lanes.live += 1;
        self.lanes
            .push(pin, self.pushed, request)
            .map_err(Refused::Gone)?;
        Ok(self.wake_pinned(pin))
    }

    /// Requests can be pinned to this worker from now on, until it is removed.
    pub fn open_lane(&mut self, worker: &W)
    where
        W: Clone,
    {
        self.lanes.open(worker.id(), worker.clone());
    }

    /// A worker takes nothing more, but what is pinned to it. It is woken for that whatever it does.
    pub fn retire(&mut self, worker: &W) {
        self.lanes.retire(worker.id());
    }

    /// Takes out a worker that is no more. Hands back what only that could have run.
    pub fn remove(&mut self, worker: &W) -> Line<R> {
        let id = worker.id();
        self.extras.remove(worker);
        let pinned = self.lanes.close(id);
        for (_, request) in &pinned {
            if request.take_place(false) {
                self.lanes.live -= 1;
            }
        }
        pinned
    }

    /// What comes before all that waits.
    pub fn push_first(&mut self, request: R) -> Result<Option<W>, Refused<R>> {
        if self.closed {
            return Err(Refused::Closed);
        }
        self.first = Some(request);
        Ok(self.whom_to_wake())
    }

    /// Hands back those that are to be woken, for what came meanwhile.
    pub fn open(&mut self) -> Vec<W> {
        self.held = false;
        let pinned: Vec<u64> = self
            .lanes
            .iter()
            .filter(|(_, line)| has_any(line))
            .map(|(worker, _)| worker.id())
            .collect();
        let pinned = pinned.into_iter().filter_map(|id| self.wake_pinned(id));
        let pinned: Vec<W> = pinned.collect();
        pinned.into_iter().chain(self.whom_to_wake()).collect()
    }

    /// The worker is there, should it have been on its way.
    pub fn arrived(&mut self, worker: &impl Announce) {
        if worker.take_announced() {
            self.coming -= 1;
        }
    }

    pub fn pop(&mut self, worker: &W, then: Then) -> Popped<R, W>
    where
        W: Clone,
    {
        if self.closed {
            return Popped::Closed;
        }
        self.extras.moves_on(worker);
        match self.take(worker.id()) {
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

    /// The same for an extra worker. `seen`: of the others.
    pub fn pop_extra(&mut self, worker: &W, seen: Seen) -> Popped<R, W> {
        if self.closed {
            return Popped::Closed;
        }
        self.extras.moves_on(worker);
        if self.extras.comes(worker, seen) == Comes::Takes {
            match self.take(worker.id()) {
                Some(request) => return Popped::Request(request, self.whom_to_wake()),
                None => self.extras.rest(worker),
            }
        }
        Popped::Rests(self.whom_to_wake())
    }

    /// An idle worker, if there is nothing to do for the others.
    pub fn borrow(&mut self, able: impl FnOnce(&W) -> bool) -> Option<W> {
        if self.closed || self.held || self.live > 0 || !able(self.idle.last()?) {
            return None;
        }
        let worker = self.idle.pop()?;
        self.extras.moves_on(&worker);
        Some(worker)
    }

    /// Makes a worker idle again. Hands back one that is to be woken, for what came meanwhile.
    pub fn give_back(&mut self, worker: W) -> Option<W> {
        if self.closed {
            return Some(worker);
        }
        let id = worker.id();
        self.extras.moves_on(&worker);
        self.idle.push(worker);
        let pinned =
            !self.lanes.is_empty() && self.lanes.get(id).is_some_and(|(_, line)| has_any(line));
        if pinned && let Some(worker) = self.wake_pinned(id) {
            return Some(worker);
        }
        self.whom_to_wake()
    }

    /// The first request that was not cancelled, of those that this worker can run, claimed.
    pub fn take(&mut self, worker: u64) -> Option<R> {
        let taken = self.find(worker);
        if let (Some(_), Some(running)) = (&taken, &mut self.running) {
            *running += 1;
        }
        taken
    }

    fn find(&mut self, worker: u64) -> Option<R> {
        if let Some(first) = self.first.take_if(|first| first.start()) {
            return Some(first);
        }
        if self.held {
            return None;
        }
        loop {
            let (request, live) = self.next_in_line(worker)?;
            if request.take_place(false) {
                *live -= 1;
            }
            if request.start() {
                return Some(request);
            }
            self.gone.push(request);
        }
    }

    /// The first request, if that may be offered to a worker that is at something: nobody else is free for it.
    pub fn take_ahead(&mut self, offer: impl Fn(&R) -> Option<bool>) -> Option<R> {
        let is_busy = self.idle.is_empty() && self.coming == 0;
        if self.closed || self.held || !is_busy || self.first.is_some() || !self.lanes.is_empty() {
            return None;
        }
        while let Some((_, request)) = self.line.front() {
            let offered = offer(request)?;
            let (_, request) = self.line.pop_front()?;
            if request.take_place(false) {
                self.live -= 1;
            }
            if offered {
                self.ahead += 1;
                return Some(request);
            }
            self.gone.push(request);
        }
        None
    }

    /// Puts back what was offered, before all that waits. `leave`: it is offered no more. Hands back who is to be woken,
    /// and the request if it does not wait any more, or nothing does.
    pub fn put_back(&mut self, request: R, leave: impl Fn(&R)) -> (Option<W>, Option<R>) {
        self.ahead -= 1;
        leave(&request);
        if self.closed || !request.is_waiting() {
            return (None, Some(request));
        }
        request.take_place(true);
        let place = self.line.front().map_or(self.pushed, |(place, _)| *place);
        self.line.push_front((place, request));
        self.live += 1;
        (self.whom_to_wake(), None)
    }

    /// Whether anything waits for one worker alone.
    pub fn has_pinned(&self) -> bool {
        self.lanes.live > 0 && !self.held
    }

    /// The first request that was not cancelled, of those that only this worker can run, claimed.
    pub fn take_pinned(&mut self, worker: u64) -> Option<R> {
        if self.held {
            return None;
        }
        loop {
            let request = self.lanes.pop(worker, u64::MAX)?;
            if request.take_place(false) {
                self.lanes.live -= 1;
            }
            if request.start() {
                if let Some(running) = &mut self.running {
                    *running += 1;
                }
                return Some(request);
            }
            self.gone.push(request);
        }
    }

    /// What comes first, with the count that it is in.
    fn next_in_line(&mut self, worker: u64) -> Option<(R, &mut usize)> {
        if !self.lanes.is_empty() {
            let place = self.line.front().map_or(u64::MAX, |(place, _)| *place);
            if let Some(request) = self.lanes.pop(worker, place) {
                return Some((request, &mut self.lanes.live));
            }
        }
        let (_, request) = self.line.pop_front()?;
        Some((request, &mut self.live))
    }

    pub fn whom_to_wake(&mut self) -> Option<W> {
        let waits = self.live > 0 && !self.held || self.first.is_some();
        if !waits || self.coming > 0 {
            return None;
        }
        let worker = match self.idle.pop() {
            Some(worker) => worker,
            None if self.held || self.live == 0 => return None,
            None => self.extras.send()?,
        };
        worker.announce();
        self.coming += 1;
        Some(worker)
    }

    /// The worker that something was pinned to, if it idles.
    fn wake_pinned(&mut self, id: u64) -> Option<W> {
        if self.held {
            return None;
        }
        if let Some(worker) = self.lanes.retired(id) {
            return Some(worker.clone());
        }
        let worker = self.idle.remove(self.idle_at(id)?);
        worker.announce();
        self.coming += 1;
        Some(worker)
    }

    /// Hands back what is to be dropped.
    pub fn forget(&mut self, request: &impl Start) -> Line<R> {
        let placed = request.take_place(false);
        if request.pin() != ANY {
            self.lanes.live -= usize::from(placed);
            return self.lanes.sweep(R::is_waiting);
        }
        self.live -= usize::from(placed);
        // Cancelled requests leave when they are popped. Should nothing be popped for long (all
        // workers busy), they are thrown out before they pile up, when most are cancelled: that
        // looks at each request twice at most, on average.
        if self.line.len() <= 64 + 2 * self.live {
            return Line::new();
        }
        let (line, gone) = self
            .line
            .drain(..)
            .partition(|(_, request)| request.is_waiting());
        self.line = line;
        gone
    }

    pub fn close(&mut self) -> (Vec<R>, Vec<W>) {
        self.closed = true;
        self.live = 0;
        let pinned = self.lanes.close_all();
        let waiting = self.line.drain(..).chain(pinned).map(|(_, request)| {
            request.take_place(false);
            request
        });
        (
            self.first.take().into_iter().chain(waiting).collect(),
            self.idle.drain(..).chain(self.extras.close()).collect(),
        )
    }
}

fn has_any<R: Start>(line: &Line<R>) -> bool {
    line.iter().any(|(_, request)| request.is_waiting())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    struct Job {
        number: u32,
        pin: u64,
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

        fn pin(&self) -> u64 {
            self.pin
        }
    }

    #[derive(Clone)]
    struct Hand(Rc<Cell<bool>>, u64, Rc<Stay>);

    impl Stays for Hand {
        fn stay(&self) -> &Stay {
            &self.2
        }
    }

    impl Announce for Hand {
        fn announce(&self) {
            self.0.set(true);
        }

        fn is_announced(&self) -> bool {
            self.0.get()
        }

        fn id(&self) -> u64 {
            self.1
        }

        fn take_announced(&self) -> bool {
            self.0.take()
        }
    }

    fn job(number: u32) -> Rc<Job> {
        pinned(number, ANY)
    }

    fn pinned(number: u32, pin: u64) -> Rc<Job> {
        Rc::new(Job {
            number,
            pin,
            cancelled: Cell::new(false),
            placed: Cell::new(false),
        })
    }

    fn hand() -> Hand {
        worker(99)
    }

    fn worker(id: u64) -> Hand {
        Hand(Rc::new(Cell::new(false)), id, Rc::default())
    }

    fn popped(queue: &mut Queue<Rc<Job>, Hand>, worker: &Hand) -> Option<(u32, bool)> {
        match queue.pop(worker, Then::Idle) {
            Popped::Request(job, wake) => Some((job.number, wake.is_some())),
            Popped::Nothing(_) | Popped::Rests(_) | Popped::Closed => None,
        }
    }

    #[test]
    fn what_runs_counts_against_the_limit_where_that_is_wanted() {
        let mut queue = Queue::new(2, false);
        queue.count_running();
        let taker = hand();
        queue.idle.push(taker.clone());
        assert!(queue.push(job(1)).is_ok() && queue.push(job(2)).is_ok());
        assert!(matches!(queue.push(job(3)), Err(Refused::Full)));
        assert!(popped(&mut queue, &taker).is_some() && popped(&mut queue, &taker).is_some());
        assert!(matches!(queue.push(job(3)), Err(Refused::Full)));
        queue.ended();
        assert!(queue.push(job(3)).is_ok());
        assert!(matches!(queue.push(job(4)), Err(Refused::Full)));
    }

    #[test]
    fn nobody_is_woken_while_a_worker_looks_out() {
        let mut queue = Queue::new(10, false);
        let (one, other) = (hand(), hand());
        assert!(matches!(queue.pop(&other, Then::Idle), Popped::Nothing(_)));
        assert!(matches!(queue.pop(&one, Then::LookOut), Popped::Nothing(_)));
        assert!(one.0.get());
        assert!(matches!(queue.push(job(1)), Ok(None)));
        // It arrives, takes the first, and has the other one woken for the second.
        queue.arrived(&one);
        assert!(matches!(queue.push(job(2)), Ok(Some(_))));
        assert_eq!(popped(&mut queue, &one), Some((1, false)));
    }

    #[test]
    fn a_pinned_request_is_for_its_worker_alone_and_keeps_its_place() {
        let mut queue = Queue::new(10, false);
        let (one, other) = (worker(1), worker(2));
        queue.open_lane(&one);
        queue.open_lane(&other);
        for job in [pinned(1, 1), job(2), pinned(3, 1), pinned(4, 2), job(5)] {
            assert!(matches!(queue.push(job), Ok(None)));
        }
        assert_eq!(queue.waiting(), 5);
        assert_eq!(popped(&mut queue, &other), Some((2, false)));
        assert_eq!(popped(&mut queue, &one), Some((1, false)));
        assert_eq!(popped(&mut queue, &one), Some((3, false)));
        assert_eq!(popped(&mut queue, &other), Some((4, false)));
        assert_eq!(popped(&mut queue, &one), Some((5, false)));
        assert_eq!(popped(&mut queue, &one), None);
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn a_pinned_request_wakes_its_worker_alone() {
        let mut queue = Queue::new(10, false);
        let workers = [worker(1), worker(2), worker(3)];
        for worker in &workers {
            queue.open_lane(worker);
            assert_eq!(popped(&mut queue, worker), None);
        }
        let woken = queue.push(pinned(1, 2)).ok().flatten();
        let woken = woken.expect("it idles");
        assert_eq!((woken.id(), woken.is_announced()), (2, true));
        // Once, and whoever else is on its way.
        assert!(matches!(queue.push(pinned(2, 2)), Ok(None)));
        let woken = queue.push(pinned(3, 1)).ok().flatten();
        assert_eq!(woken.map(|worker| worker.id()), Some(1));
        // One for all finds that two are coming. The first that takes something wakes the next.
        assert!(matches!(queue.push(job(4)), Ok(None)));
        queue.coming -= 2;
        assert_eq!(popped(&mut queue, &workers[1]), Some((1, true)));
        assert!(workers[2].is_announced());
    }

    #[test]
    fn pinned_requests_count_for_the_limit_and_cancelled_ones_do_not() {
        let mut queue = Queue::new(2, false);
        let (busy, idle) = (worker(1), worker(2));
        queue.open_lane(&busy);
        queue.open_lane(&idle);
        assert_eq!(popped(&mut queue, &idle), None);
        let first = pinned(1, 1);
        assert!(queue.push(first.clone()).is_ok());
        assert!(queue.push(pinned(2, 1)).is_ok());
        // Though another one idles.
        assert!(matches!(queue.push(pinned(3, 1)), Err(Refused::Full)));
        assert!(matches!(queue.push(pinned(4, 2)), Ok(Some(_))));
        assert!(matches!(queue.push(pinned(5, 2)), Err(Refused::Full)));
        assert!(matches!(queue.push(job(6)), Err(Refused::Full)));

        first.cancelled.set(true);
        queue.forget(&first);
        queue.forget(&first);
        assert_eq!(queue.waiting(), 2);
        assert!(queue.push(pinned(7, 1)).is_ok());
        assert_eq!(popped(&mut queue, &busy), Some((2, false)));
        assert_eq!(popped(&mut queue, &busy), Some((7, false)));
        assert_eq!(queue.gone.len(), 1);
    }

    #[test]
    fn a_queue_without_room_still_takes_what_an_idle_worker_is_pinned_to() {
        let mut queue = Queue::new(0, false);
        let idle = worker(1);
        queue.open_lane(&idle);
        assert!(matches!(queue.push(pinned(1, 1)), Err(Refused::Full)));
        assert_eq!(popped(&mut queue, &idle), None);
        assert!(matches!(queue.push(pinned(2, 1)), Ok(Some(_))));
        assert!(matches!(queue.push(pinned(3, 1)), Err(Refused::Full)));
    }

    #[test]
    fn pinned_requests_wait_for_the_init_and_then_all_their_workers_are_woken() {
        let mut queue = Queue::new(10, true);
        let workers = [worker(1), worker(2)];
        for worker in &workers {
            queue.open_lane(worker);
            assert_eq!(popped(&mut queue, worker), None);
            assert!(matches!(queue.push(pinned(7, worker.id())), Ok(None)));
        }
        assert_eq!(popped(&mut queue, &workers[0]), None);
        queue.idle.pop();
        let mut woken: Vec<_> = queue.open().iter().map(Hand::id).collect();
        woken.sort_unstable();
        assert_eq!(woken, [1, 2]);
        assert_eq!(popped(&mut queue, &workers[0]), Some((7, false)));
    }

    #[test]
    fn what_is_pinned_to_a_worker_that_has_ended_comes_back() {
        let mut queue = Queue::new(10, false);
        let (one, other) = (worker(1), worker(2));
        queue.open_lane(&one);
        queue.open_lane(&other);
        for job in [pinned(1, 1), job(2), pinned(3, 1), pinned(4, 2)] {
            assert!(queue.push(job).is_ok());
        }
        let lost = queue.remove(&one);
        let lost: Vec<_> = lost.iter().map(|(_, job)| job.number).collect();
        assert_eq!((lost, queue.waiting()), (vec![1, 3], 2));
        assert!(matches!(queue.push(pinned(5, 1)), Err(Refused::Gone(job)) if job.number == 5));
        assert!(queue.remove(&one).is_empty());
        let (waiting, _) = queue.close();
        let waiting: Vec<_> = waiting.iter().map(|job| job.number).collect();
        assert_eq!((waiting, queue.waiting()), (vec![2, 4], 0));
        assert!(matches!(
            queue.push(pinned(6, 2)),
            Err(Refused::Full | Refused::Closed)
        ));
    }

    #[test]
    fn cancelled_pinned_requests_do_not_pile_up() {
        let mut queue = Queue::new(100, false);
        let busy = worker(1);
        queue.open_lane(&busy);
        assert!(queue.push(pinned(0, 1)).is_ok());
        let mut swept = 0;
        for number in 1..10_000 {
            let job = pinned(number, 1);
            assert!(queue.push(job.clone()).is_ok());
            job.cancelled.set(true);
            swept += queue.forget(&job).len();
        }
        assert!(swept > 9_800);
        assert_eq!(popped(&mut queue, &busy), Some((0, false)));
    }

    /// Whatever happens: no worker idles while something is pinned to it, or while something waits for all and
    /// nobody is coming; and each request is run or handed back once, by whom it is for.
    #[test]
    fn nothing_is_forgotten_or_run_twice() {
        let mut seed = 0x2545_F491_4F6C_DD1D_u64;
        let mut random = move |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        for _ in 0..300 {
            let mut queue = Queue::new(6, random(2) == 0);
            // Those that are awake, and those that were woken.
            let mut awake: Vec<Hand> = (1..=3).map(worker).collect();
            let mut woken: Vec<Hand> = Vec::new();
            for worker in &awake {
                queue.open_lane(worker);
            }
            let mut waiting: Vec<Rc<Job>> = Vec::new();
            for number in 0..400 {
                match random(6) {
                    0 | 1 => {
                        let job = pinned(number, random(4));
                        match queue.push(job.clone()) {
                            Ok(wake) => {
                                woken.extend(wake);
                                waiting.push(job);
                            }
                            Err(Refused::Full) => assert!(waiting.len() >= 6),
                            Err(_) => assert!(job.pin != ANY),
                        }
                    }
                    step @ (2..=4) => {
                        let from = if step == 4 { &mut woken } else { &mut awake };
                        if from.is_empty() {
                            continue;
                        }
                        let worker = from.remove(random(from.len() as u64) as usize);
                        if step == 4 {
                            assert!(worker.0.replace(false));
                            queue.coming -= 1;
                        }
                        match queue.pop(&worker, Then::Idle) {
                            Popped::Request(job, wake) => {
                                assert!([ANY, worker.id()].contains(&job.pin));
                                let known = waiting.len();
                                waiting.retain(|other| !Rc::ptr_eq(other, &job));
                                assert_eq!(waiting.len() + 1, known);
                                woken.extend(wake);
                                awake.push(worker);
                            }
                            Popped::Nothing(_) => {}
                            Popped::Rests(_) => unreachable!("it is no extra one"),
                            Popped::Closed => unreachable!("it is open"),
                        }
                    }
                    5 if !waiting.is_empty() => {
                        let job = waiting.remove(random(waiting.len() as u64) as usize);
                        job.cancelled.set(true);
                        queue.forget(&job);
                    }
                    _ if queue.held && random(4) == 0 => woken.extend(queue.open()),
                    _ if awake.len() > 1 && random(30) == 0 => {
                        let worker = awake.remove(0);
                        for (_, job) in queue.remove(&worker) {
                            assert_eq!(job.pin, worker.id());
                            waiting.retain(|other| !Rc::ptr_eq(other, &job));
                        }
                    }
                    _ => {}
                }
                assert_eq!(queue.waiting(), waiting.len());
                for idle in &queue.idle {
                    let pinned = waiting.iter().any(|job| job.pin == idle.id());
                    assert!(!pinned || queue.held);
                }
                let common = waiting.iter().any(|job| job.pin == ANY);
                assert!(!common || queue.held || queue.coming > 0 || queue.idle.is_empty());
                assert_eq!(queue.coming, woken.len());
            }
        }
    }

    #[test]
    fn requests_leave_in_the_order_in_which_they_came() {
        let mut queue = Queue::new(10, false);
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
        let mut queue = Queue::new(10, false);
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
        let mut queue = Queue::new(2, false);
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
        let mut queue = Queue::new(2, false);
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
        let mut queue = Queue::<_, Hand>::new(100, false);
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
        assert!(queue.line.len() <= 100);
    }

    #[test]
    fn cancelled_requests_do_not_pile_up_behind_one_that_waits() {
        let mut queue = Queue::<_, Hand>::new(100, false);
        assert!(queue.push(job(0)).is_ok());
        for number in 1..10_000 {
            let job = job(number);
            assert!(queue.push(job.clone()).is_ok());
            job.cancelled.set(true);
            queue.forget(&job);
        }
        assert!(queue.line.len() <= 100);
        assert_eq!(popped(&mut queue, &hand()), Some((0, false)));
    }

    #[test]
    fn a_closed_queue_refuses_and_hands_back_what_waited() {
        let mut queue = Queue::new(10, false);
        let worker = hand();
        assert!(queue.push(job(1)).is_ok());
        let (waiting, idle) = queue.close();
        assert_eq!((waiting.len(), idle.len()), (1, 0));
        assert!(matches!(queue.push(job(2)), Err(Refused::Closed)));
        assert!(matches!(queue.pop(&worker, Then::Idle), Popped::Closed));
    }
}
