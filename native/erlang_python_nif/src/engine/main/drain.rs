//! What a worker does with a pool's queue: it runs one request after the other.

use crate::base::atoms;
use crate::base::lookout::Mark;
use crate::base::term_env::{Sender, TermEnv};
#[cfg(unix)]
use crate::base::tidiness;
use crate::engine::Drained;
use crate::engine::main::answer::{self, Outcome};
use crate::engine::main::arrival::arrival;
use crate::engine::main::beside;
use crate::engine::main::isolation::{self, Isolated, Nesting};
use crate::engine::main::kept;
use crate::engine::main::output;
use crate::engine::main::own;
use crate::engine::main::runner::{self, Runner};
use crate::engine::main::seat::{Running, Seat};
use crate::pool::ending;
use crate::pool::queue::Start;
use crate::pool::request::Request;
use crate::pool::sink::Body;
use crate::pool::stats::Counted;
use crate::pool::stream::{self, Stream};
use crate::pool::worker::{HELPER, Wake};
use crate::pool::{Next, Pool, Worker};
use crate::python::child;
use crate::python::interpreter;
use crate::python::namespace;
use pyo3::Python;
use rustler::Encoder;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a worker goes on before it lets others have the GIL. CPython itself switches every
/// 5 ms, but only between bytecodes, and a queue full of calls of C functions has none.
const TURN: Duration = Duration::from_millis(2);

/// How long the main thread of a process looks out: the VM has further to go than its own threads have.
const LOOK_BESIDE: Duration = Duration::from_micros(40);

/// Before that it says that it is at nothing any more.
const LOOK_ALONE: Duration = Duration::from_micros(10);

/// How many requests run between two looks at the clock.
const LOOK: u32 = 16;

/// Runs what waits in the pool's queue, until nothing does.
pub fn drain(pool: &Arc<Pool>, worker: &Arc<Worker>, sender: Sender) -> Drained {
    let mut reply = TermEnv::new();
    let _serving = ending::Serving::begin();
    let asked = worker.is_extra().then(Instant::now);
    let drained = runner::enter(worker, |py, runner, place| {
        let seat = Seat {
            pool,
            worker,
            runner,
            place,
            sender,
            event_loop: None,
        };
        let _entered = seat.enter();
        let mut turn = Instant::now();
        let mut count = 0u32;
        let mut idle = false;
        let mut arrived = asked.map(|asked| arrival(py, asked));
        // The one before, if its caller has found the answer itself.
        let mut last: Option<Arc<Request>> = None;
        namespace::at_bottom(py, own::namespace(pool), || {
            loop {
                let next = if asked.is_some() {
                    pool.next_extra(worker, sender, arrived.take())
                } else {
                    pool.next(worker, sender, idle)
                };
                match next {
                    Next::Run(request) => {
                        idle = false;
                        // Its environment is best freed here, where it is from.
                        drop(last.take().and_then(|last| last.look.take_back()));
                        run(py, &seat, &request, Nesting::Outermost, &mut reply);
                        last = Some(request).filter(|request| request.look.has_found());
                    }
                    Next::LookOut(mark) => {
                        // Not when a request has come, whose caller waits.
                        turn = Instant::now();
                        let request;
                        (idle, request) = py.detach(|| look_out(pool, worker, mark));
                        if sender.is_exiting() {
                            // Killed meanwhile: what has come is for another.
                            pool.arrived(worker);
                            return Drained::Stop;
                        }
                        if let Some(request) = request {
                            pool.arrived(worker);
                            if Start::start(&request) {
                                run(py, &seat, &request, Nesting::Outermost, &mut reply);
                            }
                        }
                        continue;
                    }
                    Next::Idle => return Drained::Idle,
                    Next::Stop => return Drained::Stop,
                }
                count = count.wrapping_add(1);
                if count.is_multiple_of(LOOK) && turn.elapsed() > TURN {
                    // Whoever waits for the GIL has asked for it by now and gets it.
                    py.detach(|| ());
                    turn = Instant::now();
                }
            }
        })
    });
    // What large values have needed on their way was freed.
    #[cfg(unix)]
    tidiness::see();
    drained.unwrap_or_else(|| turn_down(pool, worker, sender))
}

/// Waits a moment for a request. Whether there was none, and one that is in no queue.
fn look_out(pool: &Pool, worker: &Worker, mark: Mark) -> (bool, Option<Arc<Request>>) {
    if !worker.is_main() {
        return (!pool.lookout.wait(mark, worker.is_process()), None);
    }
    let look = |longest| pool.lookout.wait_for(mark, longest, beside::has_any);
    let mut found = look(LOOK_ALONE);
    if !found {
        // What it has answered may wait for somebody who looks, and that one for this processor.
        beside::is_idle();
        std::thread::yield_now();
        // Many callers are at work meanwhile, who have more for it when they have woken it.
        found = !beside::is_crowded() && look(LOOK_BESIDE);
    }
    let request = beside::take_next(|| pool.lookout.has_arrived(mark));
    (!found && request.is_none(), request)
}

/// Answers the next request that waits: there is no memory for the stack that it would run on. No more than
/// one, since others may have a stack, and so may the scheduler that this worker is on the next time.
fn turn_down(pool: &Arc<Pool>, worker: &Arc<Worker>, sender: Sender) -> Drained {
    match pool.next(worker, sender, true) {
        Next::Run(request) => {
            // To be found, should the worker's process be killed.
            worker.begin(&request);
            let answered = request.answer(sender, &mut TermEnv::new(), |env| {
                if request.receiver().is_none() {
                    pool.stats.count(true);
                }
                (atoms::error(), atoms::no_memory()).encode(env)
            });
            worker.end();
            request.forget_body();
            if let (Some(stream), false) = (Stream::of(&request), answered) {
                stream.turned_down(&request, sender);
            }
            pool.give_back(Arc::clone(worker), sender);
            Drained::Idle
        }
        Next::LookOut(_) | Next::Idle => Drained::Idle,
        Next::Stop => Drained::Stop,
    }
}

/// Runs a request on the stack of the one that waits for it. `claim`: unless it was cancelled.
///
/// `within`: it is from the body of a `with`, and shares the surroundings of that.
pub fn run_nested(
    running: &Running,
    py: Python<'_>,
    request: &Arc<Request>,
    claim: bool,
    within: bool,
) {
    if claim && !Start::start(request) {
        return;
    }
    let mut reply = TermEnv::new();
    let seat = Seat {
        pool: &running.pool,
        worker: &running.worker,
        runner: &running.runner,
        place: &running.place,
        sender: running.sender,
        event_loop: None,
    };
    let nesting = if within {
        Nesting::Within
    } else {
        Nesting::Nested
    };
    // Not in the frame of the code which waits.
    namespace::within(py, own::namespace(&request.pool), || {
        run(py, &seat, request, nesting, &mut reply);
    });
}

/// Runs a request on a thread that Python started, which waits for the callback that it is from.
pub fn run_on_foreign_thread(py: Python<'_>, request: &Arc<Request>, sender: Sender) {
    if !Start::start(request) {
        return;
    }
    let pool = Arc::clone(&request.pool);
    let worker = Worker::new(HELPER, Wake::thread());
    // Known to the pool, for when that closes, but not one that takes anything from the queue.
    pool.join(&worker);
    let _blocked = pool.block();
    let runner = Runner::of_foreign_thread(py);
    let place = runner.place(&worker);
    let seat = Seat {
        pool: &pool,
        worker: &worker,
        runner: &runner,
        place: &place,
        sender,
        event_loop: None,
    };
    let _entered = seat.enter();
    let mut reply = TermEnv::new();
    namespace::within(py, own::namespace(&pool), || {
        run(py, &seat, request, Nesting::Nested, &mut reply);
    });
    // Before it counts as one that does not wait.
    worker.stop();
}

/// Runs a request that `Pool::next` claimed, and answers it.
fn run(
    py: Python<'_>,
    seat: &Seat<'_>,
    request: &Arc<Request>,
    nesting: Nesting,
    reply: &mut TermEnv,
) {
    let Some(body) = request.body() else { return };
    let (pool, sender) = (seat.pool, seat.sender);
    let busy = Counted::new(&pool.stats.busy);
    let outcome = seat.attend(py, request, nesting, |isolated| {
        // Whoever closed it before the request could be found could not interrupt it.
        if pool.is_closed() {
            request.answer(sender, reply, |env| {
                (atoms::error(), atoms::closed()).encode(env)
            });
        }
        let own = own::namespace(pool);
        let main = namespace::look_at_main(py, own);
        let outcome = (!request.is_over())
            .then(|| answer::perform(request, body.operation(), reply, isolated));
        namespace::settle_main(py, own, main);
        outcome
    });
    let answered = match outcome {
        Some(outcome) => answer(request, body, outcome, busy, reply, sender),
        None => false,
    };
    if !answered && let Some(body) = request.body() {
        request.done(&body);
    }
    // The caller's terms are the caller's to free, if it has found the answer itself.
    if !request.look.has_found() {
        request.forget_body();
    }
    if request.receiver().is_some() {
        reply.clear();
        stream::settle(request, sender);
    }
}

impl Seat<'_> {
    /// Does a request's work as one that can be found, and interrupted, while it is done.
    pub fn attend<'py, R>(
        &self,
        py: Python<'py>,
        request: &Arc<Request>,
        nesting: Nesting,
        work: impl FnOnce(&Isolated<'py>) -> R,
    ) -> R {
        self.worker.begin(request);
        request.enter(Arc::clone(self.place));
        self.runner.begin(py, request);
        // A `Python.Context` keeps what its calls set, and a body's manager what that sets.
        let keeps = request.pool.pinned || nesting == Nesting::Within;
        let settings = (!keeps).then(|| self.runner.settings(py));
        let isolated = Isolated::enter(py, request, nesting);
        let done = work(&isolated);
        child::end_if_child(py);
        let ends = settings.is_some();
        if let Some(settings) = settings {
            settings.end();
        }
        // Still a part of the request: writing can wait, and be given up.
        output::finish(py);
        let functions = kept::functions(request);
        if let Some(functions) = functions {
            functions.end(py, request);
        }
        // Whatever interrupt was aimed at it has struck by now: none is to hit what follows.
        self.runner.end(py, request);
        // Event loops register how they are woken.
        if ends && functions.is_some() {
            isolation::leave_loop(py);
        }
        isolated.leave(request);
        request.leave();
        self.worker.end();
        done
    }
}

/// False if there was nobody to answer any more. `busy`: the worker counts as busy. Who has the answer finds that
/// counted, and the worker not.
pub fn answer(
    request: &Request,
    body: Arc<Body>,
    mut outcome: Outcome,
    busy: Counted<'_>,
    reply: &mut TermEnv,
    sender: Sender,
) -> bool {
    let failed = outcome.failed();
    let leftovers = std::mem::take(&mut outcome.leftovers);
    let answered = request.answer_running(body, sender, reply, |env| {
        if request.receiver().is_none() {
            request.pool.stats.count(failed);
        }
        drop(busy);
        outcome.into_term(env)
    });
    if answered {
        leftovers.sent(sender);
    } else {
        reply.clear();
    }
    answered
}

/// Starts a worker for as long as something waits. For a pool whose workers all wait themselves.
pub fn spawn_helper(pool: Arc<Pool>) -> std::io::Result<()> {
    let worker = Worker::new(HELPER, Wake::thread());
    pool.join(&worker);
    std::thread::Builder::new()
        .name("py_helper".into())
        .stack_size(interpreter::stack_size())
        .spawn(move || {
            if let Some(sender) = Sender::own_thread() {
                drain(&pool, &worker, sender);
                worker.stop();
                pool.remove(&worker, sender);
                interpreter::leave_for_good();
            }
        })
        .map(drop)
}

/// Starts a worker that drains on a thread of its own.
pub fn spawn(pool: Arc<Pool>, worker: Arc<Worker>) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name(format!("py_worker_{}", worker.id))
        .stack_size(interpreter::stack_size())
        .spawn(move || {
            let Some(sender) = Sender::own_thread() else {
                return;
            };
            if let Some(namespace) = own::namespace(&pool) {
                // Should it fail (for want of memory), the interpreter's `__main__` serves.
                let _ = interpreter::enter(|py, _| {
                    let helpers = crate::python::current::helpers()?;
                    isolation::settle(py);
                    namespace.make(py, helpers).ok()
                });
            }
            while let Drained::Idle = drain(&pool, &worker, sender) {
                worker.wait();
            }
            if let Some(namespace) = own::namespace(&pool) {
                interpreter::enter(|py, _| {
                    if let Some(helpers) = crate::python::current::helpers() {
                        namespace.clear(py, helpers);
                    }
                });
            }
            interpreter::leave_for_good();
        })
        .map(drop)
}
