//! The thread that raises `erlang.Interrupt` in requests that nobody waits for any more.
//!
//! It may wait for the GIL as long as it takes; nothing else waits for it. It runs no Python code and opens no
//! file, as either can be anybody's and block: then no call of the VM would be interrupted any more. (In a Python
//! process of its own it does read the file that code is in: what hangs there is killed.)
//!
//! An exception out of the blue leaves a lock locked if it strikes after the lock was taken and
//! before the `try` that gives it back is reached. For a lock of a script's own that is the script's
//! loss. For those of imports, of `logging` and of conditions (so of `queue`) it would be everybody's,
//! for good: threads are not interrupted in their code, or elsewhere where `delicate.rs` says so.
//!
//! A module that is imported is everybody's, too. An import has some time to come to its end, that of an extension
//! module as long as it takes.

use crate::base::atoms;
use crate::base::inbox::Inbox;
use crate::base::once::start_once;
use crate::base::side;
use crate::base::term_env::{Sender, TermEnv};
use crate::engine::main::assistant;
use crate::engine::main::kept;
use crate::engine::main::on_interrupt;
use crate::engine::main::runner::{self, Runner};
use crate::pool::elsewhere;
use crate::pool::request::Request;
use crate::pool::sink::Body;
use crate::pool::watch;
use crate::python::current;
use crate::python::helpers::Helpers;
use crate::python::interpreter::delicate::Look as Delicacy;
use crate::python::interpreter::imports::Loading;
use crate::python::interpreter::{
    Detached, Frame, Location, Uncollected, stack_size, wait_for_python,
};
use crate::python::source;
use pyo3::prelude::*;
use rustler::Encoder;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// When to look again at a thread that is not to be interrupted where it is. It may be there most of
/// the time, so this is often enough to meet it elsewhere. It may wait there for long: each look takes
/// twice as long to come as the one before, up to the second.
const SOON: Duration = Duration::from_millis(1);
const LATER: Duration = Duration::from_millis(8);

/// How long it may take to find out what is ahead of a thread.
const UNKNOWN: Duration = Duration::from_secs(1);

/// How long an import has to come to its end.
pub const LOADS: Duration = Duration::from_secs(10);

/// How long a `__del__` method has to come to its end. In there an interrupt is lost: Python prints what such a method
/// raises, and goes on.
const FINALIZES: Duration = Duration::from_millis(50);

/// How long code has to end by itself, after its functions were run.
const ENDS: Duration = Duration::from_millis(50);

/// A thread that cannot be interrupted for so long may be waiting for what its code has registered.
const UNREACHED: Duration = Duration::from_millis(100);

static POSTED: Inbox<Posted> = Inbox::new();

enum Posted {
    Request(Arc<Request>, Option<Check>),
    Look(Look),
}

/// Looks at something with the GIL, runs no code of Python's, and says what is to be told without it.
pub type Look = Box<dyn FnOnce(Python<'_>) -> Option<Told> + Send>;
pub type Told = Box<dyn FnOnce(Sender, &mut TermEnv) + Send>;

/// Whether a request is still at what it is to be interrupted in. Quick, with the GIL.
pub type Check = Box<dyn Fn() -> bool + Send>;

/// Starts the thread. Once per VM.
pub fn start() -> std::io::Result<()> {
    static STARTED: AtomicBool = AtomicBool::new(false);
    start_once(&STARTED, || {
        std::thread::Builder::new()
            .name("py_interrupt".into())
            .stack_size(stack_size())
            .spawn(|| {
                let Some(sender) = Sender::own_thread() else {
                    return;
                };
                wait_for_python();
                let own = Detached::new();
                let mut message = TermEnv::new();
                let mut aims: Vec<Aim> = Vec::new();
                loop {
                    for posted in POSTED.wait(aims.iter().map(|aim| aim.due).min()) {
                        let (request, goes_on) = match posted {
                            Posted::Request(request, goes_on) => (request, goes_on),
                            Posted::Look(look) => {
                                let told = own.attach(look);
                                if let Some(told) = told.flatten() {
                                    told(sender, &mut message);
                                }
                                continue;
                            }
                        };
                        let known = aims
                            .iter()
                            .position(|aim| Arc::ptr_eq(&aim.request, &request));
                        let known = known.map(|at| aims.swap_remove(at));
                        let begun = known.map(|aim| aim.care.begun);
                        aims.push(Aim::new(request, goes_on, begun));
                    }
                    let now = Instant::now();
                    aims.retain(|aim| aim.request.place().is_some());
                    if aims.iter().all(|aim| aim.due > now) {
                        continue;
                    }
                    // All at once: where many threads compete for the GIL, it takes long to get.
                    own.attach(|py| {
                        let _uncollected = Uncollected::new(py);
                        for aim in aims.iter_mut().filter(|aim| aim.due <= now) {
                            aim.strike(py);
                        }
                    });
                    aims.retain_mut(|aim| aim.due > now || !aim.follow(sender, &mut message));
                }
            })
            .map(drop)
    })
}

/// Hands a cancelled request over. Never waits.
pub fn post(request: Arc<Request>) {
    POSTED.post(Posted::Request(request, None));
}

/// The same, unless it has gone on by then.
pub fn post_while(request: Arc<Request>, goes_on: Check) {
    POSTED.post(Posted::Request(request, Some(goes_on)));
}

/// Has the thread look at something. Never waits.
pub fn look(look: Look) {
    POSTED.post(Posted::Look(look));
}

/// Where threads are not to be interrupted. They are looked at again and again.
#[derive(Clone, Copy)]
pub struct Care {
    begun: Instant,
    /// Since when it was found in a `__del__` method.
    finalizes: Option<Instant>,
}

impl Care {
    /// `begun`: since when it is tried.
    pub fn new(begun: Instant) -> Self {
        Care {
            begun,
            finalizes: None,
        }
    }

    /// Whether a thread may be interrupted in the code that it is in. With the GIL, and without running any code.
    pub fn allows<'py>(
        &mut self,
        py: Python<'py>,
        helpers: &Helpers,
        frame: impl Fn() -> Option<Frame<'py>>,
    ) -> bool {
        let codes = || runner::codes(frame(), helpers);
        match helpers.imports.look(codes()) {
            Loading::Nothing => {}
            Loading::Module if self.begun.elapsed() > LOADS => {}
            Loading::Module | Loading::Extension => return false,
        }
        if codes().any(|code| code.is_finalizer()) {
            if self.finalizes.get_or_insert_with(Instant::now).elapsed() < FINALIZES {
                return false;
            }
        } else {
            self.finalizes = None;
        }
        match helpers.delicate.look(py, frame()) {
            Delicacy::Safe => true,
            Delicacy::Delicate => false,
            Delicacy::Unknown(code) => {
                assistant::examine(code);
                // Should that be held up, an interrupt matters more.
                self.begun.elapsed() >= UNKNOWN
            }
        }
    }
}

/// A request that is to be interrupted, and when.
struct Aim {
    request: Arc<Request>,
    goes_on: Option<Check>,
    care: Care,
    due: Instant,
    delay: Duration,
    /// What came of the last try.
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    /// There is nothing more to do.
    done: bool,
    /// First its own functions are to end what it waits for.
    delegated: bool,
    /// Where Python was, and the request's terms: it may end at once.
    location: Option<Location>,
    body: Option<Arc<Body>>,
    /// Requests of its callbacks, which are at work in its place.
    nested: Vec<Arc<Request>>,
}

impl Aim {
    /// `begun`: when it was first tried.
    fn new(request: Arc<Request>, goes_on: Option<Check>, begun: Option<Instant>) -> Self {
        let now = Instant::now();
        Aim {
            request,
            goes_on,
            care: Care::new(begun.unwrap_or(now)),
            due: now,
            delay: SOON,
            seen: Seen::default(),
        }
    }

    fn is_first(&self) -> bool {
        self.delay == SOON
    }

    /// Interrupts the request, unless its thread is where it should not be interrupted. With the GIL, so
    /// nothing is done here that others could hold up: neither is a lock of a stream's or a pool's taken, nor
    /// code run that is not ours.
    fn strike(&mut self, py: Python<'_>) {
        let runner = self.request.place().and_then(Runner::at);
        let (Some(runner), Some(helpers)) = (runner, current::helpers()) else {
            self.seen.done = true;
            return;
        };
        if self.goes_on.as_ref().is_some_and(|goes_on| !goes_on()) {
            self.seen.done = true;
            return;
        }
        // The place first: once interrupted, Python is elsewhere.
        if self.is_first() {
            self.seen.body = self.request.body();
            let frame = runner.frame(py, &self.request);
            self.seen.location = frame.and_then(|frame| frame.location());
            self.request.stuck.found(self.seen.location.as_ref());
            let functions = kept::functions(&self.request);
            if functions.is_some_and(|functions| functions.is_to_run()) {
                // They end what it waits for, by an error. Struck as well, it would be in the middle of
                // dealing with that.
                self.seen.delegated = true;
                return;
            }
        }
        // From the look to the interrupt no Python code runs, so the GIL stays here and the thread
        // where it is.
        let frame = || runner.frame(py, &self.request);
        if !self.care.allows(py, helpers, frame) {
            return;
        }
        if !runner.interrupt(&self.request, helpers.interrupt.bind(py)) {
            self.seen.nested = runner.nested_in(py, &self.request);
        }
        self.seen.done = true;
    }

    /// Tells those who want to know, without the GIL. False if it is to be tried again.
    fn follow(&mut self, sender: Sender, message: &mut TermEnv) -> bool {
        let seen = std::mem::take(&mut self.seen);
        if let Some(body) = &seen.body {
            self.request
                .tell_location(body, sender, message, |env| match &seen.location {
                    // Who hears of it is elsewhere, and sees neither the text of code nor these files.
                    Some(location) if side::is_worker() => {
                        let (file, line, function) = location;
                        let shown = (file, line, function, source::shown(file, *line));
                        (atoms::location(), shown).encode(env)
                    }
                    Some(location) => (atoms::location(), location).encode(env),
                    // In no Python code, but in a C function that was called directly.
                    None => (atoms::location(), atoms::none()).encode(env),
                });
        }
        // What its callbacks have asked for in turn is asked for by nobody any more.
        for nested in seen.nested {
            elsewhere::end(nested, sender, message);
        }
        if self.is_first() {
            watch::tried(Arc::clone(&self.request));
        }
        // Afterwards, as a wait that ends then ends with the interrupt. But that may never be had.
        if seen.done || seen.delegated || self.care.begun.elapsed() > UNREACHED {
            on_interrupt::run(&self.request);
        }
        if !seen.done {
            let pause = if seen.delegated { ENDS } else { self.delay };
            self.due = Instant::now() + pause;
            self.delay = LATER.min(self.delay * 2);
        }
        seen.done
    }
}
