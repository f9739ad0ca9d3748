//! The workers that a pool has beside its own ones while these wait without the GIL.
//!
//! An extra worker stands in for one that waits: so no more of them are at work than workers are seen to wait, and
//! code that computes gets no more threads than the pool's own. Those that have nothing to do are in reserve for a while.
//!
//! To be sure that a worker waits takes a look at it, and another one some time later (`growth.rs`). Meanwhile some are
//! sent on trial: each looks itself whether the one before waits by now.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// What is known of a worker. Changed with the queue's lock held, but for the thread.
#[derive(Default)]
pub struct Stay {
    /// Changes whenever it goes on to something else.
    turn: AtomicU64,
    /// It was seen to wait in what it does since then.
    waits: AtomicBool,
    /// Of an extra one: where it is.
    post: AtomicU8,
    /// Of an extra one: it was sent before it was known whether others wait.
    on_trial: AtomicBool,
}

/// Where an extra worker is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Post {
    /// Of no queue, or no more.
    Gone,
    Reserve,
    AtWork,
}

impl Stay {
    pub fn turn(&self) -> u64 {
        self.turn.load(Ordering::Acquire)
    }

    /// A look without the lock.
    pub fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    fn post(&self) -> Post {
        match self.post.load(Ordering::Relaxed) {
            0 => Post::Gone,
            1 => Post::Reserve,
            _ => Post::AtWork,
        }
    }

    fn set_post(&self, post: Post) {
        self.post.store(post as u8, Ordering::Relaxed);
    }
}

/// What is asked of a worker here.
pub trait Stays {
    fn stay(&self) -> &Stay;
}

pub struct Extras<W> {
    /// How many there may be. 0: it is as large as it was made.
    most: usize,
    /// How many there are, those that are about to start among them.
    all: usize,
    at_work: usize,
    /// The last one to come is the first to be sent.
    reserve: Vec<W>,
    /// How many workers were seen to wait.
    waiting: usize,
    /// How many may be sent besides.
    trial: usize,
    /// The last one that was sent on trial and has taken something.
    last: Option<W>,
    watched: bool,
    /// It is to be watched from now on.
    asked: bool,
}

/// What an extra worker that comes for more is to do.
#[derive(PartialEq, Eq, Debug)]
pub enum Comes {
    Takes,
    Leaves,
}

impl<W: Stays + Clone> Extras<W> {
    pub fn new() -> Self {
        Extras {
            most: 0,
            all: 0,
            at_work: 0,
            reserve: Vec::new(),
            waiting: 0,
            trial: 0,
            last: None,
            watched: false,
            asked: false,
        }
    }

    pub fn allow(&mut self, most: usize) {
        self.most = most;
    }

    /// How many threads they are.
    pub fn count(&self) -> usize {
        self.all
    }

    pub fn in_reserve(&self) -> usize {
        self.reserve.len()
    }

    /// A worker goes on to something else, or ends.
    pub fn moves_on(&mut self, worker: &impl Stays) {
        let stay = worker.stay();
        // With the lock held, nobody else changes it.
        let turn = stay.turn.load(Ordering::Relaxed);
        stay.turn.store(turn.wrapping_add(1), Ordering::Release);
        if stay.waits.load(Ordering::Relaxed) {
            stay.waits.store(false, Ordering::Relaxed);
            self.waiting -= 1;
        }
    }

    /// Whether a worker waits that was at this turn when it was looked at.
    pub fn judge(&mut self, worker: &W, turn: u64, waits: bool) {
        let stay = worker.stay();
        if stay.turn() == turn && stay.waits.load(Ordering::Relaxed) != waits {
            stay.waits.store(waits, Ordering::Relaxed);
            if waits {
                self.waiting += 1;
            } else {
                self.waiting -= 1;
            }
        }
    }

    /// Something waits that no worker of the pool's own is free for. Hands back one from the reserve, if one may be sent.
    pub fn send(&mut self) -> Option<W> {
        if self.most == 0 {
            return None;
        }
        let stands_in = self.at_work < self.waiting;
        if (stands_in || self.trial > 0)
            && let Some(worker) = self.reserve.pop()
        {
            self.at_work += 1;
            self.trial -= usize::from(!stands_in);
            let stay = worker.stay();
            stay.set_post(Post::AtWork);
            stay.on_trial.store(!stands_in, Ordering::Relaxed);
            return Some(worker);
        }
        if !self.watched {
            self.watched = true;
            self.asked = true;
        }
        None
    }

    /// Whether somebody is to look after it from now on. Says so once.
    pub fn take_asked(&mut self) -> bool {
        let asked = self.asked;
        if asked {
            self.asked = false;
        }
        asked
    }

    /// Nobody looks after it any more.
    pub fn leave_alone(&mut self) {
        self.watched = false;
    }

    /// The worker before one that has just come on trial, which it has to look at.
    pub fn before(&self, worker: &impl Stays) -> Option<W> {
        let on_trial = worker.stay().on_trial.load(Ordering::Relaxed);
        self.last.clone().filter(|_| on_trial)
    }

    /// An extra worker comes for something to do. `late`: others keep the GIL, or the one before is at work.
    pub fn comes(&mut self, worker: &W, late: bool) -> Comes {
        let stay = worker.stay();
        if stay.post() != Post::AtWork {
            return Comes::Leaves;
        }
        if self.is_last(stay) {
            self.last = None;
        }
        let on_trial = stay.on_trial.swap(false, Ordering::Relaxed);
        if late {
            self.trial = 0;
        }
        if on_trial && !late {
            self.last = Some(worker.clone());
            return Comes::Takes;
        }
        if self.at_work > self.waiting {
            self.rest(worker);
            return Comes::Leaves;
        }
        Comes::Takes
    }

    fn is_last(&self, stay: &Stay) -> bool {
        let last = self.last.as_ref();
        last.is_some_and(|last| std::ptr::eq(last.stay(), stay))
    }

    /// An extra worker that has nothing to do.
    pub fn rest(&mut self, worker: &W) {
        let stay = worker.stay();
        if stay.post() == Post::AtWork {
            self.at_work -= 1;
            stay.set_post(Post::Reserve);
            self.reserve.push(worker.clone());
        }
    }

    /// How many more threads there are to be for `live` requests, which count from now on. `trial`: how many may be sent
    /// besides those that stand in for others.
    pub fn grow(&mut self, live: usize, trial: usize) -> usize {
        self.trial = 0;
        self.last = None;
        let wanted = live.min(self.waiting.saturating_sub(self.at_work) + trial);
        let more = wanted
            .saturating_sub(self.reserve.len())
            .min(self.most.saturating_sub(self.all));
        self.all += more;
        more
    }

    /// Those threads, as far as there were any.
    pub fn add(&mut self, workers: impl IntoIterator<Item = W>, missing: usize, trial: usize) {
        self.all -= missing;
        self.trial = trial;
        for worker in workers {
            worker.stay().set_post(Post::Reserve);
            self.reserve.push(worker);
        }
    }

    /// Takes an extra worker out of the reserve. False if it is not there.
    pub fn dismiss(&mut self, worker: &W) -> bool {
        let idles = worker.stay().post() == Post::Reserve;
        if idles {
            self.remove(worker);
        }
        idles
    }

    /// A worker that is no more, or takes no more.
    pub fn remove(&mut self, worker: &W) {
        self.moves_on(worker);
        let stay = worker.stay();
        match stay.post() {
            Post::Gone => return,
            Post::Reserve => self
                .reserve
                .retain(|other| !std::ptr::eq(other.stay(), stay)),
            Post::AtWork => self.at_work -= 1,
        }
        if self.is_last(stay) {
            self.last = None;
        }
        self.all -= 1;
        stay.set_post(Post::Gone);
    }

    /// Hands back those in reserve, which are to find that the queue is closed.
    pub fn close(&mut self) -> Vec<W> {
        self.most = 0;
        self.last = None;
        for worker in &self.reserve {
            worker.stay().set_post(Post::AtWork);
        }
        self.at_work += self.reserve.len();
        std::mem::take(&mut self.reserve)
    }
}
