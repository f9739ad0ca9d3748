//! A worker: a process in a dirty NIF, or a thread of our own, that drains a pool's queue.

use crate::atoms;
use crate::call;
use crate::ending;
use crate::fork;
use crate::interpreter::{self, PythonThread};
use crate::isolation::{self, Isolated, Nesting};
use crate::lock::{Condvar, Mutex};
use crate::namespace;
use crate::output;
use crate::pool::{Closed, Counted, Next, Pool};
use crate::queue::{Announce, Start};
use crate::request::{Place, Request};
use crate::term_env::{SavedTerm, Sender, TermEnv};
use crate::watchdog;
use pyo3::Python;
use rustler::{Encoder, Env, LocalPid, Monitor, Resource, ResourceArc};
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a worker goes on before it lets others have the GIL. CPython itself switches every
/// 5 ms, but only between bytecodes, and a queue full of calls of C functions has none.
const TURN: Duration = Duration::from_millis(2);

/// How many requests run between two looks at the clock.
const LOOK: u32 = 16;

pub struct Worker {
    /// What the pool's process knows it by.
    pub id: u64,
    wake: Wake,
    /// A wake-up is on its way.
    announced: AtomicBool,
    /// It takes no further request: its process is gone, or it was replaced.
    stopped: AtomicBool,
    /// What it runs: one request, or more when callbacks call Python again.
    current: Mutex<Vec<Arc<Request>>>,
}

/// How a worker is woken.
pub enum Wake {
    /// A process, which enters the dirty NIF.
    Process(LocalPid),
    /// A thread of our own, which waits for the flag.
    Thread(Mutex<bool>, Condvar),
}

/// Why a worker came back.
pub enum Drained {
    Idle,
    Stop,
}

impl Worker {
    pub fn new(id: u64, wake: Wake) -> Arc<Self> {
        Arc::new(Worker {
            id,
            wake,
            announced: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            current: Mutex::new(Vec::new()),
        })
    }

    /// False if there is nobody to wake.
    pub fn wake(&self, sender: Sender) -> bool {
        match &self.wake {
            Wake::Process(pid) => sender.send_immediate(pid, atoms::drain()),
            Wake::Thread(woken, changed) => {
                *woken.lock() = true;
                changed.notify_one();
                true
            }
        }
    }

    /// Whether it is on a dirty scheduler when it works.
    pub fn is_process(&self) -> bool {
        matches!(self.wake, Wake::Process(_))
    }

    pub fn take_announced(&self) -> bool {
        self.announced.swap(false, Ordering::AcqRel)
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Replaces the worker if it still is at this request. Says whether it was.
    pub fn stop_if_running(&self, request: &Arc<Request>) -> bool {
        let current = self.current.lock();
        let running = current.iter().any(|current| Arc::ptr_eq(current, request));
        running && !self.stopped.swap(true, Ordering::AcqRel)
    }

    pub fn current(&self) -> Vec<Arc<Request>> {
        self.current.lock().clone()
    }

    fn begin(&self, request: &Arc<Request>) {
        let mut current = self.current.lock();
        current.push(Arc::clone(request));
    }

    /// They end in the reverse order: each runs on the stack of the one before.
    fn end(&self) {
        let mut current = self.current.lock();
        current.pop();
    }
}

impl Announce for Worker {
    fn announce(&self) {
        self.announced.store(true, Ordering::Release);
    }
}

/// Runs what waits in the pool's queue, until nothing does.
pub fn drain(pool: &Arc<Pool>, worker: &Arc<Worker>, sender: Sender) -> Drained {
    let mut reply = TermEnv::new();
    let _serving = ending::Serving::begin();
    let drained = interpreter::enter(|py, thread| {
        let seat = Seat {
            pool,
            worker,
            thread,
            sender,
        };
        let _entered = seat.enter();
        pool.arrived(worker);
        let mut turn = Instant::now();
        let mut count = 0u32;
        let mut idle = false;
        namespace::at_bottom(py, pool, || {
            loop {
                match pool.next(worker, sender, idle) {
                    Next::Run(request) => {
                        idle = false;
                        run(py, &seat, &request, Nesting::Outermost, &mut reply);
                    }
                    Next::LookOut(mark) => {
                        idle = !py.detach(|| pool.lookout.wait(mark, worker.is_process()));
                        pool.arrived(worker);
                        if sender.is_exiting() {
                            // Killed meanwhile: what has come is for another.
                            return Drained::Stop;
                        }
                        turn = Instant::now();
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
    drained.unwrap_or_else(|| turn_down(pool, worker, sender))
}

/// Answers the next request that waits: there is no memory for the stack that it would run on. No more than
/// one, since others may have a stack, and so may the scheduler that this worker is on the next time.
fn turn_down(pool: &Arc<Pool>, worker: &Arc<Worker>, sender: Sender) -> Drained {
    pool.arrived(worker);
    match pool.next(worker, sender, true) {
        Next::Run(request) => {
            // To be found, should the worker's process be killed.
            worker.begin(&request);
            let answered = request.answer(sender, &mut TermEnv::new(), |env| {
                if request.stream().is_none() {
                    count(pool, true);
                }
                (atoms::error(), atoms::no_memory()).encode(env)
            });
            worker.end();
            request.forget_body();
            if let (Some(stream), false) = (request.stream(), answered) {
                stream.turned_down(&request, sender);
            }
            pool.give_back(Arc::clone(worker), sender);
            Drained::Idle
        }
        Next::LookOut(_) | Next::Idle => Drained::Idle,
        Next::Stop => Drained::Stop,
    }
}

/// The worker that the current thread is.
#[derive(Clone)]
pub struct Running {
    pub pool: Arc<Pool>,
    pub worker: Arc<Worker>,
    pub thread: Arc<PythonThread>,
    pub sender: Sender,
}

thread_local! {
    static SEAT: Cell<Option<NonNull<Seat<'static>>>> = const { Cell::new(None) };
}

/// None on a thread that Python started, and where no worker is at work.
pub fn running() -> Option<Running> {
    // SAFETY: `Seat::enter` vouches for the seat as long as it is to be found here.
    let seat = unsafe { SEAT.get()?.as_ref() };
    Some(Running {
        pool: Arc::clone(seat.pool),
        worker: Arc::clone(seat.worker),
        thread: Arc::clone(seat.thread),
        sender: seat.sender,
    })
}

/// Whether an interrupt is aimed at what the current thread runs. A quick look: threads that know nothing of
/// us come here as well.
pub fn is_aimed_at() -> bool {
    // SAFETY: as in `running`.
    let seat = || SEAT.get().map(|seat| unsafe { seat.as_ref() });
    interpreter::is_any_aimed_at() && seat().is_some_and(|seat| seat.thread.is_aimed_at())
}

/// The home of what the current thread makes. None where no worker is at work.
pub fn home() -> Option<SavedTerm> {
    // SAFETY: as in `running`.
    let seat = unsafe { SEAT.get()?.as_ref() };
    Some(seat.pool.home)
}

/// The same, of those who are at work this moment.
pub struct Seat<'r> {
    pub pool: &'r Arc<Pool>,
    pub worker: &'r Arc<Worker>,
    pub thread: &'r Arc<PythonThread>,
    pub sender: Sender,
}

impl Seat<'_> {
    /// Says who the current thread is, for as long as the result lives.
    pub fn enter(&self) -> Entered<'_> {
        SEAT.set(Some(NonNull::from(self).cast()));
        Entered(PhantomData)
    }
}

/// It borrows the seat, and stays on its thread.
pub struct Entered<'s>(PhantomData<(&'s (), *const ())>);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        SEAT.set(None);
    }
}

impl Running {
    /// The request whose code the thread is in.
    pub fn request(&self, py: Python<'_>) -> Option<Arc<Request>> {
        self.thread.innermost(py)
    }

    /// Runs a request on the stack of the one that waits for it. `claim`: unless it was cancelled.
    ///
    /// `within`: it is from the body of a `with`, and shares the surroundings of that.
    pub fn run_nested(&self, py: Python<'_>, request: &Arc<Request>, claim: bool, within: bool) {
        if claim && !Start::start(request) {
            return;
        }
        let mut reply = TermEnv::new();
        let seat = Seat {
            pool: &self.pool,
            worker: &self.worker,
            thread: &self.thread,
            sender: self.sender,
        };
        let nesting = if within {
            Nesting::Within
        } else {
            Nesting::Nested
        };
        // Not in the frame of the code which waits.
        namespace::within(py, &request.pool, || {
            run(py, &seat, request, nesting, &mut reply);
        });
    }
}

/// Runs a request on a thread that Python started, which waits for the callback that it is from.
pub fn run_on_foreign_thread(py: Python<'_>, request: &Arc<Request>, sender: Sender) {
    if !Start::start(request) {
        return;
    }
    let pool = Arc::clone(&request.pool);
    let worker = Worker::new(0, Wake::Thread(Mutex::new(false), Condvar::new()));
    // Known to the pool, for when that closes, but not one that takes anything from the queue.
    pool.join(&worker);
    let _blocked = pool.block();
    let thread = Arc::new(PythonThread::of_foreign_thread(py));
    let seat = Seat {
        pool: &pool,
        worker: &worker,
        thread: &thread,
        sender,
    };
    let _entered = seat.enter();
    let mut reply = TermEnv::new();
    namespace::within(py, &pool, || {
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
        let main = namespace::look_at_main(py, pool);
        let outcome = (!request.is_cancelled())
            .then(|| call::perform(request, body.operation(), reply, isolated));
        namespace::settle_main(py, pool, main);
        outcome
    });
    if let Some(outcome) = outcome {
        answer(request, outcome, busy, reply, sender);
    }
    drop(body);
    request.forget_body();
    if let Some(stream) = request.stream() {
        reply.clear();
        stream.settle(request, sender);
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
        request.enter(Place {
            thread: Arc::clone(self.thread),
            worker: Arc::clone(self.worker),
        });
        self.thread.begin(py, request);
        // A `Python.Context` keeps what its calls set, and a body's manager what that sets.
        let keeps = request.pool.namespace.is_some() || nesting == Nesting::Within;
        let traced = (!keeps).then(|| self.thread.traced(py));
        let isolated = Isolated::enter(py, request, nesting);
        let done = work(&isolated);
        fork::end_if_child(py);
        if let Some(traced) = traced {
            traced.end();
        }
        // Still a part of the request: writing can wait, and be given up.
        output::finish(py);
        if let Some(functions) = request.on_interrupt() {
            functions.end(py, request);
        }
        // Whatever interrupt was aimed at it has struck by now: none is to hit what follows.
        self.thread.end(py, request);
        isolated.leave(request);
        request.leave();
        self.worker.end();
        done
    }
}

/// `busy`: the worker counts as busy. Who has the answer finds that counted, and the worker not.
fn answer(
    request: &Request,
    mut outcome: call::Outcome,
    busy: Counted<'_>,
    reply: &mut TermEnv,
    sender: Sender,
) {
    let failed = outcome.failed();
    let _leftovers = std::mem::take(&mut outcome.leftovers);
    let answered = request.answer(sender, reply, |env| {
        if request.stream().is_none() {
            count(&request.pool, failed);
        }
        drop(busy);
        outcome.into_term(env)
    });
    if !answered {
        reply.clear();
    }
}

/// Counts a call that was answered.
pub fn count(pool: &Pool, failed: bool) {
    let counter = if failed {
        &pool.stats.failed
    } else {
        &pool.stats.done
    };
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Starts a worker for as long as something waits. For a pool whose workers all wait themselves.
pub fn spawn_helper(pool: Arc<Pool>) -> std::io::Result<()> {
    let worker = Worker::new(0, Wake::Thread(Mutex::new(false), Condvar::new()));
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
            if let Some(namespace) = &pool.namespace {
                // Should it fail (for want of memory), the interpreter's `__main__` serves.
                let _ = interpreter::enter(|py, _| {
                    let helpers = interpreter::python::helpers()?;
                    isolation::settle(py);
                    namespace.make(py, helpers).ok()
                });
            }
            while let Drained::Idle = drain(&pool, &worker, sender) {
                worker.wait();
            }
            if let Some(namespace) = &pool.namespace {
                interpreter::enter(|py, _| {
                    if let Some(helpers) = interpreter::python::helpers() {
                        namespace.clear(py, helpers);
                    }
                });
            }
            interpreter::leave_for_good();
        })
        .map(drop)
}

impl Worker {
    /// Waits for a wake-up. It ends when the pool closes at the latest: closing wakes all.
    fn wait(&self) {
        if let Wake::Thread(woken, changed) = &self.wake {
            let woken = woken.lock();
            let mut woken = changed.wait_while(woken, |woken| !*woken);
            *woken = false;
        }
    }
}

/// What a worker's process holds. It watches the process: should that die while Python runs, the
/// caller is told at once.
pub struct WorkerHandle {
    pub worker: Arc<Worker>,
    pub pool: Arc<Pool>,
    /// Freed with the handle: not before the worker's process has left the dirty scheduler.
    pub _slot: ResourceArc<Slot>,
}

/// How many workers are on dirty schedulers, over all pools. The VM's own files need some too.
static SLOTS: AtomicUsize = AtomicUsize::new(0);

/// The right to be on a dirty scheduler.
pub struct Slot(());

impl Slot {
    /// For `resources::register`: it is not counted and must not be dropped.
    pub fn spare() -> Self {
        Slot(())
    }

    /// None if `limit` are taken.
    pub fn claim(limit: usize) -> Option<Self> {
        SLOTS
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
                (taken < limit).then_some(taken + 1)
            })
            .ok()
            .map(|_| Slot(()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        SLOTS.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Resource for Slot {}

impl WorkerHandle {
    /// For `resources::register`: nobody wakes it.
    pub fn spare(pool: &Arc<Pool>) -> Self {
        WorkerHandle {
            worker: Worker::new(0, Wake::Thread(Mutex::new(false), Condvar::new())),
            pool: Arc::clone(pool),
            _slot: ResourceArc::new(Slot::spare()),
        }
    }
}

impl Resource for WorkerHandle {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        let sender = Sender::scheduler(env);
        self.worker.stop();
        self.pool.remove(&self.worker, sender);
        for request in self.worker.current() {
            watchdog::orphaned(request);
        }
    }
}

/// What the pool's process holds. When that dies, nobody who waits is left waiting.
pub struct PoolHandle(pub Arc<Pool>);

impl Resource for PoolHandle {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        close(&self.0, Sender::scheduler(env));
    }
}

/// Closes a pool, tells everyone who waits, and ends what runs.
pub fn close(pool: &Pool, sender: Sender) {
    let mut message = TermEnv::new();
    let Closed { waiting, running } = pool.close(sender);
    for request in waiting {
        request.answer(sender, &mut message, |env| {
            (atoms::error(), atoms::closed()).encode(env)
        });
    }
    for request in running {
        if request.answer(sender, &mut message, |env| {
            (atoms::error(), atoms::stopped()).encode(env)
        }) {
            watchdog::watch(request);
        }
    }
}
