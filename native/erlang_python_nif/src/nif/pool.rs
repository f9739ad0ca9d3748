//! `pool_*`: a pool's queue.

use crate::base::atoms;
use crate::base::resource::Owned;
use crate::base::term_env::{SavedTerm, Sender};
#[cfg(feature = "main")]
use crate::engine::main::own::Main;
use crate::pool::engine::Engine;
use crate::pool::handles::{self, PoolHandle};
use crate::pool::{Pool, Settings, registry};
use rustler::{Atom, Encoder, Env, LocalPid, Term};
use std::sync::atomic::Ordering;

/// A new queue, owned by the calling process. It closes when that dies. `name`: nil for a context's, with a
/// `__main__` of its own and one thread for life. `timeout`: of calls that have none, in ms or
/// `:infinity`. `held`: nothing but the `:init` runs until `pool_open`.
#[cfg(feature = "main")]
#[rustler::nif]
fn pool_new<'a>(
    env: Env<'a>,
    name: Atom,
    max_queue: usize,
    timeout: Term<'a>,
    held: bool,
) -> Term<'a> {
    let engine = Box::new(Main::new(name == atoms::nil()));
    new(env, name, max_queue, timeout, held, engine)
}

/// A pool of any engine.
pub fn new<'a>(
    env: Env<'a>,
    name: Atom,
    max_queue: usize,
    timeout: Term<'a>,
    held: bool,
    engine: Box<dyn Engine>,
) -> Term<'a> {
    let owner = env.pid();
    let is_context = name == atoms::nil();
    let home = if is_context {
        owner.encode(env)
    } else {
        name.to_term(env)
    };
    let settings = Settings {
        max_queue,
        pinned: is_context,
        engine,
        home: SavedTerm::save(home),
        timeout: timeout.decode().ok(),
        held,
    };
    let handle = Owned::new(PoolHandle(registry::add(Pool::new(owner, settings))));
    // The calling process is alive, so it can be watched.
    handle.watch(env, &owner);
    handle.to_term(env)
}

/// The option `:decode` of its calls, where they have none of their own.
#[rustler::nif]
fn pool_decode(pool: &PoolHandle, settings: u16) -> Atom {
    pool.0.set_settings(settings);
    atoms::ok()
}

/// Lets what waits run: the `:init` is done.
#[rustler::nif]
fn pool_open(env: Env<'_>, pool: &PoolHandle) -> Atom {
    pool.0.open(Sender::scheduler(env));
    atoms::ok()
}

/// The context of a process, `{pool, timeout}`, or nil if that is no context of this engine or has ended.
#[cfg(feature = "main")]
#[rustler::nif]
fn pool_of_context(env: Env<'_>, owner: LocalPid) -> Term<'_> {
    context(env, owner, |pool| {
        Main::of(pool).is_some_and(|main| !main.in_loops)
    })
}

pub fn context(env: Env<'_>, owner: LocalPid, is_own: impl Fn(&Pool) -> bool) -> Term<'_> {
    let owner = SavedTerm::save(owner.encode(env));
    let pool = registry::context_of(owner).filter(|pool| !pool.is_closed() && is_own(pool));
    let Some(pool) = pool else {
        return atoms::nil().to_term(env);
    };
    let timeout = match pool.timeout {
        Some(timeout) => timeout.encode(env),
        None => atoms::infinity().to_term(env),
    };
    (Owned::new(PoolHandle(pool)).to_term(env), timeout).encode(env)
}

/// Lets errors keep what their frames hold, unless a call says otherwise.
#[rustler::nif]
fn pool_keep_locals(pool: &PoolHandle) -> Atom {
    pool.0.keep_locals.store(true, Ordering::Relaxed);
    atoms::ok()
}

/// Refuses further requests, answers those that wait with `{:error, :closed}`, and ends those that
/// run, answered with `{:error, :stopped}`.
#[rustler::nif]
fn pool_close(env: Env<'_>, pool: &PoolHandle) -> Atom {
    handles::close(&pool.0, Sender::scheduler(env));
    atoms::ok()
}

/// Puts a message where code in a context can `erlang.receive` it.
#[rustler::nif]
fn pool_send<'a>(pool: &PoolHandle, message: Term<'a>) -> Atom {
    pool.0.mailbox.put(message);
    pool.0.engine.mail(&pool.0, None);
    atoms::ok()
}

/// How many calls may be stuck; 0 is any number.
#[rustler::nif]
fn pool_limit_stuck(pool: &PoolHandle, most: usize) -> Atom {
    pool.0.stats.max_stuck.store(most, Ordering::Relaxed);
    atoms::ok()
}

/// How many workers it may have beside its own ones while these wait without the GIL.
#[cfg(feature = "main")]
#[rustler::nif]
fn pool_allow_extras(pool: &PoolHandle, most: usize) -> Atom {
    pool.0.allow_extras(most);
    atoms::ok()
}

/// Whether it refuses calls because too many are stuck.
#[rustler::nif]
fn pool_is_jammed(pool: &PoolHandle) -> bool {
    pool.0.is_jammed()
}

/// The calls that are stuck: `{{file, line, function} | :none, ms}`.
#[rustler::nif]
fn pool_stuck<'a>(env: Env<'a>, pool: &PoolHandle) -> Vec<Term<'a>> {
    let reports = pool.0.stuck().into_iter();
    let terms = reports.map(|report| match report.location {
        Some(location) => (location, report.ms).encode(env),
        None => (atoms::none(), report.ms).encode(env),
    });
    terms.collect()
}

/// The workers: a list of `{busy, calls}`.
#[cfg(feature = "main")]
#[rustler::nif]
fn pool_workers(pool: &PoolHandle) -> Vec<(bool, u64)> {
    pool.0.work()
}

/// What is going on, as a map of numbers.
#[rustler::nif]
fn pool_stats<'a>(env: Env<'a>, pool: &PoolHandle) -> Term<'a> {
    let stats = &pool.0.stats;
    let entries: [(Atom, u64); 7] = [
        (atoms::busy(), stats.busy.load(Ordering::Relaxed) as u64),
        (atoms::extras(), pool.0.extras() as u64),
        (atoms::queued(), pool.0.queued() as u64),
        (atoms::done(), stats.done.load(Ordering::Relaxed)),
        (atoms::failed(), stats.failed.load(Ordering::Relaxed)),
        (atoms::timed_out(), stats.timed_out.load(Ordering::Relaxed)),
        (atoms::stuck(), stats.stuck.load(Ordering::Relaxed) as u64),
    ];
    let (keys, values): (Vec<_>, Vec<_>) = entries
        .iter()
        .map(|(key, value)| (key.to_term(env), value.encode(env)))
        .unzip();
    Term::map_from_term_arrays(env, &keys, &values).expect("the keys differ")
}
