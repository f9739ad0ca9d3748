//! `pool_*`: a pool's queue.

use crate::atoms;
use crate::namespace::Namespace;
use crate::pool::Pool;
use crate::term_env::Sender;
use crate::worker::{self, PoolHandle};
use rustler::{Atom, Encoder, Env, ResourceArc, Term};
use std::sync::atomic::Ordering;

/// A new queue, owned by the calling process. It closes when that dies. `own_namespace`: whether
/// it is a context's, with a `__main__` of its own and one thread for life.
#[rustler::nif]
fn pool_new<'a>(env: Env<'a>, max_queue: usize, own_namespace: bool) -> Term<'a> {
    let owner = env.pid();
    let namespace = own_namespace.then(Namespace::default);
    let handle = ResourceArc::new(PoolHandle(Pool::create(owner, max_queue, namespace)));
    // The calling process is alive, so it can be watched.
    let _ = env.monitor(&handle, &owner);
    handle.encode(env)
}

/// The option `:decode` of its calls, where they have none of their own.
#[rustler::nif]
fn pool_decode(pool: ResourceArc<PoolHandle>, settings: u16) -> Atom {
    pool.0.set_settings(settings);
    atoms::ok()
}

/// Refuses further requests, answers those that wait with `{:error, :closed}`, and ends those that
/// run, answered with `{:error, :stopped}`.
#[rustler::nif]
fn pool_close(env: Env<'_>, pool: ResourceArc<PoolHandle>) -> Atom {
    worker::close(&pool.0, Sender::scheduler(env));
    atoms::ok()
}

/// Puts a message where code in a context can `erlang.receive` it.
#[rustler::nif]
fn pool_send<'a>(pool: ResourceArc<PoolHandle>, message: Term<'a>) -> Atom {
    pool.0.mailbox.put(message);
    atoms::ok()
}

/// What is going on, as a map of numbers.
#[rustler::nif]
fn pool_stats<'a>(env: Env<'a>, pool: ResourceArc<PoolHandle>) -> Term<'a> {
    let stats = &pool.0.stats;
    let entries: [(Atom, u64); 5] = [
        (atoms::busy(), stats.busy.load(Ordering::Relaxed) as u64),
        (atoms::queued(), pool.0.queued() as u64),
        (atoms::done(), stats.done.load(Ordering::Relaxed)),
        (atoms::failed(), stats.failed.load(Ordering::Relaxed)),
        (atoms::timed_out(), stats.timed_out.load(Ordering::Relaxed)),
    ];
    let (keys, values): (Vec<_>, Vec<_>) = entries
        .iter()
        .map(|(key, value)| (key.to_term(env), value.encode(env)))
        .unzip();
    Term::map_from_term_arrays(env, &keys, &values).expect("the keys differ")
}
