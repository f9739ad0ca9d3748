//! How a pool grows while its workers wait without the GIL.
//!
//! While requests wait that nobody is free for, the clock looks at the workers again and again. One that has had no
//! processor for some time, and wants none, waits for something outside of Python: one that waits for the GIL wakes up
//! once in each switch interval, to say that it still wants it. Each that waits is stood in for by an extra worker.
//!
//! Where all wait, or have hardly anything to do, some more are sent at once, one after the other, so that a pool grows
//! within some ms. Each of them goes back if it has to wait for the GIL, or the one before is at work.

use crate::base::clock;
use crate::base::term_env::Sender;
use crate::base::thread::Thread;
use crate::pool::extras::{Seen, Stays};
use crate::pool::queue::Popped;
use crate::pool::{Next, Pool, Worker};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long an extra worker stays that has nothing to do.
pub const STAYS: Duration = Duration::from_secs(5);

/// How long the second look comes after the first, at least; and how many switch intervals.
const SPELL: Duration = Duration::from_micros(1_200);
const INTERVALS: u32 = 2;

/// The pause before the next two looks, where nobody waits: it is doubled up to that.
const PAUSE: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(16);

/// How often nothing is to be found waiting in the queue before nobody looks any more.
const QUIET: u32 = 3;

/// How often in a row a worker is to be seen waiting where others work.
const CERTAIN: u32 = 2;

/// How many are sent at once at first, and at most.
const FEW: usize = 2;
const MANY: usize = 16;

/// An extra worker has waited for the GIL if it took longer to get it.
const PROMPT: Duration = Duration::from_micros(300);

/// Python's switch interval in µs, as far as is known.
static INTERVAL: AtomicU64 = AtomicU64::new(500);

/// How an extra worker has come into Python.
pub struct Arrival {
    /// When it has asked for the GIL.
    pub asked: Instant,
    /// The switch interval that holds now, in µs.
    pub interval: Option<u64>,
}

impl Arrival {
    fn what_is_seen(&self) -> Seen {
        let longer = self.interval.is_some_and(|interval| {
            let known = INTERVAL.swap(interval, Ordering::Relaxed);
            interval > known
        });
        if longer {
            Seen::Mistake
        } else if self.asked.elapsed() > PROMPT {
            Seen::Work
        } else {
            Seen::Nothing
        }
    }
}

fn spell() -> Duration {
    let interval = Duration::from_micros(INTERVAL.load(Ordering::Relaxed));
    SPELL.max(interval.saturating_mul(INTERVALS))
}

/// What a worker was at when it was looked at.
struct Sight {
    worker: Arc<Worker>,
    turn: u64,
    /// Whether it was at anything.
    busy: bool,
    thread: Thread,
    time: u64,
    /// How many times in a row it has been seen to wait before.
    still: u32,
}

impl Sight {
    /// None of one that has run nothing yet.
    fn of(worker: Arc<Worker>) -> Option<Self> {
        let turn = worker.stay().turn();
        let busy = worker.work().0;
        let thread = worker.thread();
        let time = thread.time()?;
        Some(Sight {
            worker,
            turn,
            busy,
            thread,
            time,
            still: 0,
        })
    }

    /// How long it has had a processor since then, on the same thread.
    fn since(&self, before: &Sight) -> Option<u64> {
        (self.thread == before.thread).then(|| self.time.saturating_sub(before.time))
    }

    /// Whether it has been at the same all the time, without a processor.
    fn is_still_at(&self, before: &Sight) -> bool {
        self.busy && before.busy && self.turn == before.turn && self.since(before) == Some(0)
    }
}

/// What is kept from one look to the next.
struct Watch {
    /// What the first of two looks has seen.
    first: Option<(Vec<Sight>, Instant)>,
    /// How many are sent at once, if all wait.
    trial: usize,
    pause: Duration,
    quiet: u32,
}

/// What two looks have come to.
struct Findings {
    /// They have hardly anything to do.
    light: bool,
    /// Those at something, with their turn and whether they wait.
    workers: Vec<(Arc<Worker>, u64, bool)>,
}

impl Findings {
    /// Notes in `second` who has been seen to wait how often.
    fn of(first: &[Sight], second: &mut [Sight], passed: Duration) -> Self {
        let (mut busy, mut any_awake, mut any_starves) = (0, false, false);
        for sight in &mut *second {
            let same = |before: &&Sight| Arc::ptr_eq(&before.worker, &sight.worker);
            let before = first.iter().find(same);
            let used = before.and_then(|before| sight.since(before));
            let still = before.is_some_and(|before| sight.is_still_at(before));
            busy += used.unwrap_or(0);
            if still && sight.worker.stay().waits() {
                sight.still = CERTAIN;
                continue;
            }
            if sight.thread.is_asleep() {
                if still {
                    sight.still = before.map_or(0, |before| before.still) + 1;
                }
            } else {
                any_awake = true;
                any_starves |= used == Some(0);
            }
        }
        let light = !any_awake && u128::from(busy) * 2 < passed.as_nanos();
        let enough = if light { 1 } else { CERTAIN };
        // One that has given up the GIL sleeps until the next one has it, which may want a processor all the time.
        let waits = |sight: &Sight| {
            sight.worker.stay().waits() && sight.still > 0 || !any_starves && sight.still >= enough
        };
        // One that was given up has been replaced: nobody else is to stand in for it.
        let stays = |sight: &&Sight| sight.busy && !sight.worker.is_stopped();
        let workers = second.iter().filter(stays);
        let workers = workers.map(|sight| (Arc::clone(&sight.worker), sight.turn, waits(sight)));
        Findings {
            light,
            workers: workers.collect(),
        }
    }
}

impl Pool {
    /// Lets it have so many workers more than its own ones, while these wait.
    pub fn allow_extras(&self, most: usize) {
        if Thread::is_told() {
            self.lock().extras.allow(most);
        }
    }

    /// How many it has.
    pub fn extras(&self) -> usize {
        self.lock().extras.count()
    }

    /// As `next`, for an extra worker. `arrival`: if it was in reserve before.
    pub fn next_extra(
        self: &Arc<Self>,
        worker: &Arc<Worker>,
        sender: Sender,
        arrival: Option<Arrival>,
    ) -> Next {
        if worker.is_stopped() {
            self.arrived(worker);
            return Next::Stop;
        }
        let mut seen = arrival.map_or(Seen::Nothing, |arrival| arrival.what_is_seen());
        let before = self.lock().extras.before(worker);
        if seen == Seen::Nothing && before.is_some_and(|before| !before.thread().is_asleep()) {
            seen = Seen::Work;
        }
        let popped = self.pop(worker, |queue| queue.pop_extra(worker, seen));
        match popped {
            Popped::Request(request, wake) => {
                if let Some(other) = wake {
                    self.wake(other, sender);
                }
                Next::Run(request)
            }
            Popped::Rests(wake) => {
                match wake {
                    Some(other) => self.wake(other, sender),
                    // It may have been the last one that does not wait for a callback.
                    None => self.help_if_needed(),
                }
                Next::Idle
            }
            Popped::Nothing(_) => Next::Idle,
            Popped::Closed => Next::Stop,
        }
    }

    /// Takes out an extra worker that has had nothing to do for long. False if it was sent for something meanwhile.
    pub fn dismiss(&self, worker: &Arc<Worker>) -> bool {
        self.lock().extras.dismiss(worker)
    }

    /// Looks at its workers while requests wait for them.
    pub(super) fn watch_growth(self: &Arc<Self>) {
        let pool = Arc::downgrade(self);
        let mut watch = Watch {
            first: None,
            trial: FEW,
            pause: PAUSE,
            quiet: 0,
        };
        clock::after(Duration::ZERO, move |sender, _| {
            pool.upgrade()?.look(&mut watch, sender)
        });
    }

    /// The first or the second of two looks. When to look again. On the clock's thread.
    fn look(self: &Arc<Self>, watch: &mut Watch, sender: Sender) -> Option<Duration> {
        if self.is_closed() {
            return None;
        }
        let now = Instant::now();
        let passed = watch.first.as_ref().map(|(_, at)| now - *at);
        if passed.is_some_and(|passed| passed < spell()) {
            return Some(spell());
        }
        let workers = self.living_workers().into_iter();
        let mut sights: Vec<_> = workers.filter_map(Sight::of).collect();
        let (Some((first, _)), Some(passed)) = (watch.first.take(), passed) else {
            watch.first = Some((sights, now));
            return Some(spell());
        };
        let found = Findings::of(&first, &mut sights, passed);
        watch.trial = if found.light {
            MANY.min(watch.trial * 2)
        } else {
            FEW
        };
        if self.grow(&found, watch.trial, sender) {
            watch.quiet = 0;
            if found.light || sights.iter().any(|sight| sight.still > 0) {
                watch.pause = PAUSE;
                watch.first = Some((sights, now));
                return Some(spell());
            }
        } else {
            watch.quiet += 1;
            if watch.quiet >= QUIET && self.leave_alone() {
                return None;
            }
        }
        let pause = watch.pause;
        watch.pause = LONGEST.min(pause * 2);
        Some(pause)
    }

    /// Notes who waits, and has as many more workers come as are of use. False if nothing waits for them.
    fn grow(self: &Arc<Self>, found: &Findings, trial: usize, sender: Sender) -> bool {
        let (waits, trial, more) = {
            let mut queue = self.lock();
            for (worker, turn, waits) in &found.workers {
                queue.extras.judge(worker, *turn, *waits);
            }
            let live = if queue.held { 0 } else { queue.live };
            // Who is on its way may be about to work.
            let trial = if found.light && queue.coming == 0 {
                trial
            } else {
                0
            };
            (live > 0, trial, queue.extras.grow(live, trial))
        };
        let workers: Vec<_> = (0..more)
            .map_while(|_| self.engine.spawn_extra(Arc::clone(self)).ok())
            .collect();
        let missing = more - workers.len();
        let wake = {
            let mut queue = self.lock();
            queue.extras.add(workers, missing, trial);
            queue.whom_to_wake()
        };
        if let Some(worker) = wake {
            self.wake(worker, sender);
        }
        waits
    }

    /// Says whether nobody looks any more: nothing waits.
    fn leave_alone(&self) -> bool {
        let mut queue = self.lock();
        let quiet = queue.live == 0;
        if quiet {
            queue.extras.leave_alone();
        }
        quiet
    }
}
