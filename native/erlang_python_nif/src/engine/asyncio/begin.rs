//! The beginning of a request in an event loop: what runs at once, and the task that awaits what that gives.

use crate::base::atoms;
use crate::base::term_env::TermEnv;
use crate::engine::asyncio::awaits::Awaits;
use crate::engine::asyncio::end::Flight;
use crate::engine::asyncio::event_loop::Loop;
use crate::engine::asyncio::serve;
use crate::engine::asyncio::slices::Slices;
use crate::engine::asyncio::step::{Gives, Step};
use crate::engine::asyncio::streams;
use crate::engine::main::answer::{self, Outcome};
use crate::engine::main::call::{Answer, Work};
use crate::engine::main::error::Error;
use crate::engine::main::isolation::{Isolated, Nesting};
use crate::engine::main::kept;
use crate::engine::main::origin::{self, Origin, OriginObject};
use crate::engine::main::output;
use crate::engine::main::own;
use crate::engine::main::seat::Seat;
use crate::pool::request::Request;
use crate::python::child;
use crate::python::namespace;
use pyo3::prelude::*;
use pyo3::types::PyList;
use rustler::types::atom::Atom;
use rustler::{Encoder, Env};
use std::sync::Arc;

/// What a request has become.
type Awaited<'py> = Option<(Bound<'py, PyAny>, Gives)>;

/// Runs a request that `Pool::next` claimed: to its end, or as far as its task.
pub fn begin(
    py: Python<'_>,
    seat: &Seat<'_>,
    own: &Arc<Loop>,
    awaits: &Awaits,
    request: &Arc<Request>,
    reply: &mut TermEnv,
) {
    let Some(flight) = Flight::begin(request, own, seat.worker) else {
        return;
    };
    let before = own.begin_step(Arc::as_ptr(request) as usize);
    run(py, seat, own, awaits, flight, reply);
    own.end_step(before);
}

fn run(
    py: Python<'_>,
    seat: &Seat<'_>,
    own: &Arc<Loop>,
    awaits: &Awaits,
    mut flight: Flight,
    reply: &mut TermEnv,
) {
    let request = &Arc::clone(&flight.request);
    request.enter(Arc::clone(seat.place));
    seat.runner.begin(py, request);
    let isolated = Isolated::enter(py, request, Nesting::Outermost);
    let origin = Origin::of(request);
    let _ = mark(py, Some(&origin));
    // Whoever closed it before the request could be found could not interrupt it.
    if seat.pool.is_closed() {
        request.answer(seat.sender, reply, |env| {
            (atoms::error(), atoms::closed()).encode(env)
        });
    }
    if request.receiver().is_some() {
        seat.runner.end(py, request);
        let begun = streams::begin(py, flight);
        if let Ok(task) = &begun
            && !task.is_none()
            && request.place().is_some()
        {
            own.keep(py, request, task.clone().unbind());
            if request.is_over() {
                serve::cancel(py, own, awaits, request, false, seat.sender);
            }
        }
        unmark(py, seat);
        isolated.restore();
        return;
    }
    let mut awaited = None;
    // As on other engines, a `Python.Context` keeps what its calls set.
    let settings = (!seat.pool.pinned).then(|| {
        let settings = seat.runner.settings(py);
        (
            settings,
            seat.runner.resume_traced(py, kept::tracers(request)),
        )
    });
    let mut outcome = (!request.is_over()).then(|| {
        work(
            py,
            seat,
            &mut flight,
            awaits,
            reply,
            &isolated,
            &mut awaited,
        )
    });
    if let Some((settings, traced)) = settings {
        // What goes on later is traced by it then.
        let goes_on = awaited.is_some() || kept::tracers(request).is_some();
        traced.suspend(kept::tracers(request), || {
            let tracers = goes_on.then(|| kept::make_tracers(request)).flatten();
            tracers.map(|tracers| &**tracers)
        });
        settings.end();
    }
    if let Some((coroutine, gives)) = awaited {
        output::finish(py);
        seat.runner.end(py, request);
        let step = Step::of_call(coroutine.unbind(), origin, flight, gives);
        match awaits.start(py, step) {
            Ok(task) => {
                if request.place().is_some() {
                    own.keep(py, request, task.clone().unbind());
                    // It was given up before there was a task.
                    if request.is_over() {
                        serve::cancel(py, own, awaits, request, false, seat.sender);
                    }
                }
                unmark(py, seat);
                isolated.restore();
            }
            Err((step, error)) => {
                unmark(py, seat);
                isolated.restore();
                step.fail(py, error);
            }
        }
        return;
    }
    if outcome.as_ref().is_some_and(|outcome| !outcome.failed()) {
        crate::engine::main::isolation::keep_base(py, request);
    }
    flight.end(py, seat.runner, outcome.take(), reply, seat.sender);
    unmark(py, seat);
    isolated.restore();
    reply.clear();
}

/// In a `Python.Context` requests share the thread's own context, which the mark is not to stay in.
fn unmark(py: Python<'_>, seat: &Seat<'_>) {
    if seat.pool.pinned {
        let _ = mark(py, None);
    }
}

/// Says in the current context whose code runs there.
fn mark(py: Python<'_>, origin: Option<&Origin>) -> PyResult<()> {
    let variable = origin::variable(py)?;
    match origin {
        Some(origin) => {
            let object = Bound::new(py, OriginObject::new(origin.clone()))?;
            variable.set(object.as_any())
        }
        None => variable.set(py.None().bind(py)),
    }
}

fn work<'py>(
    py: Python<'py>,
    seat: &Seat<'_>,
    flight: &mut Flight,
    awaits: &Awaits,
    reply: &mut TermEnv,
    isolated: &Isolated<'py>,
    awaited: &mut Awaited<'py>,
) -> Outcome {
    let own = own::namespace(seat.pool);
    let main = namespace::look_at_main(py, own);
    let mut found: Option<(Py<PyAny>, Gives)> = None;
    let given = &mut flight.given;
    let operation = flight.body.operation();
    let outcome = answer::perform_by(&flight.request, operation, reply, isolated, |work, tag| {
        let (answer, coroutine) = dispatch(work, tag, awaits, seat.worker.id)?;
        if coroutine.is_some() {
            *given = work.touched.watches();
        }
        found = coroutine.map(|(coroutine, gives)| (coroutine.unbind(), gives));
        Ok(answer)
    });
    *awaited = found.map(|(coroutine, gives)| (coroutine.into_bound(py), gives));
    namespace::settle_main(py, own, main);
    child::end_if_child(py);
    outcome
}

/// An answer, or with what is to be awaited for it nothing yet.
fn dispatch<'py, 'a>(
    work: &Work<'py, '_, '_, 'a>,
    tag: Atom,
    awaits: &Awaits,
    worker: u64,
) -> Result<(Answer<'a>, Awaited<'py>), Error> {
    let nothing = |env: Env<'a>| Answer::Here(atoms::nil().to_term(env));
    if tag == atoms::call() || tag == atoms::eval() {
        let object = work.result(tag)?;
        let as_it_is = work.request.flags.return_object();
        return match awaits.coroutine(&object, as_it_is)? {
            Some(coroutine) => Ok((nothing(work.env), Some((coroutine, Gives::Value)))),
            None => Ok((Answer::Here(work.value(object)?), None)),
        };
    }
    if tag == atoms::exec() {
        let object = work.exec()?;
        if object.is_none() {
            return Ok((Answer::Here(atoms::ok().to_term(work.env)), None));
        }
        return Ok((nothing(work.env), Some((object, Gives::Nothing))));
    }
    if tag == atoms::stream() {
        let (object, limits) = work.source_of_stream()?;
        if let Some(coroutine) = awaits.coroutine(&object, false)? {
            let gives = Gives::Stream(limits, worker);
            return Ok((nothing(work.env), Some((coroutine, gives))));
        }
        let stream = streams::open(work, &object, limits, worker)?;
        return Ok((Answer::Here(stream), None));
    }
    if tag == atoms::map() {
        return map(work, awaits).map(|(answer, coroutine)| {
            let awaited = coroutine.map(|coroutine| (coroutine, Gives::Results));
            (answer.unwrap_or_else(|| nothing(work.env)), awaited)
        });
    }
    Ok((work.dispatch(tag)?, None))
}

/// Calls a function with each of the arguments. What is to be awaited of that is awaited together.
fn map<'py, 'a>(
    work: &Work<'py, '_, '_, 'a>,
    awaits: &Awaits,
) -> Result<(Option<Answer<'a>>, Option<Bound<'py, PyAny>>), Error> {
    let py = work.py;
    let calls = work.calls()?;
    let left = calls.arguments.into_iter();
    let left = left.map(|arguments| Ok(arguments.into_tuple(py)?.unbind()));
    let mut slices = Slices {
        request: Arc::clone(work.request),
        awaits: awaits.clone_ref(py),
        callable: calls.callable.unbind(),
        keywords: calls.keywords.map(Bound::unbind),
        left: left.collect::<PyResult<_>>()?,
        results: PyList::empty(py).unbind(),
        waiting: Vec::new(),
    };
    match slices.make(py) {
        Ok(true) => work.go_on()?,
        // The others are not to wait for it.
        Ok(false) => return Ok((None, Some(awaits.in_slices(py, slices)?))),
        Err((index, error)) => {
            slices.close(py);
            return Err(Error::At(index, Box::new(error.into())));
        }
    }
    let results = slices.results.into_bound(py);
    let waiting = slices.waiting;
    if waiting.is_empty() {
        let mut terms = Vec::with_capacity(results.len());
        for (index, result) in results.iter().enumerate() {
            let term = work.item(&result);
            terms.push(term.map_err(|error| Error::At(index, Box::new(error)))?);
        }
        let answer = (atoms::ok(), terms).encode(work.env);
        return Ok((Some(Answer::Here(answer)), None));
    }
    Ok((None, Some(awaits.together(&results, waiting)?)))
}
