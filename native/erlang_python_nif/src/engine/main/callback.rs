//! Python calls Elixir.
//!
//! A call of a function of the other side sends the function and its arguments to a process of
//! Elixir's (`Python.Callback`), which runs it in a process of its own, and waits for the answer
//! without the GIL. The wait ends with the answer, with the death of that process, or when nobody
//! waits for the request any more that the Python code is part of.
//!
//! While it waits, the thread runs requests that come from its own callback, on its own stack: so
//! the nesting of Elixir and Python costs stack and no workers. A request that comes by way of
//! another process, such as a GenServer that the callback asks, waits in the pool's queue like any
//! other; if all workers wait for callbacks, the pool gets one more for as long as that lasts
//! (`Pool::help`). Serving the queue here instead could run code that waits for a lock which the
//! waiting Python code below holds.

use crate::base::atoms;
use crate::base::lock::{self, Condvar, Mutex, MutexGuard};
use crate::base::lookout::{LOOK, Luck};
use crate::base::server;
use crate::base::side;
use crate::base::sleepers::{Limit, Wake};
use crate::base::term_env::{SavedTerm, Sender, TermEnv};
use crate::engine::main::awaiting::Awaited;
use crate::engine::main::beside;
use crate::engine::main::drain;
use crate::engine::main::kept;
use crate::engine::main::origin::{self, Origin};
use crate::engine::main::output;
use crate::engine::main::own::Main;
use crate::engine::main::patience::Patience;
use crate::engine::main::seat::{self, Running};
use crate::pool::Pool;
use crate::pool::elsewhere::{self, Elsewhere};
use crate::pool::marks::{BESIDE, NESTED, TOLD};
use crate::pool::queue::{ANY, Start};
use crate::pool::request::Request;
use crate::python::child;
use crate::python::contextvars::Kept as Context;
use crate::python::convert::{Decoder, Encoder, Failure};
use crate::python::current;
use crate::python::host::{Host, Target};
use crate::python::interpreter::traced::Tracers;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rustler::{Encoder as _, Env, LocalPid, Monitor, Resource, ResourceArc, Term};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Whether answers come at once.
static LUCK: Luck = Luck::new();

/// The process that runs callbacks and writes logs.
pub fn server() -> PyResult<LocalPid> {
    server::get()
        .ok_or_else(|| PyRuntimeError::new_err("the application erlang_python is not running"))
}

/// A call into Elixir that Python waits for.
pub struct Callback {
    state: Mutex<State>,
    changed: Condvar,
    /// How often the state has changed.
    changes: AtomicUsize,
    /// The pool that the waiting request runs on, if it is one that waits.
    pool: Option<Arc<Pool>>,
    /// The request that it is for.
    request: Option<Arc<Request>>,
    /// It is the body of a `with`, see `hold.rs`.
    hold: bool,
    /// What the VM knows it by, if that is another process. 0: it does not.
    number: AtomicU64,
    /// Wakes the event loop that waits in place of a thread.
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// The context variables of a body that a loop goes on beside.
    surroundings: OnceLock<(Arc<Context>, Arc<Tracers>)>,
    /// The event loop that waits, by its pool and worker: what is asked for runs there, as its objects may belong to it.
    place: OnceLock<(Arc<Pool>, u64)>,
}

#[derive(Default)]
struct State {
    answer: Option<(TermEnv, SavedTerm)>,
    /// There was an answer, which may have been taken.
    answered: bool,
    /// Requests from the callback, to be run by the thread that waits.
    nested: VecDeque<Arc<Request>>,
    /// Requests from the callback that others run.
    elsewhere: Elsewhere,
    /// The process ended without an answer.
    down: bool,
    /// Nobody waits any more.
    over: bool,
}

/// What the process that runs the function holds, and `Python.Callback`, which answers when that process
/// ends without having done so. When nobody is left to answer, Python does not wait any longer.
pub struct CallbackHandle(pub Arc<Callback>);

impl Resource for CallbackHandle {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        self.0.down();
    }
}

impl CallbackHandle {
    /// For `resources::register`: nobody waits for it.
    pub fn spare() -> Self {
        CallbackHandle(Callback::new(None, None, false))
    }
}

impl Drop for CallbackHandle {
    fn drop(&mut self) {
        self.0.down();
    }
}

impl Callback {
    /// Something that is printed, which no thread waits for.
    pub fn of_output() -> Arc<Self> {
        Self::new(None, None, false)
    }

    /// The body of a `with`.
    pub fn of_hold(request: &Arc<Request>) -> Arc<Self> {
        Self::new(
            Some(Arc::clone(&request.pool)),
            Some(Arc::clone(request)),
            true,
        )
    }

    fn new(pool: Option<Arc<Pool>>, request: Option<Arc<Request>>, hold: bool) -> Arc<Self> {
        Arc::new(Callback {
            state: Mutex::default(),
            changed: Condvar::new(),
            changes: AtomicUsize::new(0),
            pool,
            request,
            hold,
            number: AtomicU64::new(0),
            wake: OnceLock::new(),
            surroundings: OnceLock::new(),
            place: OnceLock::new(),
        })
    }

    /// What its body asks of the pool has these context variables.
    pub fn set_surroundings(&self, context: Context, tracers: Arc<Tracers>) {
        let _ = self.surroundings.set((Arc::new(context), tracers));
    }

    /// A loop waits for it, in which runs what it asks of that pool.
    pub fn set_place(&self, pool: &Arc<Pool>, worker: u64) {
        let _ = self.place.set((Arc::clone(pool), worker));
    }

    /// What the VM is to know it by.
    pub fn set_number(&self, number: u64) {
        self.number.store(number, Ordering::Release);
    }

    /// The request that it is for.
    pub fn request(&self) -> Option<Arc<Request>> {
        self.request.clone()
    }

    pub fn is_hold(&self) -> bool {
        self.hold
    }

    /// The process ended without an answer.
    pub fn is_down(&self) -> bool {
        let state = self.lock();
        state.down && !state.answered
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Held for a few moves.
        self.state.lock()
    }

    /// The state has changed.
    fn tell(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_one();
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    /// Nobody will answer.
    pub fn down(&self) {
        let waits = {
            let mut state = self.lock();
            state.down = true;
            !state.over
        };
        if waits {
            self.tell();
        }
    }

    /// `{:ok, value}` or `{:error, {kind, type, reason, stacktrace, original}}`. False if nobody
    /// waits any more, or it was answered before.
    pub fn answer(&self, term: Term<'_>) -> bool {
        let env = TermEnv::new();
        let saved = env.copy(term);
        let mut state = self.lock();
        if state.over || state.answer.is_some() {
            return false;
        }
        state.answer = Some((env, saved));
        state.answered = true;
        drop(state);
        self.tell();
        true
    }

    /// Whether it needs no answer any more.
    pub fn is_answered(&self) -> bool {
        let state = self.lock();
        state.over || state.answer.is_some()
    }

    /// Hands a request from the callback to the thread that waits. Gives it back if it is for
    /// another pool or nobody waits. A thread that Python started is of no pool, and of each: the
    /// workers may be waiting for it. It cannot stand in for a context's.
    pub fn nest(&self, request: Arc<Request>) -> Result<(), Arc<Request>> {
        let same = match &self.pool {
            Some(pool) => Arc::ptr_eq(pool, &request.pool),
            None => Main::runs_anywhere(&request.pool),
        };
        // A loop goes on, and takes it from the queue.
        if same && let Some(surroundings) = self.surroundings.get() {
            kept::surround(&request, surroundings);
        }
        if let Some((pool, worker)) = self.place.get()
            && Arc::ptr_eq(pool, &request.pool)
            && request.pin() == ANY
        {
            request.pin_to(*worker);
        }
        let same = same && self.wake.get().is_none();
        let mut state = self.lock();
        if !same || state.over || state.answer.is_some() {
            return Err(request);
        }
        request.marks.set(NESTED);
        state.nested.push_back(request);
        drop(state);
        self.tell();
        Ok(())
    }

    /// A request from the callback goes to the queue of a pool, or is over with that.
    pub fn note_elsewhere(&self, request: &Arc<Request>, sender: Sender) {
        let noted = self.lock().elsewhere.note(request);
        if !noted {
            elsewhere::end(Arc::clone(request), sender, &mut TermEnv::new());
        }
    }

    /// Nobody waits for the callback any more, nor for what it has asked of others. What the waiting thread runs
    /// for it itself is ended by the interrupter.
    fn give_up(&self, sender: Sender) {
        let noted = self.lock().elsewhere.give_up();
        elsewhere::end_all(&noted, sender);
    }

    fn wait(self: &Arc<Self>, patience: Option<&Patience>) -> Event {
        lock::forbid("an answer is waited for");
        // Most answers take no longer than the waking of a thread that sleeps.
        beside::watch(&LUCK, LOOK, || self.changes.load(Ordering::Acquire) != 0);
        if let Ok(event) = self.event(&mut self.lock(), patience) {
            return event;
        }
        let who = Arc::downgrade(self);
        let _request = patience.map(|patience| patience.sleep(who.clone()));
        let _queue = self.served_queue().map(|pool| pool.sleepers.enter(who));
        let mut state = self.lock();
        loop {
            match self.event(&mut state, patience) {
                Ok(event) => return event,
                Err(until) => state = self.changed.wait_until(state, until),
            }
        }
    }

    /// What has happened, or until when the thread may sleep.
    fn event(
        &self,
        state: &mut State,
        patience: Option<&Patience>,
    ) -> Result<Event, Option<Instant>> {
        let limit = patience.map(Patience::limit);
        // What comes when the request was given up would not be ended with it, by an interrupt that was before.
        if !matches!(limit, Some(Limit::Over))
            && let Some(nested) = state.nested.pop_front()
        {
            return Ok(Event::Nested(nested));
        }
        if let Some((env, answer)) = state.answer.take() {
            return Ok(Event::Answer(env, answer));
        }
        // First, as what has given the request up may have ended the process too.
        let until = match limit {
            Some(Limit::Over) => return Ok(Event::GivenUp),
            Some(Limit::At(until)) => Some(until),
            Some(Limit::Open) | None => None,
        };
        if state.down {
            return Ok(Event::Down);
        }
        match self.served_queue().and_then(|pool| pool.take_waiting()) {
            Some(request) => Ok(Event::Claimed(request)),
            None => Err(until),
        }
    }

    /// The queue that the waiting thread serves: a context is its one thread, so that what waits for it can be run
    /// by nobody else.
    fn served_queue(&self) -> Option<&Arc<Pool>> {
        let pool = self.pool.as_ref()?;
        (pool.pinned && !pool.is_reserved()).then_some(pool)
    }

    /// The end of the wait. Requests that came too late go back to the queue, or are over with that.
    pub fn close(&self, sender: Sender) {
        let mut state = self.lock();
        state.over = true;
        let late = std::mem::take(&mut state.nested);
        let given_up = state.elsewhere.is_given_up();
        let answered = state.answered;
        drop(state);
        // Who has answered knows that this is the end of it.
        let number = self.number.load(Ordering::Acquire);
        if let (Some(link), 1.., false) = (side::link(), number, answered) {
            link.over(number);
        }
        for request in late {
            request.marks.take(NESTED);
            if given_up && !request.marks.take(BESIDE) {
                elsewhere::end(request, sender, &mut TermEnv::new());
                continue;
            }
            let pool = Arc::clone(&request.pool);
            pool.submit_anyway(request, sender);
        }
    }
}

impl Wake for Callback {
    fn wake(&self) {
        // A thread that has looked and does not sleep yet holds the lock.
        drop(self.lock());
        self.tell();
    }
}

enum Event {
    Answer(TermEnv, SavedTerm),
    Nested(Arc<Request>),
    /// A request from the queue, running already.
    Claimed(Arc<Request>),
    Down,
    GivenUp,
}

/// What Python objects ask for.
pub struct Elixir;

impl Host for Elixir {
    fn call<'py>(
        &self,
        py: Python<'py>,
        target: Target<'_>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        call(py, target, args, kwargs)
    }

    fn home<'a>(&self, env: Env<'a>) -> Term<'a> {
        origin::home(env)
    }
}

/// Calls a function of the other side and waits for what it gives. In an event loop what it gives is to be awaited.
pub fn call<'py>(
    py: Python<'py>,
    target: Target<'_>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    child::refuse_in_child()?;
    let is_device = matches!(target, Target::Device(_));
    if !is_device {
        // What was printed before comes before what the function prints.
        output::flush_now(py)?;
    }
    let running = seat::running();
    let sender = match &running {
        Some(running) => running.sender,
        None => Sender::own_thread()
            .ok_or_else(|| PyRuntimeError::new_err("this thread cannot call Elixir"))?,
    };
    let request = running.as_ref().and_then(|running| running.request(py));
    let event_loop = running.as_ref().and_then(|r| r.event_loop.clone());
    let callback = Callback::new(
        // An event loop runs nothing while it waits.
        running
            .as_ref()
            .filter(|_| event_loop.is_none())
            .map(|running| Arc::clone(&running.pool)),
        // A thread that Python has started works for one too.
        request.clone().or_else(|| origin::request(py)),
        false,
    );
    if let (Some(event_loop), false) = (event_loop, is_device) {
        if let Some(running) = &running {
            callback.set_place(&running.pool, running.worker.id);
        }
        let future = event_loop.future(py, Arc::clone(&callback) as _)?;
        let sent = send(
            py,
            &callback,
            request.as_ref(),
            target,
            (args, kwargs),
            sender,
        );
        if let Err(error) = sent {
            future.call_method0(intern!(py, "cancel"))?;
            return Err(error);
        }
        return Ok(future);
    }
    send(
        py,
        &callback,
        request.as_ref(),
        target,
        (args, kwargs),
        sender,
    )?;
    let result = wait(py, &callback, request.as_ref(), running.as_ref(), sender);
    callback.close(sender);
    result
}

/// Has the process of Elixir's run a function.
fn send<'py>(
    py: Python<'py>,
    callback: &Arc<Callback>,
    request: Option<&Arc<Request>>,
    target: Target<'_>,
    (args, kwargs): (&Bound<'py, PyTuple>, Option<&Bound<'py, PyDict>>),
    sender: Sender,
) -> PyResult<()> {
    let to = server()?;
    let mut message = TermEnv::new();
    let sent = {
        let env = message.env();
        let args = to_term(py, env, &args.to_list(), request)?;
        let kwargs = match kwargs {
            Some(kwargs) => to_term(py, env, kwargs, request)?,
            None => Term::map_new(env),
        };
        let target = match target {
            Target::Function(function) => function.in_env(env),
            Target::Name(name) => name.encode(env),
            Target::Device(device) => (atoms::device(), device).encode(env),
        };
        let caller = match request {
            Some(request) => request.caller(),
            None => origin::of_context(py).and_then(|origin| origin.caller()),
        };
        let handle = ResourceArc::new(CallbackHandle(Arc::clone(callback)));
        let origin = (caller, origin::leader(py, request, env));
        let term = (atoms::callback(), handle, target, args, kwargs, origin).encode(env);
        SavedTerm::save(term)
    };
    if !message.send(sender, &to, |env| sent.load(env)) {
        server::forget(to);
        return Err(PyRuntimeError::new_err(
            "the application erlang_python is not running",
        ));
    }
    Ok(())
}

/// Has the process of Elixir's write a text to a device.
pub fn send_text(
    callback: &Arc<Callback>,
    device: rustler::Atom,
    text: &str,
    origin: &Origin,
    sender: Sender,
) {
    let handle = ResourceArc::new(CallbackHandle(Arc::clone(callback)));
    let Some(to) = server::get() else { return };
    let sent = TermEnv::new().send(sender, &to, |env| {
        let target = (atoms::device(), device);
        let origin = (origin.caller(), origin.leader(env));
        let none = Term::map_new(env);
        (atoms::callback(), handle, target, vec![text], none, origin).encode(env)
    });
    if !sent {
        server::forget(to);
    }
}

impl Awaited for Callback {
    fn on_settled(&self, wake: Box<dyn Fn() + Send + Sync>) {
        let _ = self.wake.set(wake);
    }

    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let answer = self.lock().answer.take();
        if let Some(sender) = Sender::own_thread() {
            self.close(sender);
        }
        match answer {
            Some((env, answer)) => value(py, env.term(answer)),
            None => Err(killed(py)),
        }
    }

    fn give_up(&self) {
        if let Some(sender) = Sender::own_thread() {
            Callback::give_up(self, sender);
            self.close(sender);
        }
    }
}

/// The process ended without an answer.
fn killed(py: Python<'_>) -> PyErr {
    let reason = "the process that ran the function was killed";
    error(py, "exit", "", reason, "", None)
}

fn to_term<'a>(
    py: Python<'_>,
    env: Env<'a>,
    object: &Bound<'_, PyAny>,
    request: Option<&Arc<Request>>,
) -> PyResult<Term<'a>> {
    // `object` and the decoder must agree on a lifetime of the GIL; both are this call's.
    let mut decoder = Decoder::new(object.py(), env, false).handing_out();
    let term = decoder
        .value(object)
        .map_err(|failure| failure.into_python("the arguments for Elixir"))?;
    kept::hand_out(py, request, decoder.handed_out());
    Ok(term)
}

/// Waits for the answer, and runs what is nested meanwhile.
pub fn wait<'py>(
    py: Python<'py>,
    callback: &Arc<Callback>,
    request: Option<&Arc<Request>>,
    running: Option<&Running>,
    sender: Sender,
) -> PyResult<Bound<'py, PyAny>> {
    let mut patience = request.map(|request| Patience::of(py, request));
    loop {
        // What is nested runs: only the wait itself counts as one.
        let blocked = match running {
            Some(running) => Some(running.pool.block()),
            None => origin::block(),
        };
        let event = py.detach(|| callback.wait(patience.as_ref()));
        drop(blocked);
        match event {
            Event::Answer(env, answer) => return value(py, env.term(answer)),
            Event::Nested(request) => match running {
                Some(running) => drain::run_nested(running, py, &request, true, callback.hold),
                None => drain::run_on_foreign_thread(py, &request, sender),
            },
            Event::Claimed(request) => {
                if let Some(running) = running {
                    drain::run_nested(running, py, &request, false, false);
                }
            }
            Event::Down => return Err(killed(py)),
            Event::GivenUp if patience.as_mut().is_some_and(|it| it.prolong(py)) => {}
            Event::GivenUp => {
                callback.give_up(sender);
                return Err(given_up(py, running, request));
            }
        }
    }
}

/// The exception for code that nobody waits for any more.
pub fn given_up(
    py: Python<'_>,
    running: Option<&Running>,
    request: Option<&Arc<Request>>,
) -> PyErr {
    if let (Some(running), Some(request)) = (running, request) {
        request.marks.set(TOLD);
        running.runner.pre_empt(py, request);
    }
    let interrupt = current::started().and_then(|helpers| helpers.interrupt.bind(py).call0());
    interrupt.map_or_else(|error| error, PyErr::from_value)
}

/// The value of an answer, or the exception that it stands for.
fn value<'py>(py: Python<'py>, answer: Term<'_>) -> PyResult<Bound<'py, PyAny>> {
    if let Ok((tag, value)) = answer.decode::<(rustler::Atom, Term)>() {
        if tag == atoms::ok() {
            return Encoder::new(py)
                .value(value)
                .map_err(|failure: Failure| failure.into_python("the result from Elixir"));
        }
        if let Ok((kind, class, reason, stacktrace, original)) =
            value.decode::<(&str, &str, &str, &str, Term)>()
        {
            return Err(error(py, kind, class, reason, stacktrace, Some(original)));
        }
    }
    Err(PyRuntimeError::new_err("Elixir returned an invalid answer"))
}

fn error(
    py: Python<'_>,
    kind: &str,
    class: &str,
    reason: &str,
    stacktrace: &str,
    original: Option<Term<'_>>,
) -> PyErr {
    let make = || {
        let helpers = current::started()?;
        let error = helpers
            .error
            .bind(py)
            .call1((kind, reason, stacktrace, class))?;
        if let Some(original) = original {
            error.setattr("_original", crate::python::convert::keep(py, original)?)?;
        }
        Ok(PyErr::from_value(error))
    };
    make().unwrap_or_else(|error: PyErr| error)
}
