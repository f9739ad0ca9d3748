//! `loop_*`: pools and contexts whose workers are event loops.

use crate::base::atoms;
use crate::engine::asyncio::Asyncio;
use crate::engine::asyncio::serve::Kind;
use crate::nif::pool;
use crate::pool::handles::PoolHandle;
use rustler::{Atom, Env, Error, LocalPid, NifResult, Term};
use std::time::Duration;

/// As `pool_new`. `size`: how many loops it is to have. `block_warning`: how long code may hold a loop up until it is said where, in ms or `:infinity`.
#[rustler::nif]
fn loop_new<'a>(
    env: Env<'a>,
    name: Atom,
    max_queue: usize,
    timeout: Term<'a>,
    held: bool,
    size: usize,
    block_warning: Term<'a>,
) -> Term<'a> {
    let block_warning = block_warning.decode().ok().map(Duration::from_millis);
    let engine = Box::new(Asyncio::new(name == atoms::nil(), size == 1, block_warning));
    pool::new(env, name, max_queue, timeout, held, engine)
}

/// Starts a worker: a thread with an event loop, which ends with the pool. `kind`: "auto", "asyncio" or "uvloop";
/// `patience`: how long its tasks have to end, in ms. `{:error, {:no_thread, text}}` if there is none to be had.
#[rustler::nif(schedule = "DirtyIo")]
fn loop_spawn<'a>(
    env: Env<'a>,
    pool: &PoolHandle,
    id: u64,
    kind: &str,
    patience: u64,
) -> NifResult<Term<'a>> {
    let engine = Asyncio::of(&pool.0).ok_or(Error::BadArg)?;
    let name = match kind {
        "asyncio" => "asyncio",
        "uvloop" => "uvloop",
        _ => "auto",
    };
    Ok(match engine.start(&pool.0, id, Kind { name, patience }) {
        Ok(()) => atoms::ok().to_term(env),
        Err(error) => env.error_tuple((atoms::no_thread(), error.to_string())),
    })
}

/// `:ok`: the worker runs; `:starting`; or `{:error, text}`.
#[rustler::nif]
fn loop_state<'a>(env: Env<'a>, pool: &PoolHandle, id: u64) -> NifResult<Term<'a>> {
    let engine = Asyncio::of(&pool.0).ok_or(Error::BadArg)?;
    Ok(match engine.state(id) {
        Some(Ok(())) => atoms::ok().to_term(env),
        Some(Err(text)) => env.error_tuple(text),
        None => atoms::starting().to_term(env),
    })
}

/// How many of the pool's loops have not ended.
#[rustler::nif]
fn loop_count(pool: &PoolHandle) -> NifResult<usize> {
    let engine = Asyncio::of(&pool.0).ok_or(Error::BadArg)?;
    Ok(engine.living())
}

/// As `pool_of_context`.
#[rustler::nif]
fn loop_of_context(env: Env<'_>, owner: LocalPid) -> Term<'_> {
    pool::context(env, owner, |pool| Asyncio::of(pool).is_some())
}
