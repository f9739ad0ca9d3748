//! What the processes of pools and workers hold.

use crate::base::atoms;
use crate::base::resource::{self, Class, Kept};
use crate::base::term_env::{Sender, TermEnv};
use crate::pool::stream::{self, Stream};
use crate::pool::watch;
use crate::pool::worker::Wake;
use crate::pool::{Closed, Pool, Worker};
use rustler::{
    Decoder, Encoder, Env, Error, LocalPid, Monitor, NifResult, Resource, ResourceArc, Term,
};
use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
            worker: Worker::new(0, Wake::thread()),
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
            watch::orphaned(request);
        }
    }
}

/// What the pool's process holds. When that dies, nobody who waits is left waiting.
pub struct PoolHandle(pub Arc<Pool>);

impl Kept for PoolHandle {
    const NAME: &'static CStr = c"erlang_python_nif::pool::handles::PoolHandle";

    fn class() -> &'static Class {
        static CLASS: Class = Class::new();
        &CLASS
    }

    fn down(&self, sender: Sender) {
        close(&self.0, sender);
    }
}

impl<'a> Decoder<'a> for &'a PoolHandle {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        resource::of(term).ok_or(Error::BadArg)
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
        // What it has begun to clean up may be left undone otherwise.
        if Stream::of(&request).is_some_and(Stream::is_closed) {
            watch::give_up_later(&request, stream::LAST_CLEANUP);
            continue;
        }
        if request.answer(sender, &mut message, |env| {
            (atoms::error(), atoms::stopped()).encode(env)
        }) {
            watch::watch(request);
        }
    }
}
