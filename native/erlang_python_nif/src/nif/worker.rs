//! `worker_*`: those who drain a pool's queue.

use crate::base::atoms;
use crate::base::term_env::Sender;
use crate::engine::Drained;
use crate::pool::Worker;
use crate::pool::handles::{PoolHandle, Slot, WorkerHandle};
use crate::pool::worker::Wake;
use rustler::{Atom, Encoder, Env, ResourceArc, Term};

/// The right to be on a dirty scheduler, if less than `limit` workers have it. It ends when it is
/// no longer held.
#[rustler::nif]
fn worker_slot<'a>(env: Env<'a>, limit: usize) -> Term<'a> {
    match Slot::claim(limit) {
        Some(slot) => ResourceArc::new(slot).encode(env),
        None => atoms::none().to_term(env),
    }
}

/// A worker that is the calling process: woken by the message `:drain`, it is to call
/// `worker_drain/1`.
#[rustler::nif]
fn worker_new<'a>(env: Env<'a>, pool: &PoolHandle, id: u64, slot: ResourceArc<Slot>) -> Term<'a> {
    let pid = env.pid();
    let worker = Worker::new(id, Wake::Process(pid));
    pool.0.join(&worker);
    let handle = ResourceArc::new(WorkerHandle {
        worker,
        pool: pool.0.clone(),
        _slot: slot,
    });
    // The calling process is alive, so it can be watched.
    let _ = env.monitor(&handle, &pid);
    handle.encode(env)
}

/// A worker that is a thread of its own, which ends with the pool. `{:error, {:no_thread, text}}` if there is
/// none to be had.
#[rustler::nif(schedule = "DirtyIo")]
fn worker_spawn<'a>(env: Env<'a>, pool: &PoolHandle, id: u64) -> Term<'a> {
    let worker = Worker::new(id, Wake::thread());
    pool.0.join(&worker);
    match pool.0.engine.spawn(pool.0.clone(), worker) {
        Ok(()) => atoms::ok().to_term(env),
        Err(error) => env.error_tuple((atoms::no_thread(), error.to_string())),
    }
}

/// Runs what waits. `:idle` when nothing does any more, `:stop` when the worker is to end.
#[rustler::nif(schedule = "DirtyIo")]
fn worker_drain(env: Env<'_>, worker: ResourceArc<WorkerHandle>) -> Atom {
    let (pool, sender) = (&worker.pool, Sender::dirty(env));
    match pool.engine.drain(pool, &worker.worker, sender) {
        Drained::Idle => atoms::idle(),
        Drained::Stop => atoms::stop(),
    }
}
