//! The thread that looks after cancelled requests. It never touches Python, so nothing that
//! Python does can hold it up.
//!
//! A cancelled request that runs is interrupted at once (`interpreter::interrupt`, on a thread
//! that may wait for the GIL). If it still runs `GRACE` after that, its worker is given up and the
//! pool told to replace it. Not before: as long as the GIL cannot be had, another worker could not
//! have it either, and with one more thread to compete for it everything would be slower still. The
//! interrupt is repeated while the request runs: Python code may have caught it.

use crate::atoms;
use crate::direct;
use crate::ending;
use crate::interpreter::{assistant, interrupt, reaper, start_once};
use crate::ledger;
use crate::lock::{Condvar, Mutex};
use crate::pool::Pool;
use crate::request::{Progress, Request};
use crate::stream::Stream;
use crate::stuck;
use crate::term_env::{SavedTerm, Sender, TermEnv};
use crate::worker;
use rustler::{Encoder, LocalPid};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

/// How long an interrupted request may take to end before its worker is replaced.
const GRACE: Duration = Duration::from_millis(20);

/// How long a request may take to end after the process of its worker has died. What was begun that very
/// moment, or was about to end, need not fail.
const ORPHANED: Duration = Duration::from_millis(20);

/// How long `finally` blocks have before the next interrupt.
const AGAIN: Duration = Duration::from_secs(1);

/// How often it is looked whether the processes are alive that run their requests themselves.
const LOOK: Duration = Duration::from_millis(20);

/// How often what ends the process is put first while Python is at work, and how many times more when it is
/// not any longer.
const STAY: Duration = Duration::from_millis(50);
const STAYS: u32 = 20;

/// When to try again to start a thread where there was none to be had.
const HELP: Duration = Duration::from_millis(100);

/// Deadlines of requests that are over are thrown out when there are more timers than this, and
/// twice as many as were left the last time.
const SWEEP: usize = 1_024;

static WATCHDOG: OnceLock<Watchdog> = OnceLock::new();

#[derive(Default)]
struct Watchdog {
    jobs: Mutex<Vec<Job>>,
    changed: Condvar,
}

enum Job {
    Cancelled(Arc<Request>),
    /// An interrupt was aimed at it.
    Tried(Arc<Request>),
    /// To be answered within so many ms.
    Deadline(Weak<Request>, u64),
    /// To be given up in so many ms.
    Expire(Weak<Request>, u64),
    /// To be cancelled if it is not over by then.
    GiveUp(Weak<Request>, Duration),
    Close(Arc<Stream>),
    Help(Arc<Pool>),
    Dropped(LocalPid),
    /// All processes are to be collected.
    Collect,
    Forward(LocalPid, TermEnv, SavedTerm),
    /// There are processes that run their requests themselves.
    Callers,
    /// There are references to give up.
    Reapers,
    /// The process of its worker has died.
    Orphaned(Arc<Request>),
    /// Python is at work.
    Exit,
}

/// Starts the thread. Once per VM.
pub fn start() -> std::io::Result<()> {
    static STARTED: AtomicBool = AtomicBool::new(false);
    start_once(&STARTED, || {
        std::thread::Builder::new()
            .name("py_watchdog".into())
            .spawn(|| {
                let watchdog = WATCHDOG.get_or_init(Watchdog::default);
                if let Some(sender) = Sender::own_thread() {
                    watchdog.run(sender);
                }
            })
            .map(drop)
    })
}

/// Interrupts a request that was cancelled or answered while it ran, and sees to its worker.
pub fn watch(request: Arc<Request>) {
    post(Job::Cancelled(request));
}

/// Looks whether a request ends, now that an interrupt was aimed at it.
pub fn tried(request: Arc<Request>) {
    post(Job::Tried(request));
}

/// Answers a request with a timeout if nothing else has within so many ms. For requests whose
/// caller is not waiting, and so cannot look at the clock itself.
pub fn limit(request: &Arc<Request>, timeout: u64) {
    post(Job::Deadline(Arc::downgrade(request), timeout));
}

/// Gives a request up if it is not over within so many ms, without a word to its caller, who is not
/// waiting and will see.
pub fn expire(request: &Arc<Request>, timeout: u64) {
    post(Job::Expire(Arc::downgrade(request), timeout));
}

/// Starts one more worker for a pool that needs it.
pub fn help(pool: Arc<Pool>) {
    post(Job::Help(pool));
}

/// Sends `:dropped`.
pub fn tell_dropped(pid: LocalPid) {
    post(Job::Dropped(pid));
}

/// Asks for a collection of all processes.
pub fn collect() {
    post(Job::Collect);
}

/// Sends a term for a process that is exiting and cannot.
pub fn forward(to: LocalPid, env: TermEnv, term: SavedTerm) {
    post(Job::Forward(to, env, term));
}

/// Answers a request whose worker's process has died, if it goes on all the same.
pub fn orphaned(request: Arc<Request>) {
    post(Job::Orphaned(request));
}

/// Puts what ends the process first, again and again while Python is at work.
pub fn watch_exit() {
    post(Job::Exit);
}

/// Looks after the processes that run their requests themselves.
pub fn watch_callers() {
    post(Job::Callers);
}

/// Looks whether those get on who give up references.
pub fn watch_reapers() {
    post(Job::Reapers);
}

/// Closes a stream whose consumer is gone.
pub fn close(stream: Arc<Stream>) {
    post(Job::Close(stream));
}

/// Cancels a request that is not over by then.
pub fn give_up_later(request: &Arc<Request>, patience: Duration) {
    post(Job::GiveUp(Arc::downgrade(request), patience));
}

fn post(job: Job) {
    let watchdog = WATCHDOG.get_or_init(Watchdog::default);
    watchdog.jobs.lock().push(job);
    watchdog.changed.notify_one();
}

enum Check {
    /// Has the worker come back?
    Worker(Arc<Request>),
    /// Does it need another interrupt?
    Again(Arc<Request>),
    /// Has it been answered? Requests that have are not kept for this.
    Deadline(Weak<Request>, u64),
    /// The same, of one whose caller will not be told.
    Expire(Weak<Request>),
    /// Is it over?
    GiveUp(Weak<Request>),
    /// Are those alive that run their requests themselves? How many had begun at the last look.
    Callers(Option<u64>),
    /// Do those get on who give up references?
    Reapers,
    /// Has it ended?
    Orphaned(Arc<Request>),
    /// Is there a thread to be had for it?
    Help(Weak<Pool>),
    /// Is Python still at work? How many times to go on if it is not.
    Exit(u32),
}

struct Timer(Reverse<Instant>, Check);

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
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
        self.0.cmp(&other.0)
    }
}

impl Watchdog {
    fn run(&self, sender: Sender) {
        let mut timers = BinaryHeap::new();
        let mut message = TermEnv::new();
        let mut most = SWEEP;
        loop {
            for job in self.wait(timers.peek()) {
                let timer = match job {
                    Job::Dropped(pid) => {
                        sender.send_immediate(&pid, atoms::dropped());
                        continue;
                    }
                    Job::Collect => {
                        let asked = ledger::collector()
                            .is_some_and(|pid| sender.send_immediate(&pid, atoms::collect()));
                        if !asked {
                            ledger::collected();
                        }
                        continue;
                    }
                    Job::Forward(to, mut env, term) => {
                        env.send(sender, &to, |env| term.load(env));
                        continue;
                    }
                    Job::Help(pool) => {
                        let Some(timer) = helped(&pool) else { continue };
                        timer
                    }
                    Job::Close(stream) => {
                        stream.close(None, &[], sender);
                        continue;
                    }
                    Job::GiveUp(request, patience) => {
                        Timer::after(patience, Check::GiveUp(request))
                    }
                    Job::Expire(request, timeout) => {
                        Timer::after(Duration::from_millis(timeout), Check::Expire(request))
                    }
                    Job::Orphaned(request) => Timer::after(ORPHANED, Check::Orphaned(request)),
                    Job::Reapers => Timer::after(reaper::LOOK, Check::Reapers),
                    Job::Exit => Timer::after(STAY, Check::Exit(STAYS)),
                    Job::Callers => Timer::after(LOOK, Check::Callers(None)),
                    Job::Cancelled(request) => interrupted(request),
                    Job::Tried(request) => Timer::after(GRACE, Check::Worker(request)),
                    Job::Deadline(request, timeout) => Timer::after(
                        Duration::from_millis(timeout),
                        Check::Deadline(request, timeout),
                    ),
                };
                timers.push(timer);
            }
            if timers.len() > most {
                timers.retain(|Timer(_, check)| check.matters());
                most = SWEEP.max(2 * timers.len());
            }
            while timers
                .peek()
                .is_some_and(|Timer(due, _)| due.0 <= Instant::now())
            {
                let Some(Timer(_, check)) = timers.pop() else {
                    break;
                };
                timers.extend(check.make(sender, &mut message));
            }
        }
    }

    /// The jobs that came in, or none when a timer is due.
    fn wait(&self, timer: Option<&Timer>) -> Vec<Job> {
        let jobs = self.jobs.lock();
        let mut jobs = match timer {
            Some(Timer(due, _)) => {
                let left = due.0.saturating_duration_since(Instant::now());
                self.changed
                    .wait_timeout_while(jobs, left, |jobs| jobs.is_empty())
                    .0
            }
            None => self.changed.wait_while(jobs, |jobs| jobs.is_empty()),
        };
        std::mem::take(&mut *jobs)
    }
}

/// Starts one more worker for a pool, if it still needs one: others may have asked for the same. Should there be
/// no thread to be had, tries again later.
fn helped(pool: &Arc<Pool>) -> Option<Timer> {
    if !pool.needs_help() || worker::spawn_helper(Arc::clone(pool)).is_ok() {
        return None;
    }
    Some(Timer::after(HELP, Check::Help(Arc::downgrade(pool))))
}

/// Interrupts a request.
fn interrupted(request: Arc<Request>) -> Timer {
    interrupt::post(Arc::clone(&request));
    Timer::after(AGAIN, Check::Again(request))
}

impl Timer {
    fn after(delay: Duration, check: Check) -> Self {
        Timer(Reverse(Instant::now() + delay), check)
    }
}

impl Check {
    /// Whether there still is something to look after.
    fn matters(&self) -> bool {
        match self {
            Check::Worker(_)
            | Check::Again(_)
            | Check::Orphaned(_)
            | Check::Callers(_)
            | Check::Reapers
            | Check::Help(_)
            | Check::Exit(_) => true,
            Check::Deadline(request, _) | Check::Expire(request) | Check::GiveUp(request) => {
                request.upgrade().is_some_and(|r| r.is_pending())
            }
        }
    }

    /// Looks, and says when to look again.
    fn make(self, sender: Sender, message: &mut TermEnv) -> Option<Timer> {
        match self {
            Check::Worker(request) => {
                replace(&request, sender, message);
                None
            }
            Check::Again(request) => {
                request.place()?;
                // Should the interrupting thread be stuck itself.
                replace(&request, sender, message);
                Some(interrupted(request))
            }
            Check::Orphaned(request) => {
                let answered = request.answer(sender, message, |env| {
                    (atoms::error(), atoms::worker_down()).encode(env)
                });
                answered.then(|| interrupted(request))
            }
            Check::Reapers => {
                reaper::look(sender, message).then(|| Timer::after(reaper::LOOK, Check::Reapers))
            }
            Check::Exit(left) => {
                ending::stay_first();
                let left = if ending::is_at_work() {
                    STAYS
                } else {
                    left - 1
                };
                if left == 0 {
                    ending::work_has_ended();
                    return None;
                }
                Some(Timer::after(STAY, Check::Exit(left)))
            }
            Check::Help(pool) => helped(&pool.upgrade()?),
            Check::Callers(seen) => {
                let begun = direct::look(seen)?;
                Some(Timer::after(LOOK, Check::Callers(Some(begun))))
            }
            Check::Expire(request) => {
                let request = request.upgrade()?;
                if request.cancel(false) != Progress::Answered {
                    let stats = &request.pool.stats;
                    stats.timed_out.fetch_add(1, Ordering::Relaxed);
                }
                None
            }
            Check::GiveUp(request) => {
                // If it runs, that posts a job; if it waits, it never will run.
                request.upgrade()?.cancel(false);
                None
            }
            Check::Deadline(request, timeout) => {
                let request = request.upgrade()?;
                let running = request.place().is_some();
                let timed_out = request.answer(sender, message, |env| {
                    (atoms::error(), (atoms::timed_out(), timeout, running)).encode(env)
                });
                if !timed_out {
                    return None;
                }
                let stats = &request.pool.stats;
                stats.timed_out.fetch_add(1, Ordering::Relaxed);
                Some(interrupted(request))
            }
        }
    }
}

/// Gives up the worker that is still at a cancelled request.
fn replace(request: &Arc<Request>, sender: Sender, message: &mut TermEnv) {
    let Some(place) = request.place() else { return };
    assistant::remove_mark();
    stuck::count(request);
    // A context is its thread: it can only be waited for.
    if request.pool.namespace.is_some() {
        return;
    }
    if place.worker.stop_if_running(request) {
        request.pool.remove(&place.worker, sender);
        message.send(sender, &request.pool.owner, |env| {
            (atoms::worker_stuck(), place.worker.id).encode(env)
        });
    }
}
