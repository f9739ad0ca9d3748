//! The engine of event loops in the VM's interpreter: a worker is a thread that runs one.
//!
//! What runs there runs by the code of `engine/main`. Different is when: a request begins when the loop takes it from
//! the queue, and ends with its task, while others begin and end.

pub mod awaits;
pub mod begin;
pub mod blocked;
pub mod end;
pub mod event_loop;
pub mod futures;
pub mod hold;
pub mod serve;
pub mod slices;
pub mod step;
pub mod streams;

use crate::base::lock::Mutex;
use crate::base::term_env::Sender;
use crate::engine::Engine;
use crate::engine::asyncio::event_loop::{Letter, Loop, Of};
use crate::engine::asyncio::serve::Kind;
use crate::engine::main::assistant;
use crate::engine::main::own::Main;
use crate::pool::marks::{INTERRUPTED, REFUSES};
use crate::pool::request::Request;
use crate::pool::worker::{Taker, Wake};
use crate::pool::{Pool, Worker};
use std::any::Any;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

pub struct Asyncio {
    main: Main,
    /// Held for a look, or a push.
    loops: Mutex<Vec<Arc<Loop>>>,
    /// It has one loop.
    alone: bool,
    /// How long code may hold a loop up until it is said where. None: for ever.
    block_warning: Option<Duration>,
}

impl Asyncio {
    pub fn new(is_context: bool, alone: bool, block_warning: Option<Duration>) -> Self {
        Asyncio {
            alone,
            block_warning,
            main: Main {
                in_loops: true,
                ..Main::new(is_context)
            },
            loops: Mutex::default(),
        }
    }

    /// None for a pool of another engine.
    pub fn of(pool: &Pool) -> Option<&Asyncio> {
        (&*pool.engine as &dyn Any).downcast_ref()
    }

    fn find(&self, worker: u64) -> Option<Arc<Loop>> {
        let loops = self.loops.lock();
        loops.iter().find(|l| l.id == worker).cloned()
    }

    fn all(&self) -> Vec<Arc<Loop>> {
        self.loops.lock().clone()
    }

    /// The loops that were lost, and are not back.
    pub fn lost(&self) -> Vec<Arc<Loop>> {
        let mut lost = self.all();
        lost.retain(|own| own.hold.is_lost() && !own.ended.load(Ordering::Acquire));
        lost
    }

    /// Starts a worker. What becomes of it says `state`.
    pub fn start(&self, pool: &Arc<Pool>, id: u64, kind: Kind) -> io::Result<()> {
        let own = Loop::new(id)?;
        let worker = Worker::new(id, Wake::taker());
        let taker: Arc<dyn Taker> = own.clone();
        let taker: Weak<dyn Taker> = Arc::downgrade(&taker);
        worker.set_taker(taker);
        let _ = own.of.set(Of {
            pool: Arc::downgrade(pool),
            worker: Arc::downgrade(&worker),
            alone: self.alone,
            block_warning: self.block_warning,
            patience: Duration::from_millis(kind.patience),
        });
        pool.join(&worker);
        // Streams stay in their loop.
        pool.open_lane(&worker);
        {
            let mut loops = self.loops.lock();
            loops.retain(|l| !l.ended.load(Ordering::Acquire));
            loops.push(Arc::clone(&own));
        }
        serve::spawn(Arc::clone(pool), worker, own, kind)
    }

    /// Whether a worker runs, or why it does not. None: that is not known yet.
    pub fn state(&self, worker: u64) -> Option<Result<(), String>> {
        match self.find(worker) {
            Some(own) => own.started.get().cloned(),
            None => Some(Err("the event loop has ended".into())),
        }
    }

    /// How many of its loops have not ended.
    pub fn living(&self) -> usize {
        let loops = self.loops.lock();
        let living = loops.iter().filter(|l| !l.ended.load(Ordering::Acquire));
        living.count()
    }
}

impl Engine for Asyncio {
    fn in_the_vm(&self) -> Option<&dyn Any> {
        Some(&self.main)
    }

    fn counts_running(&self) -> bool {
        true
    }

    fn leaves_workers(&self) -> bool {
        false
    }

    // No call waits in a loop.
    fn spawn_helper(&self, _pool: Arc<Pool>) -> io::Result<()> {
        Ok(())
    }

    fn mail(&self, pool: &Pool, request: Option<&Arc<Request>>) {
        if let Some(request) = request {
            let place = request.place().map(|place| place.worker.id);
            if let Some(own) = place.and_then(|worker| self.find(worker)) {
                own.post(Letter::Mail(Arc::as_ptr(request) as usize));
            }
            return;
        }
        for own in self.all() {
            own.post(Letter::Mail(std::ptr::from_ref(pool) as usize));
        }
    }

    fn interrupt(&self, request: Arc<Request>) {
        let place = request.place().map(|place| place.worker.id);
        if let Some(own) = place.and_then(|worker| self.find(worker)) {
            own.cancel(request);
        }
    }

    fn given_up_in_queue(&self) {
        for own in self.all() {
            hold::suspect(&own);
        }
    }

    fn closing(&self, _sender: Sender) {
        for own in self.all() {
            hold::closing(&own);
        }
    }

    // One that waits in the loop keeps no thread, and may have something to await at its end.
    fn outlived(&self, request: &Arc<Request>) -> bool {
        assistant::remove_mark();
        let place = request.place().map(|place| place.worker.id);
        let own = place.and_then(|worker| self.find(worker));
        let holds_up = own.is_some_and(|own| own.is_at(request));
        request.marks.has(REFUSES) || (holds_up && request.marks.has(INTERRUPTED))
    }
}
