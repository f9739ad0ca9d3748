//! The thread of an event loop: it enters Python once, and stays there until the loop ends.

use crate::base::Location;
use crate::base::atoms;
use crate::base::term_env::{Sender, TermEnv};
use crate::engine::asyncio::Asyncio;
use crate::engine::asyncio::awaits::{self, Awaits};
use crate::engine::asyncio::begin;
use crate::engine::asyncio::event_loop::{Letter, Loop};
use crate::engine::asyncio::futures;
use crate::engine::asyncio::hold;
use crate::engine::asyncio::step::Step;
use crate::engine::main::isolation;
use crate::engine::main::on_interrupt;
use crate::engine::main::origin::{self, OriginObject};
use crate::engine::main::outbox;
use crate::engine::main::own;
use crate::engine::main::runner;
use crate::engine::main::seat::{self, Seat};
use crate::pool::marks::{POSTED, SKIP};
use crate::pool::request::Request;
use crate::pool::{Next, Pool, Worker, ending};
use crate::python::current;
use crate::python::interpreter::{self, GilCell};
use crate::python::made::Made;
use crate::python::namespace;
use pyo3::intern;
use pyo3::prelude::*;
use rustler::Encoder;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long it begins with requests before the loop goes on with what it has begun.
const TURN: Duration = Duration::from_millis(2);

/// How a loop is made, see `_loop.py`.
pub struct Kind {
    pub name: &'static str,
    /// How long its tasks have to end, in ms.
    pub patience: u64,
}

pub fn spawn(
    pool: Arc<Pool>,
    worker: Arc<Worker>,
    own: Arc<Loop>,
    kind: Kind,
) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name(format!("py_loop_{}", worker.id))
        .stack_size(interpreter::stack_size())
        .spawn(move || {
            let Some(sender) = Sender::own_thread() else {
                return;
            };
            let text = run(&pool, &worker, &own, &kind, sender);
            let failed = text.unwrap_or_else(|| "the event loop has ended".into());
            let _ = own.started.set(Err(failed));
            leave(&pool, &worker, sender);
            hold::come_back(&own, &pool);
            interpreter::leave_for_good();
            own.ended.store(true, Ordering::Release);
        })
        .map(drop)
}

/// The loop, to its end. Why it could not go on, if it is not to end.
fn run(
    pool: &Arc<Pool>,
    worker: &Arc<Worker>,
    own: &Arc<Loop>,
    kind: &Kind,
    sender: Sender,
) -> Option<String> {
    let _serving = ending::Serving::begin();
    let done = runner::enter(worker, |py, runner, place| {
        isolation::settle(py);
        let seat = Seat {
            pool,
            worker,
            runner,
            place,
            sender,
            event_loop: Some(own.clone()),
        };
        let _entered = seat.enter();
        let runs = Arc::clone(runner);
        own.runner.with(py, |runner| *runner = Some(runs));
        if let (Some(namespace), Some(helpers)) = (own::namespace(pool), current::helpers()) {
            // Should it fail (for want of memory), the interpreter's `__main__` serves.
            let _ = namespace.make(py, helpers);
        }
        let result = namespace::at_bottom(py, own::namespace(pool), || {
            let handle = Bound::new(py, LoopObject::new(own))?;
            let module = py.import("erlang._loop")?;
            let variable = origin::variable(py)?.object(py);
            module
                .getattr("run")?
                .call1((handle, kind.name, kind.patience, variable))
        });
        if let (Some(namespace), Some(helpers)) = (own::namespace(pool), current::helpers()) {
            namespace.clear(py, helpers);
        }
        let ended = own.runner.with(py, Option::take);
        drop(ended);
        result.err().map(|error| error.to_string())
    });
    done.flatten()
}

/// What is left when a loop has ended is answered by nobody else.
fn leave(pool: &Arc<Pool>, worker: &Arc<Worker>, sender: Sender) {
    let replaced = !pool.is_closed() && !worker.is_stopped();
    worker.stop();
    pool.remove(worker, sender);
    let mut message = TermEnv::new();
    for request in worker.current() {
        request.leave();
        worker.end_beside(&request);
        pool.ended();
        pool.stats.busy.fetch_sub(1, Ordering::Relaxed);
        request.answer(sender, &mut message, |env| {
            (atoms::error(), atoms::worker_down()).encode(env)
        });
        request.forget_body();
        crate::pool::stream::settle(&request, sender);
    }
    if replaced {
        message.send(sender, &pool.owner, |env| {
            (atoms::worker_stuck(), worker.id).encode(env)
        });
    }
}

/// The loop, for its code in Python.
#[pyclass(frozen, module = "erlang", name = "_Loop")]
pub struct LoopObject(Made<Own>);

struct Own {
    event_loop: Arc<Loop>,
    awaits: GilCell<Option<Arc<Awaits>>>,
}

impl LoopObject {
    fn new(event_loop: &Arc<Loop>) -> Self {
        LoopObject(Made::new(Own {
            event_loop: Arc::clone(event_loop),
            awaits: GilCell::new(None),
        }))
    }
}

#[pymethods]
impl LoopObject {
    /// What wakes the loop.
    fn fileno(&self) -> PyResult<i32> {
        Ok(self.0.or_raise()?.event_loop.descriptor())
    }

    /// The class that coroutines are registered as.
    #[getter]
    fn step(&self, py: Python<'_>) -> Py<PyAny> {
        py.get_type::<Step>().into_any().unbind()
    }

    /// A coroutine whose steps belong to the call that the context variable names.
    #[staticmethod]
    fn follow<'py>(
        coroutine: Bound<'py, PyAny>,
        origin: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Ok(origin) = origin.cast::<OriginObject>() else {
            return Ok(coroutine);
        };
        if coroutine.is_instance_of::<Step>() {
            return Ok(coroutine);
        }
        let origin = origin.get().get()?.clone();
        let step = Step::of_task(coroutine.clone().unbind(), origin);
        Ok(Bound::new(coroutine.py(), step)?.into_any())
    }

    /// The loop runs from now on.
    fn started(&self, py: Python<'_>, event_loop: Py<PyAny>, awaits: Awaits) -> PyResult<()> {
        let own = self.0.or_raise()?;
        let object = &own.event_loop.object;
        let before = object.with(py, |object| object.replace(event_loop));
        drop(before);
        let before = own.awaits.with(py, |known| known.replace(Arc::new(awaits)));
        drop(before);
        let _ = own.event_loop.started.set(Ok(()));
        own.event_loop.ring();
        Ok(())
    }

    /// Whether it is to end.
    #[getter]
    fn stops(&self) -> PyResult<bool> {
        Ok(self.0.or_raise()?.event_loop.stops.load(Ordering::Acquire))
    }

    /// Looks out for what may come at once. True if something has, though its descriptor need not be readable.
    fn looks_out(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.0.or_raise()?.event_loop.looks_out(py))
    }

    /// Nobody takes what it has looked out for.
    fn ring_again(&self) -> PyResult<()> {
        self.0.or_raise()?.event_loop.ring_again();
        Ok(())
    }

    /// The loops of its pool that were lost and are not back, each with the place where that was.
    fn lost(&self, py: Python<'_>) -> Vec<(Py<PyAny>, Option<Location>)> {
        let running = seat::running();
        let engine = running
            .as_ref()
            .and_then(|running| Asyncio::of(&running.pool));
        let lost = engine.map(Asyncio::lost).unwrap_or_default();
        let objects = lost.iter().filter_map(|own| {
            let object = &own.object;
            let object = object.with(py, |object| object.as_ref().map(|o| o.clone_ref(py)))?;
            Some((object, own.hold.place()))
        });
        objects.collect()
    }

    /// The loop is closed.
    fn ended(&self, py: Python<'_>) -> PyResult<()> {
        let own = self.0.or_raise()?;
        let object = own.event_loop.object.with(py, Option::take);
        let waiting = own.event_loop.waiting.with(py, std::mem::take);
        drop((object, waiting));
        Ok(())
    }

    /// Takes what has come. True if the loop is to end.
    fn take(&self, py: Python<'_>) -> PyResult<bool> {
        let own = self.0.or_raise()?;
        let running = seat::running()
            .filter(|r| r.event_loop.is_some())
            .ok_or_else(awaits::foreign)?;
        let Some(awaits) = own.awaits.with(py, |awaits| awaits.clone()) else {
            return Ok(false);
        };
        let seat = Seat {
            pool: &running.pool,
            worker: &running.worker,
            runner: &running.runner,
            place: &running.place,
            sender: running.sender,
            event_loop: running.event_loop.clone(),
        };
        // The callback before was struck too late.
        running.runner.end_of_nobodys(py);
        let entries = running.runner.entries(py);
        own.event_loop
            .hold
            .entries
            .with(py, |known| *known = Some(entries));
        for letter in own.event_loop.look() {
            own.event_loop.stepped();
            let done = match letter {
                Letter::Settled(number) => futures::settle(py, &own.event_loop, number),
                Letter::Mail(mailbox) => futures::deliver(py, &own.event_loop, mailbox),
                Letter::Written(request) => {
                    let outbox = outbox::of(&request);
                    if let Some(end) = outbox.and_then(|outbox| outbox.take_end()) {
                        end(py);
                    }
                    Ok(())
                }
                Letter::Cancel(request, interrupted) => {
                    request.marks.take(POSTED);
                    // An interrupt that has struck since is in its place: its `finally` blocks may await.
                    let struck = !interrupted && request.marks.struck();
                    cancel(py, &own.event_loop, &awaits, &request, struck, seat.sender);
                    Ok(())
                }
            };
            // The others are not to be lost with it.
            if let Err(error) = done {
                error.write_unraisable(py, None);
            }
        }
        let hold = &own.event_loop.hold;
        if hold.is_lost() && !seat.pool.is_closed() {
            hold::come_back(&own.event_loop, seat.pool);
            // Others have the queue. It ends with the calls and streams that it has.
            let next = || match seat.pool.take_pinned(seat.worker.id) {
                Some(request) => Next::Run(request),
                None => Next::Idle,
            };
            if let Next::Run(first) = next() {
                let namespace = own::namespace(seat.pool);
                namespace::within(py, namespace, || {
                    take_all(py, &seat, &own.event_loop, &awaits, first, &next)
                });
            }
            if seat.worker.work().0 || !hold.is_deserted() && has_streams(py, &own.event_loop)? {
                return Ok(false);
            }
        }
        // A letter wakes it as well, and then it is still among those that are idle.
        seat.pool.has_come(seat.worker);
        match seat.pool.next(seat.worker, seat.sender, true) {
            Next::Run(first) => {
                // What runs at once stands in `__main__`, as calls do.
                let namespace = own::namespace(seat.pool);
                let next = || seat.pool.next(seat.worker, seat.sender, true);
                Ok(namespace::within(py, namespace, || {
                    take_all(py, &seat, &own.event_loop, &awaits, first, &next)
                }))
            }
            Next::LookOut(_) | Next::Idle => Ok(false),
            Next::Stop => Ok(stop(&own.event_loop)),
        }
    }
}

/// Begins with what waits, for as long as the loop can do without. True if that is to end.
fn take_all(
    py: Python<'_>,
    seat: &Seat<'_>,
    own: &Arc<Loop>,
    awaits: &Awaits,
    first: Arc<Request>,
    next: &dyn Fn() -> Next,
) -> bool {
    let mut reply = TermEnv::new();
    let begun = Instant::now();
    let mut request = first;
    loop {
        begin::begin(py, seat, own, awaits, &request, &mut reply);
        if begun.elapsed() > TURN {
            own.ring();
            return false;
        }
        match next() {
            Next::Run(next) => request = next,
            Next::LookOut(_) | Next::Idle => return false,
            Next::Stop => return stop(own),
        }
    }
}

/// Whether streams are open that are read in the loop.
fn has_streams(py: Python<'_>, own: &Loop) -> PyResult<bool> {
    let object = own
        .object
        .with(py, |object| object.as_ref().map(|o| o.clone_ref(py)));
    let module = py.import(intern!(py, "erlang._loop_stream"))?;
    module
        .call_method1(intern!(py, "any_in"), (object,))?
        .extract()
}

fn stop(own: &Loop) -> bool {
    own.stops.store(true, Ordering::Release);
    true
}

/// Ends the task of a request that nobody waits for any more. `struck`: it was interrupted.
pub fn cancel(
    py: Python<'_>,
    own: &Arc<Loop>,
    awaits: &Awaits,
    request: &Arc<Request>,
    struck: bool,
    sender: Sender,
) {
    if request.place().is_none() {
        return;
    }
    // Its code has come to its end, and waits for a reader.
    let outbox = outbox::of(request);
    if let Some(end) = outbox.and_then(|outbox| outbox.give_up()) {
        end(py);
        return;
    }
    let Some(task) = own.task_to_cancel(py, request, struck) else {
        return;
    };
    // It takes as long as the rest together, and thousands may have been cancelled.
    if request.is_asked_for_location() || own.told(py, request) > 1 {
        tell_location(request, awaits.place(&task), sender);
    }
    // At the end of the loop all tasks are cancelled, and have time for their `finally` blocks.
    if !own.stops.load(Ordering::Acquire) && !request.marks.take(SKIP) {
        awaits::cancel(&task);
    }
    on_interrupt::run(request);
}

fn tell_location(request: &Arc<Request>, place: Option<Location>, sender: Sender) {
    request.stuck.found(place.as_ref());
    if let Some(body) = request.body() {
        request.tell_location(&body, sender, &mut TermEnv::new(), |env| match &place {
            Some(place) => (atoms::location(), place).encode(env),
            None => (atoms::location(), atoms::none()).encode(env),
        });
    }
}
