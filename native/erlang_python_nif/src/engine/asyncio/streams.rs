//! Streams whose items are made in an event loop: by a task that lasts as long as the stream (`_loop_stream.py`).

use crate::base::atoms;
use crate::base::term_env::TermEnv;
use crate::engine::asyncio::end::Flight;
use crate::engine::asyncio::step::Step;
use crate::engine::main::answer;
use crate::engine::main::call::{Answer, Work};
use crate::engine::main::error::Error;
use crate::engine::main::fill::{self, Clock, Filled, Filling};
use crate::engine::main::isolation::Isolated;
use crate::engine::main::items::{self, Items};
use crate::engine::main::origin::Origin;
use crate::engine::main::seat;
use crate::pool::stream::{Found, Limits, Stream, closed};
use crate::python::handle::Handle;
use crate::python::interpreter::GilCell;
use crate::python::made::Made;
use pyo3::intern;
use pyo3::prelude::*;
use rustler::{Atom, Env, Term};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an iterator may make items before the loop goes on.
const TURN: Duration = Duration::from_millis(4);

/// `{:ok, consumer}` for what is to be iterated over, in a loop.
pub fn open<'a>(
    work: &Work<'_, '_, '_, 'a>,
    object: &Bound<'_, PyAny>,
    limits: Limits,
    worker: u64,
) -> Result<Term<'a>, Error> {
    let module = work.py.import(intern!(work.py, "erlang._loop_stream"))?;
    let reader = module.call_method1(intern!(work.py, "Reader"), (object,))?;
    let context = work
        .isolated
        .keep()
        .or_else(|| work.isolated.keep_current());
    let items = Items::new(reader.unbind(), context, false, worker);
    Ok(fill::made(work, items, limits))
}

/// Has the task of a stream fill a chunk, or end. Gives the task, if the request waits for it.
pub fn begin<'py>(py: Python<'py>, flight: Flight) -> PyResult<Bound<'py, PyAny>> {
    let request = flight.request.clone();
    let operation = flight.body.operation().decode::<(Atom,)>();
    let closes = operation.is_ok_and(|(tag,)| tag == atoms::close());
    let (Some(stream), Some(items)) = (Stream::of(&request), items::of(&request)) else {
        let filling = FillingObject::new(flight, closes, None);
        filling.give_up(py);
        return Ok(py.None().into_bound(py));
    };
    let clock = if closes {
        fill::begin_to_close(stream);
        None
    } else {
        Some(Filling::new(py, stream, items).prepare())
    };
    let reader = items.iterator(py);
    let filling = Bound::new(py, FillingObject::new(flight, closes, clock))?;
    let begun = match reader {
        Some(reader) => reader.call_method1(intern!(py, "begin"), (&filling,)),
        // It has ended before.
        None => Ok(py.None().into_bound(py)),
    };
    match begun {
        Ok(task) if !task.is_none() => Ok(task),
        Ok(_) => {
            filling.get().give_up(py);
            Ok(py.None().into_bound(py))
        }
        Err(error) => {
            filling.get().failed(py, error.value(py))?;
            Ok(py.None().into_bound(py))
        }
    }
}

/// A request that fills a chunk, or closes the iterator, for the task that does it.
#[pyclass(frozen, module = "erlang", name = "_Filling")]
pub struct FillingObject(Made<Own>);

struct Own {
    closes: bool,
    /// Until it is answered.
    flight: GilCell<Option<(Flight, Option<Clock>)>>,
}

impl FillingObject {
    fn new(flight: Flight, closes: bool, clock: Option<Clock>) -> Self {
        FillingObject(Made::new(Own {
            closes,
            flight: GilCell::new(Some((flight, clock))),
        }))
    }

    fn take(&self, py: Python<'_>) -> PyResult<Option<(Flight, Option<Clock>)>> {
        Ok(self.0.or_raise()?.flight.with(py, Option::take))
    }

    /// There is nothing to be done.
    fn give_up(&self, py: Python<'_>) {
        if let Ok(Some((flight, _))) = self.take(py) {
            answer_by(py, flight, |env| Answer::Here(closed(env)));
        }
    }
}

/// What is known of a stream with every item.
const MORE: u8 = 0;
const ANSWERED: u8 = 1;
/// It has ended, or failed, or is wanted by nobody.
const OVER: u8 = 2;

#[pymethods]
impl FillingObject {
    #[getter]
    fn closes(&self) -> PyResult<bool> {
        Ok(self.0.or_raise()?.closes)
    }

    /// A coroutine whose steps are those of this request, until another one adopts it.
    fn follow(&self, py: Python<'_>, coroutine: Py<PyAny>) -> PyResult<Option<Step>> {
        let own = self.0.or_raise()?;
        let request = own.flight.with(py, |flight| {
            flight
                .as_ref()
                .map(|(flight, _)| Arc::clone(&flight.request))
        });
        Ok(request.map(|request| {
            let context = items::of(&request).and_then(|items| items.context());
            let context = context.map(|kept| Handle::new(kept.object(py).unbind()));
            Step::of_stream(coroutine, Origin::of(&request), context)
        }))
    }

    fn adopt(&self, py: Python<'_>, step: &Bound<'_, Step>) -> PyResult<()> {
        let own = self.0.or_raise()?;
        let origin = own.flight.with(py, |flight| {
            flight
                .as_ref()
                .map(|(flight, _)| Origin::of(&flight.request))
        });
        if let Some(origin) = origin {
            step.get().adopt(py, origin);
        }
        Ok(())
    }

    /// The task has come to it: thousands of others may have been before.
    fn begin(&self, py: Python<'_>) -> PyResult<u8> {
        self.ask(py, |filling, clock| {
            filling.begin_prepared(clock);
            Filled::More
        })
    }

    /// Takes an item.
    fn add<'py>(&self, py: Python<'py>, item: Bound<'py, PyAny>) -> PyResult<u8> {
        self.ask(py, |filling, clock| filling.put(item, clock, None))
    }

    /// Takes items of an iterator, for some ms.
    fn fill<'py>(&self, py: Python<'py>, iterator: &Bound<'py, PyAny>) -> PyResult<u8> {
        let until = Instant::now() + TURN;
        let running = seat::running().filter(|running| !running.pool.pinned);
        let settings = running.as_ref().map(|running| running.runner.settings(py));
        let state = loop {
            let state = self.ask(py, |filling, clock| filling.next(iterator, clock));
            if !matches!(state, Ok(MORE)) || Instant::now() >= until {
                break state;
            }
        };
        if let Some(settings) = settings {
            settings.end();
        }
        state
    }

    /// There are no more items.
    fn ended(&self, py: Python<'_>) -> PyResult<u8> {
        self.ask(py, |filling, _| Filled::Answer(filling.ended()))?;
        Ok(OVER)
    }

    /// The iterator has raised this.
    fn failed(&self, py: Python<'_>, error: &Bound<'_, PyAny>) -> PyResult<u8> {
        let error = PyErr::from_value(error.clone().unbind().into_bound(py));
        self.ask(py, |_, _| Filled::Raised(error))?;
        Ok(OVER)
    }

    /// The iterator is closed.
    fn closed(&self, py: Python<'_>) {
        self.give_up(py);
    }
}

impl FillingObject {
    fn ask<'py>(
        &self,
        py: Python<'py>,
        work: impl for<'f> FnOnce(&Filling<'f, 'py>, &mut Clock) -> Filled<'static>,
    ) -> PyResult<u8> {
        let own = self.0.or_raise()?;
        let Some((flight, Some(mut clock))) = self.take(py)? else {
            return Ok(OVER);
        };
        let request = flight.request.clone();
        let (Some(stream), Some(items)) = (Stream::of(&request), items::of(&request)) else {
            return Ok(OVER);
        };
        if request.is_over() {
            end(py, flight, None);
            return Ok(OVER);
        }
        let filling = Filling::new(py, stream, items);
        let answer = match work(&filling, &mut clock) {
            Filled::More => {
                own.flight
                    .with(py, |kept| *kept = Some((flight, Some(clock))));
                return Ok(MORE);
            }
            Filled::Answer(answer) => Some(answer),
            Filled::Raised(error) => {
                // To describe it may take long.
                (!request.is_over()).then(|| filling.failed(error.into()))
            }
        };
        let over = answer.is_none() || stream.lock().found != Found::More;
        end(py, flight, answer);
        Ok(if over { OVER } else { ANSWERED })
    }
}

fn answer_by(py: Python<'_>, flight: Flight, build: impl for<'a> FnOnce(Env<'a>) -> Answer<'a>) {
    let mut reply = TermEnv::new();
    let operation = flight.body.operation();
    let isolated = Isolated::here(py);
    let request = flight.request.clone();
    let outcome = answer::perform_by(&request, operation, &mut reply, &isolated, |work, _tag| {
        Ok(build(work.env))
    });
    conclude(py, flight, Some(outcome), reply);
}

/// Answers, or says that nobody waits any more.
fn end(py: Python<'_>, flight: Flight, answer: Option<Answer<'static>>) {
    match answer {
        Some(Answer::Elsewhere(env, term)) => {
            answer_by(py, flight, |_| Answer::Elsewhere(env, term));
        }
        Some(Answer::Here(_)) | None => conclude(py, flight, None, TermEnv::new()),
    }
}

fn conclude(py: Python<'_>, flight: Flight, outcome: Option<answer::Outcome>, mut reply: TermEnv) {
    let Some(running) = seat::running() else {
        return;
    };
    flight.end(py, &running.runner, outcome, &mut reply, running.sender);
}
