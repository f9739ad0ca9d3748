//! The requests that wait for a pool's workers, and which of these come for them. It locks nothing and
//! wakes nobody: that is the pool's.

use std::collections::VecDeque;
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

pub enum Refused {
    Full,
    Closed,
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
    Nothing(Then),
    Closed,
}

/// First in, first out, bounded.
///
/// While requests wait, at least one worker is on its way (`coming`) or none is idle. One is
/// enough: the worker that pops a request announces the next one if more are left, so that a
/// request that blocks holds back only itself, and a burst of short ones is served by few workers
/// that do not fight for the GIL.
pub struct Queue<R, W> {
    waiting: VecDeque<R>,
    /// The last to go idle is the first to be woken: its stack and caches are warm.
    pub idle: Vec<W>,
    pub coming: usize,
    /// How many of `waiting` were not cancelled.
    pub live: usize,
    limit: usize,
    closed: bool,
    /// The pool's `:init` is not done yet: nothing else runs.
    pub held: bool,
    /// That one, until it is taken. It takes no place.
    first: Option<R>,
    /// Cancelled, and met by `take`: to be dropped when the lock is free again.
    pub gone: Vec<R>,
}

impl<R: Start, W: Announce> Queue<R, W> {
    pub fn new(limit: usize, held: bool) -> Self {
        Queue {
            waiting: VecDeque::new(),
            idle: Vec::new(),
            coming: 0,
            live: 0,
            limit,
            closed: false,
            held,
            first: None,
            gone: Vec::new(),
        }
    }

    pub fn push(&mut self, request: R) -> Result<Option<W>, Refused> {
        // Those that a worker is about to take do not wait.
        let taken = self.coming + self.idle.len();
        if self.live >= self.limit.saturating_add(taken) {
            return Err(Refused::Full);
        }
        self.push_anyway(request)
    }

    pub fn push_anyway(&mut self, request: R) -> Result<Option<W>, Refused> {
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

    /// What comes before all that waits.
    pub fn push_first(&mut self, request: R) -> Result<Option<W>, Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        self.first = Some(request);
        Ok(self.whom_to_wake())
    }

    /// Hands back one that is to be woken, for what came meanwhile.
    pub fn open(&mut self) -> Option<W> {
        self.held = false;
        self.whom_to_wake()
    }

    pub fn pop(&mut self, worker: &W, then: Then) -> Popped<R, W>
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
    pub fn borrow(&mut self, able: impl FnOnce(&W) -> bool) -> Option<W> {
        if self.closed || self.held || self.live > 0 || !able(self.idle.last()?) {
            return None;
        }
        self.idle.pop()
    }

    /// Makes a worker idle again. Hands back one that is to be woken, for what came meanwhile.
    pub fn give_back(&mut self, worker: W) -> Option<W> {
        if self.closed {
            return Some(worker);
        }
        self.idle.push(worker);
        self.whom_to_wake()
    }

    /// The first request that was not cancelled, claimed.
    pub fn take(&mut self) -> Option<R> {
        if let Some(first) = self.first.take_if(|first| first.start()) {
            return Some(first);
        }
        if self.held {
            return None;
        }
        while let Some(request) = self.waiting.pop_front() {
            if request.take_place(false) {
                self.live -= 1;
            }
            if request.start() {
                return Some(request);
            }
            self.gone.push(request);
        }
        None
    }

    pub fn whom_to_wake(&mut self) -> Option<W> {
        let waits = self.live > 0 && !self.held || self.first.is_some();
        if !waits || self.coming > 0 {
            return None;
        }
        let worker = self.idle.pop()?;
        worker.announce();
        self.coming += 1;
        Some(worker)
    }

    /// Hands back what is to be dropped.
    pub fn forget(&mut self, request: &impl Start) -> VecDeque<R> {
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

    pub fn close(&mut self) -> (Vec<R>, Vec<W>) {
        self.closed = true;
        for request in &self.waiting {
            request.take_place(false);
        }
        self.live = 0;
        (
            self.first
                .take()
                .into_iter()
                .chain(self.waiting.drain(..))
                .collect(),
            self.idle.drain(..).collect(),
        )
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
        let mut queue = Queue::new(10, false);
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
        assert!(queue.waiting.len() <= 100);
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
        assert!(queue.waiting.len() <= 100);
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
