//! The thread that does things when it is time for them, and at once what cannot be done where it comes up: by
//! a destructor, or for a process that is being killed. It never touches Python, and nothing that it does may
//! wait, so that nothing can hold it up.

use crate::base::inbox::Inbox;
use crate::base::once::start_once;
use crate::base::term_env::{Sender, TermEnv};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Limits of what is over are thrown out when there are more timers than this, and twice as many as were left
/// the last time.
const SWEEP: usize = 1_024;

/// What may take so long and no longer. Many have a limit and hardly any reaches it, so setting one allocates
/// nothing.
pub trait Limited: Send + Sync {
    /// Whether the limit still matters.
    fn is_pending(&self) -> bool;

    /// The time is over.
    fn expire(self: Arc<Self>, limit: Limit, sender: Sender, message: &mut TermEnv);
}

/// What comes of it.
#[derive(Clone, Copy)]
pub enum Limit {
    /// Those who wait are told that it took longer than so many ms.
    Answer(u64),
    /// It is given up, and counted as one that took too long.
    GiveUp,
    /// It is given up, which counts for nothing.
    Cancel,
}

/// Looks, and says when to look again.
type Check = Box<dyn FnMut(Sender, &mut TermEnv) -> Option<Duration> + Send>;

enum Errand {
    Limit(Weak<dyn Limited>, Limit),
    Check(Check),
}

static ERRANDS: Inbox<(Duration, Errand)> = Inbox::new();

/// Does something at once. `message`: an environment for what is sent.
pub fn soon(mut errand: impl FnMut(Sender, &mut TermEnv) + Send + 'static) {
    after(Duration::ZERO, move |sender, message| {
        errand(sender, message);
        None
    });
}

/// Does something when so much time has passed, and again as long as it says so.
pub fn after(
    delay: Duration,
    check: impl FnMut(Sender, &mut TermEnv) -> Option<Duration> + Send + 'static,
) {
    ERRANDS.post((delay, Errand::Check(Box::new(check))));
}

/// Limits the time that something may take from now on.
pub fn limit(limited: Weak<dyn Limited>, time: Duration, limit: Limit) {
    ERRANDS.post((time, Errand::Limit(limited, limit)));
}

/// Starts the thread. Once per VM.
pub fn start() -> std::io::Result<()> {
    static STARTED: AtomicBool = AtomicBool::new(false);
    start_once(&STARTED, || {
        std::thread::Builder::new()
            .name("py_clock".into())
            .spawn(|| {
                if let Some(sender) = Sender::own_thread() {
                    run(sender);
                }
            })
            .map(drop)
    })
}

fn run(sender: Sender) {
    let mut timers = BinaryHeap::<Timer>::new();
    let mut message = TermEnv::new();
    let mut most = SWEEP;
    loop {
        let errands = ERRANDS.wait(timers.peek().map(|timer| timer.due.0));
        for (delay, errand) in errands {
            if delay.is_zero() {
                // In the order in which they came.
                timers.extend(errand.run(sender, &mut message));
            } else {
                timers.push(Timer::after(delay, errand));
            }
        }
        if timers.len() > most {
            timers.retain(|timer| timer.errand.matters());
            most = SWEEP.max(2 * timers.len());
        }
        while timers
            .peek()
            .is_some_and(|timer| timer.due.0 <= Instant::now())
        {
            let Some(timer) = timers.pop() else { break };
            timers.extend(timer.errand.run(sender, &mut message));
        }
    }
}

struct Timer {
    due: Reverse<Instant>,
    errand: Errand,
}

impl Timer {
    fn after(delay: Duration, errand: Errand) -> Self {
        Timer {
            due: Reverse(Instant::now() + delay),
            errand,
        }
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

impl Errand {
    /// Whether there still is something to do.
    fn matters(&self) -> bool {
        match self {
            Errand::Limit(limited, _) => limited.upgrade().is_some_and(|l| l.is_pending()),
            Errand::Check(_) => true,
        }
    }

    fn run(self, sender: Sender, message: &mut TermEnv) -> Option<Timer> {
        match self {
            Errand::Limit(limited, limit) => {
                let limited = limited.upgrade()?;
                let expire = AssertUnwindSafe(|| limited.expire(limit, sender, message));
                // A panic is the end of this errand, and not of the others.
                let _ = catch_unwind(expire);
                None
            }
            Errand::Check(mut check) => {
                let looked = catch_unwind(AssertUnwindSafe(|| check(sender, message)));
                Some(Timer::after(looked.ok()??, Errand::Check(check)))
            }
        }
    }
}
