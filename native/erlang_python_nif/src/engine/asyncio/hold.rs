//! What becomes of code that holds a loop up though nobody waits for it.
//!
//! A loop that has not turned some ms after a call was given up is held up, and looked at with the GIL until it turns:
//!
//! - By a call that somebody waits for: that has a timeout of its own, and is left alone.
//! - By one that was given up: the interrupter strikes it, as on `:main` (`Loop::cancel`).
//! - By code of no call, such as a callback of the loop, or a task whose call is over. It has no timeout of its own. It
//!   is struck when the loop has not turned for a second since a call was given up that was there, or waited in the
//!   queue. Its exception ends the task, or the callback, and the log says where it was.
//! - When the pool stops, that is struck at once, and all that is left when the tasks have had their time.
//!
//! A loop that does not turn `STAYS` after that is lost: it is in C code that nobody can interrupt. Another one takes its
//! place. Should it come back, the calls that it has go on to their ends, and then it ends as with its pool. A context
//! keeps its thread.
//!
//! Time alone proves nothing, as the loop may wait for the GIL: so a look must come back before the next one is asked
//! for, and some must have found it where it was.

use crate::base::Location;
use crate::base::atoms;
use crate::base::clock;
use crate::base::lock::Mutex;
use crate::base::server;
use crate::base::term_env::{SavedTerm, Sender, TermEnv};
use crate::engine::asyncio::blocked;
use crate::engine::asyncio::event_loop::{BUSY, Loop};
use crate::engine::main::interrupt::{self, Care, Told};
use crate::engine::main::runner;
use crate::pool::Pool;
use crate::pool::marks::INTERRUPTED;
use crate::pool::stuck::{Stays, Stuck};
use crate::pool::watch;
use crate::python::current;
use crate::python::interpreter::{Code, GilCell, Uncollected};
use pyo3::prelude::*;
use rustler::Encoder;
use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How often a loop is looked at that is held up.
const LOOK: Duration = Duration::from_millis(20);

/// How long code of no call may hold the loop up, from when a call was given up.
const NOBODYS: Duration = Duration::from_secs(1);

/// The same when the pool stops.
const CLOSES: Duration = Duration::from_millis(100);

/// How long code may last that was struck, and how many looks must have found it there.
const STAYS: Duration = Duration::from_millis(200);
const LOOKS: usize = 5;

/// When code that goes on is struck again. As often a loop that is lost is looked at.
const AGAIN: Duration = Duration::from_secs(1);

/// How long calls without a timeout wait for a loop that is lost.
const ENDLESS: Duration = Duration::from_secs(30);

/// What a look has found.
const NOTHING: u8 = 0;
/// Code of the loop itself: it is about to turn, or in a function in C that it has called.
const LOOP: u8 = 1;
const CALL: u8 = 2;
/// A call that was given up, and interrupted.
const STRUCK: u8 = 3;
const NOBODY: u8 = 4;

/// A loop's part in it.
#[derive(Default)]
pub struct Hold {
    /// It is looked at.
    watched: AtomicBool,
    /// It will be seen whether it turns.
    asked: AtomicBool,
    /// The interrupt is to strike with the next look.
    strikes: AtomicBool,
    /// How many looks have come back, and what the last one has found.
    looks: AtomicUsize,
    found: AtomicU8,
    /// How often its code was struck that is of no call.
    struck: AtomicUsize,
    care: GilCell<Option<Care>>,
    /// How often its thread has come into Python where the loop calls its code.
    pub entries: GilCell<Option<c_int>>,
    place: Mutex<Option<Location>>,
    lost: AtomicBool,
    /// For so long that nobody reads its streams any more.
    deserted: AtomicBool,
    stuck: Stuck,
}

impl Hold {
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    pub fn is_deserted(&self) -> bool {
        self.deserted.load(Ordering::SeqCst)
    }

    /// Where it was when it was lost.
    pub fn place(&self) -> Option<Location> {
        self.place.lock().clone()
    }
}

impl Stays for Loop {
    fn stuck(&self) -> &Stuck {
        &self.hold.stuck
    }
}

/// Sees, some ms later, whether a loop turns: a call was given up.
pub fn suspect(own: &Arc<Loop>) {
    if own.hold.watched.load(Ordering::SeqCst) || own.hold.asked.swap(true, Ordering::SeqCst) {
        return;
    }
    let own = Arc::clone(own);
    let seen = own.progress();
    clock::after(BUSY, move |_, _| {
        own.hold.asked.store(false, Ordering::SeqCst);
        if own.progress() == seen {
            watch(&own, None);
        }
        None
    });
}

/// The pool takes no request any more: the loop has its time to end, and no code is to keep it from that.
pub fn closing(own: &Arc<Loop>) {
    let own = Arc::clone(own);
    let since = Instant::now();
    // On the clock's thread, as all that begins to look.
    clock::after(BUSY, move |_, _| {
        let patience = own.of.get().map_or(Duration::ZERO, |of| of.patience);
        watch(&own, Some(since + patience));
        None
    });
}

/// Looks at a loop until it turns. `ends`: until it has ended; when it is to have.
fn watch(own: &Arc<Loop>, ends: Option<Instant>) {
    if own.hold.watched.swap(true, Ordering::SeqCst) && ends.is_none() {
        return;
    }
    let mut watch = Watch {
        own: Arc::clone(own),
        seen: own.progress(),
        since: Instant::now(),
        asked: own.hold.looks.load(Ordering::SeqCst),
        stays: None,
        struck: None,
        told: own.hold.struck.load(Ordering::SeqCst),
        lost: None,
        first: true,
        ends,
    };
    clock::after(Duration::ZERO, move |sender, message| {
        let next = watch.tick(sender, message);
        if next.is_none() {
            watch.own.hold.watched.store(false, Ordering::SeqCst);
        }
        next
    });
}

struct Watch {
    own: Arc<Loop>,
    /// How far it was, and since when it is looked at there.
    seen: usize,
    since: Instant,
    /// How many looks there are to be before the next.
    asked: usize,
    /// Since when it is found in code that was struck, and how many looks there were then.
    stays: Option<(Instant, usize)>,
    /// When code of no call was struck last.
    struck: Option<Instant>,
    /// How many strikes the log knows of.
    told: usize,
    lost: Option<Instant>,
    /// When its pool stops, what holds the loop up then is struck at once; what does so later, when its time is over.
    first: bool,
    ends: Option<Instant>,
}

impl Watch {
    fn tick(&mut self, sender: Sender, message: &mut TermEnv) -> Option<Duration> {
        let own = Arc::clone(&self.own);
        let of = own.of.get()?;
        let pool = of.pool.upgrade()?;
        // As the pool closes, another one begins to look.
        if own.ended.load(Ordering::Acquire) || self.ends.is_none() && pool.is_closed() {
            return None;
        }
        let struck = own.hold.struck.load(Ordering::SeqCst);
        if struck != self.told {
            self.told = struck;
            self.struck = Some(Instant::now());
            let what = atoms::loop_interrupted();
            tell(&own, &pool, what, self.since, sender, message);
        }
        let progress = own.progress();
        if progress != self.seen {
            own.hold.found.store(NOTHING, Ordering::SeqCst);
            if self.lost.is_none() {
                self.ends?;
            }
            self.seen = progress;
            self.since = Instant::now();
            (self.stays, self.struck, self.first) = (None, None, false);
        }
        // One that was lost and is back looks whether it has done all.
        own.ring();
        if own.hold.looks.load(Ordering::SeqCst) >= self.asked {
            let found = own.hold.found.load(Ordering::SeqCst);
            if found == CALL && self.ends.is_none() && self.lost.is_none() {
                own.hold.found.store(NOTHING, Ordering::SeqCst);
                return None;
            }
            self.judge(found, &pool, sender, message);
            self.ask(found);
        }
        let late = self.ends.is_some_and(|ends| ends.elapsed() > AGAIN);
        Some(if late || self.lost.is_some() {
            AGAIN
        } else {
            LOOK
        })
    }

    fn judge(&mut self, found: u8, pool: &Arc<Pool>, sender: Sender, message: &mut TermEnv) {
        if let Some(lost) = self.lost {
            if lost.elapsed() > ENDLESS && found != NOTHING {
                desert(&self.own, pool, sender, message);
            }
            return;
        }
        if found != STRUCK && (found == NOTHING || self.struck.is_none()) {
            self.stays = None;
            return;
        }
        let looks = self.own.hold.looks.load(Ordering::SeqCst);
        let (since, before) = *self.stays.get_or_insert((Instant::now(), looks));
        let stays = since.elapsed() >= STAYS && looks - before >= LOOKS;
        if stays && !pool.pinned && !pool.is_closed() {
            self.lost = Some(Instant::now());
            lose(&self.own, pool, found == STRUCK, sender, message);
            tell(
                &self.own,
                pool,
                atoms::loop_lost(),
                self.since,
                sender,
                message,
            );
        }
    }

    /// Whether code of no call has had its time.
    fn is_due(&self, found: u8) -> bool {
        let patience = match self.ends {
            Some(ends) if self.first || Instant::now() >= ends => CLOSES,
            // It is asked to end.
            Some(_) => return false,
            None => NOBODYS,
        };
        match found {
            NOBODY => self.since.elapsed() >= patience,
            // It was rung, and others had the GIL meanwhile: it would have turned.
            LOOP => self.since.elapsed() >= 2 * patience.max(STAYS),
            _ => false,
        }
    }

    fn ask(&mut self, found: u8) {
        let own = Arc::clone(&self.own);
        let again = self.struck.is_none_or(|struck| struck.elapsed() >= AGAIN);
        let strikes = again && self.is_due(found);
        own.hold.strikes.store(strikes, Ordering::SeqCst);
        self.asked = own.hold.looks.load(Ordering::SeqCst) + 1;
        let seen = self.seen;
        interrupt::look(Box::new(move |py| look(py, &own, seen)));
    }
}

/// Looks what holds the loop up, and strikes it if that is due. With the GIL: runs no code.
fn look(py: Python<'_>, own: &Arc<Loop>, seen: usize) -> Option<Told> {
    let _uncollected = Uncollected::new(py);
    let (found, location) = find(py, own, seen);
    own.hold.found.store(found, Ordering::SeqCst);
    let own = Arc::clone(own);
    Some(Box::new(move |_, _| {
        if found != NOTHING && !own.hold.is_lost() {
            own.hold.stuck.found(location.as_ref());
            let before = std::mem::replace(&mut *own.hold.place.lock(), location);
            drop(before);
        }
        own.hold.looks.fetch_add(1, Ordering::SeqCst);
    }))
}

fn find(py: Python<'_>, own: &Loop, seen: usize) -> (u8, Option<Location>) {
    let nothing = (NOTHING, None);
    if own.progress() != seen {
        return nothing;
    }
    let (Some(runner), Some(helpers)) = (own.runner.with(py, |r| r.clone()), current::helpers())
    else {
        return nothing;
    };
    // SAFETY: it is taken away with the GIL, before the thread ends.
    let frame = || unsafe { runner.any_frame(py) };
    let location = frame().and_then(|frame| frame.location());
    if let Some(request) = runner.innermost(py) {
        let found = if request.is_pending() {
            CALL
        } else if request.marks.has(INTERRUPTED) {
            STRUCK
        } else {
            // It is about to be.
            LOOP
        };
        return (found, location);
    }
    // What it does at its end is not for a strike, and what comes after that is none of the loop's.
    let runs = own.object.with(py, |object| object.is_some());
    if !runs || runner::codes(frame(), helpers).any(|code| is_ending(&code)) {
        return nothing;
    }
    let found = match &location {
        Some(location) if !blocked::is_of_loop(location) => NOBODY,
        _ => LOOP,
    };
    if own.hold.strikes.load(Ordering::SeqCst) {
        let kept = own.hold.care.with(py, |care| *care);
        let mut care = kept.unwrap_or_else(|| Care::new(Instant::now()));
        let entries = own.hold.entries.with(py, |entries| *entries);
        let entries = entries.unwrap_or(c_int::MAX);
        let struck = care.allows(py, helpers, frame)
            && runner.interrupt_nobody(helpers.interrupt.bind(py), entries);
        if struck {
            own.hold.struck.fetch_add(1, Ordering::SeqCst);
        }
        let kept = (!struck).then_some(care);
        own.hold.care.with(py, |care| *care = kept);
    }
    (found, location)
}

/// Whether it is the task that ends the others.
fn is_ending(code: &Code<'_>) -> bool {
    code.name().is_some_and(|name| name == "_ending")
        && code
            .file()
            .is_some_and(|file| file.ends_with("/erlang/_loop.py"))
}

/// Another loop takes its place. `counted`: a call of its is at work, which counts as stuck itself.
fn lose(own: &Arc<Loop>, pool: &Arc<Pool>, counted: bool, sender: Sender, message: &mut TermEnv) {
    let worker = own.of.get().and_then(|of| of.worker.upgrade());
    let Some(worker) = worker else { return };
    own.hold.lost.store(true, Ordering::Release);
    worker.stop();
    pool.retire(&worker, sender);
    if !counted {
        let stays: Arc<dyn Stays> = own.clone();
        pool.count_stuck_thread(&stays);
    }
    // It may have come back this moment.
    own.ring();
    message.send(sender, &pool.owner, |env| {
        (atoms::worker_stuck(), worker.id).encode(env)
    });
}

/// A loop that was lost has come back.
pub fn come_back(own: &Loop, pool: &Pool) {
    pool.end_stuck(&own.hold.stuck);
}

/// Who waits without a timeout, for a loop that may never come back, waits for nothing. Its streams are lost.
fn desert(own: &Loop, pool: &Arc<Pool>, sender: Sender, message: &mut TermEnv) {
    let worker = own.of.get().and_then(|of| of.worker.upgrade());
    let Some(worker) = worker else { return };
    if !own.hold.deserted.swap(true, Ordering::SeqCst) {
        pool.remove(&worker, sender);
    }
    for request in worker.current() {
        if request.time_left().is_none()
            && request.answer(sender, message, |env| {
                (atoms::error(), atoms::worker_down()).encode(env)
            })
        {
            watch::watch(request);
        }
    }
}

fn tell(
    own: &Loop,
    pool: &Pool,
    what: rustler::Atom,
    since: Instant,
    sender: Sender,
    message: &mut TermEnv,
) {
    let Some(server) = server::get() else { return };
    let (location, ms) = (own.hold.place(), since.elapsed().as_millis() as u64);
    message.send(sender, &server, |env| {
        let place = match &location {
            Some(location) => location.encode(env),
            None => atoms::none().encode(env),
        };
        (what, SavedTerm::load(pool.home, env), place, ms).encode(env)
    });
}
