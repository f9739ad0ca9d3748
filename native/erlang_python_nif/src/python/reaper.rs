//! The threads that give up references to Python objects whose handles the BEAM has collected.
//!
//! A destructor runs on a scheduler and must not wait for the GIL, so it leaves the pointer (`handle`).
//! Workers could empty the queue in passing, but giving up a reference can run a `__del__` of any
//! length, which must hold up neither a caller nor a worker.
//!
//! One thread does it, Python's main thread. A finalizer that blocks (it waits for a lock, or for Elixir)
//! holds that up: so the clock looks whether each reaper gets on, takes away what a blocked one has
//! left, and starts another.

use crate::base::atoms;
use crate::base::clock;
use crate::base::lock::{Mutex, MutexGuard};
use crate::base::server;
use crate::base::term_env::{Sender, TermEnv};
use crate::python::current;
use crate::python::handle::{self, Objects};
use crate::python::interpreter::{Location, Uncollected};
use crate::python::interpreter::{
    PythonThread, enter, leave_for_good, stack_size, wait_for_python,
};
use pyo3::prelude::*;
use rustler::Encoder;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How many references are given up before others may have the GIL.
const BATCH: usize = 1_000;

/// How often it is looked whether the reapers get on, while there is work.
const LOOK: Duration = Duration::from_millis(50);

/// A reaper that has been at one object for so long is blocked: another one takes its place.
const BLOCKED: Duration = Duration::from_millis(100);

/// When the log is told.
const WARN: Duration = Duration::from_secs(1);

/// How often, at most. `Python.info/0` knows of all.
const WARN_AGAIN: Duration = Duration::from_secs(5);

/// How many reapers there are at most. What they all are blocked for waits.
const MOST: usize = 32;

/// Held for a push, a removal or a copy.
static REAPERS: Mutex<Vec<Arc<Reaper>>> = Mutex::new(Vec::new());

/// The clock looks after the reapers.
static WATCHED: AtomicBool = AtomicBool::new(false);

/// When the log was told last.
static WARNED: Mutex<Option<Instant>> = Mutex::new(None);

struct Reaper {
    /// What it is going to give up. Its lock is held for a moment, and no other is taken meanwhile.
    batch: Mutex<Objects>,
    /// Odd while it is at an object.
    steps: AtomicU64,
    /// Of the object that it is at, with a reference of its own.
    class: Mutex<Option<Py<PyAny>>>,
    thread: OnceLock<Arc<PythonThread>>,
    watch: Mutex<Watch>,
}

/// What the clock knows of a reaper. Its lock is held for an assignment.
#[derive(Default)]
struct Watch {
    steps: u64,
    since: Option<Instant>,
    /// Another one has been started in its place.
    replaced: bool,
    warned: bool,
    finalizer: Option<Finalizer>,
}

/// A finalizer that blocks its thread.
#[derive(Clone, Default)]
pub struct Finalizer {
    pub class: String,
    /// Where it is: the file, the line and the function that were called first. None if it is in C.
    pub place: Option<Location>,
    pub ms: u64,
}

/// How many references wait to be given up.
pub fn pending() -> usize {
    let waiting = handle::waiting();
    let taken = reapers()
        .into_iter()
        .map(|reaper| lock(&reaper.batch).len());
    waiting + taken.sum::<usize>()
}

/// Whether nothing waits to be given up, or is being.
pub fn is_idle() -> bool {
    let at_work = |reaper: &Arc<Reaper>| !reaper.steps.load(Ordering::Acquire).is_multiple_of(2);
    pending() == 0 && !reapers().iter().any(at_work)
}

/// The finalizers that block.
pub fn blocked() -> Vec<Finalizer> {
    let found = reapers();
    let found = found.iter().filter_map(|reaper| {
        let watch = lock(&reaper.watch);
        let since = watch.since.filter(|_| watch.replaced)?;
        if reaper.steps.load(Ordering::Acquire) != watch.steps {
            return None;
        }
        Some(Finalizer {
            ms: since.elapsed().as_millis() as u64,
            ..watch.finalizer.clone()?
        })
    });
    found.collect()
}

/// Never returns. For the thread that started the interpreter, Python's main thread, which has
/// nothing else to do.
pub fn run() -> ! {
    let reaper = Reaper::join();
    loop {
        if reaper.take(true) {
            reaper.give_up();
        }
    }
}

/// The same on a thread of its own, where Python's main thread has something else to do.
pub fn spawn() -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("py_reaper".into())
        .stack_size(stack_size())
        .spawn(|| {
            wait_for_python();
            run()
        })
        .map(drop)
}

fn reapers() -> Vec<Arc<Reaper>> {
    lock(&REAPERS).clone()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

impl Reaper {
    fn join() -> Arc<Self> {
        let reaper = Arc::new(Reaper {
            batch: Mutex::new(Objects::new()),
            steps: AtomicU64::new(0),
            class: Mutex::new(None),
            thread: OnceLock::new(),
            watch: Mutex::default(),
        });
        lock(&REAPERS).push(Arc::clone(&reaper));
        reaper
    }

    /// Waits for objects and takes some. `stays`: though others have nothing to do either. False if it is
    /// not needed any more.
    fn take(&self, stays: bool) -> bool {
        let Some(taken) = Objects::take(BATCH, stays) else {
            return false;
        };
        *lock(&self.batch) = taken;
        if !WATCHED.swap(true, Ordering::SeqCst) {
            clock::after(LOOK, |sender, message| {
                look(sender, message).then_some(LOOK)
            });
        }
        true
    }

    fn give_up(&self) {
        enter(|py, thread| {
            let _ = self.thread.set(Arc::clone(thread));
            let mut last = std::ptr::null_mut();
            loop {
                // The lock is given back before anything else is done, here and below.
                let next = lock(&self.batch).pop();
                let Some(object) = next else {
                    break;
                };
                // SAFETY: a strong reference that `release` was handed; the GIL is held.
                let object = unsafe { Bound::from_owned_ptr(py, object.as_ptr()) };
                if object.get_type_ptr() != last {
                    last = object.get_type_ptr();
                    let class = object.get_type().into_any().unbind();
                    let before = lock(&self.class).replace(class);
                    drop(before);
                }
                self.steps.fetch_add(1, Ordering::AcqRel);
                let settings = thread.settings(py);
                drop(object);
                settings.end();
                self.steps.fetch_add(1, Ordering::AcqRel);
            }
            let class = lock(&self.class).take();
            drop(class);
        });
    }

    /// Whether it is at one object, and for how long it has been.
    fn stands(&self, watch: &mut Watch) -> Option<Duration> {
        let steps = self.steps.load(Ordering::Acquire);
        if steps != watch.steps {
            *watch = Watch {
                steps,
                ..Watch::default()
            };
        }
        let at_work = !steps.is_multiple_of(2);
        at_work.then(|| watch.since.get_or_insert_with(Instant::now).elapsed())
    }
}

/// Sees to it that somebody gets on. On the clock's thread. False if it need not look again.
fn look(sender: Sender, message: &mut TermEnv) -> bool {
    let mut busy = false;
    for reaper in reapers() {
        let mut watch = lock(&reaper.watch);
        let Some(stands) = reaper.stands(&mut watch) else {
            continue;
        };
        busy = true;
        if stands >= BLOCKED && !watch.replaced {
            drop(watch);
            // Should there be no thread to be had, it is tried again.
            let replaced = replace(&reaper);
            lock(&reaper.watch).replaced = replaced;
        } else if stands >= WARN
            && !watch.warned
            && lock(&WARNED).is_none_or(|last| last.elapsed() >= WARN_AGAIN)
            && let Some(finalizer) = watch.finalizer.clone()
        {
            watch.warned = true;
            drop(watch);
            *lock(&WARNED) = Some(Instant::now());
            warn(&finalizer, stands, sender, message);
        }
    }
    if busy || pending() > 0 {
        return true;
    }
    WATCHED.store(false, Ordering::SeqCst);
    pending() > 0 && !WATCHED.swap(true, Ordering::SeqCst)
}

/// Takes away what a reaper has left that is blocked, and starts another. False if there is no thread to be had.
fn replace(blocked: &Arc<Reaper>) -> bool {
    let left = std::mem::replace(&mut *lock(&blocked.batch), Objects::new());
    left.leave();
    if lock(&REAPERS).len() >= MOST {
        return true;
    }
    let blocked = Arc::clone(blocked);
    let reaper = Reaper::join();
    let own = Arc::clone(&reaper);
    let started = std::thread::Builder::new()
        .name("py_reaper".into())
        .stack_size(stack_size())
        .spawn(move || {
            enter(|py, _| blocked.note(py));
            while own.take(false) {
                own.give_up();
            }
            leave_reapers(&own);
            leave_for_good();
        });
    if started.is_err() {
        leave_reapers(&reaper);
    }
    started.is_ok()
}

fn leave_reapers(reaper: &Arc<Reaper>) {
    lock(&REAPERS).retain(|other| !Arc::ptr_eq(other, reaper));
}

impl Reaper {
    /// Writes down where it is blocked, for those who cannot ask Python.
    fn note(&self, py: Python<'_>) {
        let steps = self.steps.load(Ordering::Acquire);
        let Some(helpers) = current::helpers() else {
            return;
        };
        let class = lock(&self.class).as_ref().map(|class| class.clone_ref(py));
        let class = class.map(|class| {
            let name = helpers.class_name.bind(py).call1((class,));
            name.and_then(|name| name.extract()).unwrap_or_default()
        });
        let place = {
            let _uncollected = Uncollected::new(py);
            self.place(py, steps)
        };
        let finalizer = Finalizer {
            class: class.unwrap_or_default(),
            place,
            ms: 0,
        };
        let mut watch = lock(&self.watch);
        if watch.steps == steps && self.steps.load(Ordering::Acquire) == steps {
            watch.finalizer = Some(finalizer);
        }
    }
}

impl Reaper {
    /// Where it is in the finalizer that it has begun with at this step.
    fn place(&self, py: Python<'_>, steps: u64) -> Option<Location> {
        let at_it = self.steps.load(Ordering::Acquire) == steps && !steps.is_multiple_of(2);
        let thread = self.thread.get().filter(|_| at_it)?;
        // SAFETY: the thread needs the GIL to get on from where it is, which is not its end.
        let frame = unsafe { thread.frame(py) }?;
        frame.outermost().location()
    }
}

fn warn(finalizer: &Finalizer, stands: Duration, sender: Sender, message: &mut TermEnv) {
    let Some(server) = server::get() else {
        return;
    };
    let Finalizer { class, place, .. } = finalizer;
    let ms = stands.as_millis() as u64;
    message.send(sender, &server, |env| {
        let counts = (blocked().len(), MOST, pending());
        (atoms::finalizer_blocked(), class, place.clone(), ms, counts).encode(env)
    });
}
