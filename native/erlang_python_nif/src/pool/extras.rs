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
    /// Who was seen to wait is to be looked at again first.
    doubtful: bool,
    watched: bool,
    /// It is to be watched from now on.
    asked: bool,
}

/// What an extra worker that comes has seen of the others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Nothing,
    /// They keep the GIL, or the one before is at work.
    Work,
    /// They may wait for the GIL longer than they were looked at.
    Mistake,
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
            doubtful: false,
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
            && !self.doubtful
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

    /// An extra worker comes for something to do.
    pub fn comes(&mut self, worker: &W, seen: Seen) -> Comes {
        let stay = worker.stay();
        if stay.post() != Post::AtWork {
            return Comes::Leaves;
        }
        if self.is_last(stay) {
            self.last = None;
        }
        let on_trial = stay.on_trial.swap(false, Ordering::Relaxed);
        if seen != Seen::Nothing {
            self.trial = 0;
        } else if on_trial {
            self.last = Some(worker.clone());
            return Comes::Takes;
        }
        self.doubtful |= seen == Seen::Mistake;
        if self.doubtful || self.at_work > self.waiting {
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
        self.doubtful = false;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    type Hand = Rc<Stay>;

    impl Stays for Hand {
        fn stay(&self) -> &Stay {
            self
        }
    }

    fn hands(count: usize) -> Vec<Hand> {
        (0..count).map(|_| Hand::default()).collect()
    }

    fn judge(extras: &mut Extras<Hand>, hands: &[Hand], waits: bool) {
        for hand in hands {
            extras.judge(hand, hand.turn(), waits);
        }
    }

    #[test]
    fn one_extra_worker_stands_in_for_one_that_waits() {
        let mut extras = Extras::new();
        let own = hands(2);
        assert!(extras.send().is_none() && !extras.take_asked());
        extras.allow(10);
        assert!(extras.send().is_none() && extras.take_asked() && !extras.take_asked());

        judge(&mut extras, &own, true);
        assert_eq!(extras.grow(9, 0), 2);
        extras.add(hands(2), 0, 0);
        let sent: Vec<Hand> = std::iter::from_fn(|| extras.send()).collect();
        assert_eq!((sent.len(), extras.count(), extras.in_reserve()), (2, 2, 0));
        assert!(
            sent.iter()
                .all(|hand| extras.comes(hand, Seen::Work) == Comes::Takes)
        );

        // One that has waited goes on: one of those goes to the reserve when its call is over.
        extras.moves_on(&own[0]);
        assert_eq!(extras.comes(&sent[0], Seen::Nothing), Comes::Leaves);
        assert_eq!(extras.comes(&sent[1], Seen::Nothing), Comes::Takes);
        assert_eq!(extras.in_reserve(), 1);
        assert!(extras.send().is_none());
        // What was seen of a worker does not hold for what it does next.
        let turn = own[0].turn();
        extras.moves_on(&own[0]);
        extras.judge(&own[0], turn, true);
        assert!(extras.send().is_none());
        judge(&mut extras, &own, true);
        assert!(extras.send().is_some());
    }

    #[test]
    fn on_trial_they_come_until_one_is_at_work() {
        let mut extras = Extras::new();
        extras.allow(10);
        assert_eq!(extras.grow(20, 6), 6);
        extras.add(hands(5), 1, 6);
        let mut next = || extras.send();
        let (first, second, third) = (next(), next(), next());
        let (Some(first), Some(second), Some(third)) = (first, second, third) else {
            unreachable!("there are five")
        };
        assert!(extras.before(&first).is_none());
        assert_eq!(extras.comes(&first, Seen::Nothing), Comes::Takes);
        assert!(
            extras
                .before(&second)
                .is_some_and(|before| Rc::ptr_eq(&before, &first))
        );
        assert_eq!(extras.comes(&second, Seen::Nothing), Comes::Takes);
        assert_eq!(extras.comes(&third, Seen::Work), Comes::Leaves);
        assert!(extras.send().is_none());
        assert_eq!((extras.count(), extras.in_reserve()), (5, 3));
    }

    #[test]
    fn what_was_a_mistake_is_looked_at_again() {
        let mut extras = Extras::new();
        extras.allow(10);
        let own = hands(2);
        judge(&mut extras, &own, true);
        assert_eq!(extras.grow(5, 0), 2);
        extras.add(hands(2), 0, 0);
        let sent = extras.send();
        assert!(sent.is_some_and(|sent| extras.comes(&sent, Seen::Mistake) == Comes::Leaves));
        assert!(extras.send().is_none() && extras.take_asked());
        judge(&mut extras, &own[..1], false);
        assert_eq!(extras.grow(5, 0), 0);
        assert!(extras.send().is_some() && extras.send().is_none());
    }

    /// Whatever happens, the counts are those of the workers.
    #[test]
    fn each_is_counted_where_it_is() {
        let mut seed = 0x2545_F491_4F6C_DD1D_u64;
        let mut random = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % below as u64) as usize
        };
        for _ in 0..200 {
            let mut extras = Extras::new();
            extras.allow(8);
            let mut all = hands(3);
            for _ in 0..300 {
                let hand = all[random(all.len())].clone();
                match random(9) {
                    0 | 1 => extras.judge(&hand, hand.turn(), random(2) == 0),
                    2 => extras.moves_on(&hand),
                    3 | 4 => drop(extras.send()),
                    5 => {
                        let seen = [Seen::Nothing, Seen::Work, Seen::Mistake][random(3)];
                        if hand.post() == Post::AtWork {
                            extras.moves_on(&hand);
                            extras.comes(&hand, seen);
                        }
                    }
                    6 => extras.rest(&hand),
                    7 => {
                        let trial = random(4);
                        let more = extras.grow(random(6), trial);
                        let missing = random(more + 1);
                        let new = hands(more - missing);
                        extras.add(new.clone(), missing, trial);
                        all.extend(new);
                    }
                    _ if random(4) == 0 => extras.remove(&hand),
                    _ => {}
                }
                let at = |post| all.iter().filter(|hand| hand.post() == post).count();
                assert_eq!(extras.at_work, at(Post::AtWork));
                assert_eq!(extras.in_reserve(), at(Post::Reserve));
                assert_eq!(extras.count(), at(Post::AtWork) + at(Post::Reserve));
                assert!(extras.count() <= 8);
                assert_eq!(
                    extras.waiting,
                    all.iter().filter(|hand| hand.waits()).count()
                );
            }
            extras.close();
            assert_eq!(extras.in_reserve(), 0);
        }
    }
}
