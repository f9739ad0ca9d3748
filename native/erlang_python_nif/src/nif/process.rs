//! `process_*`: pools whose Python runs in processes of its own. What is not here is the same for all pools.

use crate::base::atoms;
use crate::base::clock;
use crate::base::term_env::{OwnedTerm, Sender};
use crate::base::words;
use crate::engine::process::at_once;
use crate::engine::process::callback::RemoteCallback;
use crate::engine::process::link::{Killed, Patience};
use crate::engine::process::made;
use crate::engine::process::own::Process;
use crate::engine::process::serving;
use crate::engine::process::spawn::{Command, Start};
use crate::engine::process::start::{self, LinkHandle};
use crate::engine::process::turns;
use crate::pool::handles::PoolHandle;
use rustler::{Atom, Binary, Encoder, Env, LocalPid, NifMap, ResourceArc, Term};
use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

/// What a pool of processes is made with. Times are in ms.
#[derive(NifMap)]
struct Config<'a> {
    /// What a worker is told first.
    settings: Term<'a>,
    /// `{operation, group_leader}` that each worker runs before all others, or nil.
    init: Option<(Term<'a>, Term<'a>)>,
    kill_after: u64,
    stop_after: u64,
    start_after: u64,
    max_calls: u64,
    bounded: bool,
    /// Tells ways to start a worker apart.
    way: Binary<'a>,
    /// The options that workers are started with, as the reason tells them when one was not.
    started_by: Term<'a>,
}

/// Gets ready, once. `native_layouts`: whether terms may be read in place. `{:error, text}` if there is no thread.
#[rustler::nif]
fn process_begin(env: Env<'_>, native_layouts: bool) -> Term<'_> {
    if !native_layouts {
        words::forget();
    }
    match clock::start() {
        Ok(()) => atoms::ok().to_term(env),
        Err(error) => env.error_tuple(error.to_string()),
    }
}

/// The version of this library.
#[rustler::nif]
fn process_version() -> (Atom, &'static str) {
    (atoms::ok(), env!("CARGO_PKG_VERSION"))
}

/// As `pool_new`.
#[rustler::nif]
fn process_new<'a>(
    env: Env<'a>,
    name: Atom,
    max_queue: usize,
    timeout: Term<'a>,
    config: Config<'a>,
) -> Term<'a> {
    let patience = Patience {
        kill_after: Duration::from_millis(config.kill_after),
        stop_after: Duration::from_millis(config.stop_after),
        start: Duration::from_millis(config.start_after),
    };
    let mut process = Process::new(config.settings, config.init, patience);
    process.max_calls = config.max_calls;
    process.is_bounded = config.bounded;
    process.way = config.way.to_vec();
    process.started_by = OwnedTerm::new(config.started_by);
    let held = config.init.is_some();
    super::pool::new(env, name, max_queue, timeout, held, Box::new(process))
}

/// For a process that has just answered a callback: what the worker does next may come at once. True if it may be worth
/// it to look again. `first`, `last`: of the looks for one answer.
#[rustler::nif]
fn process_look<'a>(env: Env<'a>, callback: Term<'a>, first: bool, last: bool) -> bool {
    let callback = callback.decode::<ResourceArc<RemoteCallback>>();
    let callback = callback.as_ref().ok().and_then(|held| held.0.as_ref());
    let link = callback.and_then(|callback| callback.link());
    link.is_some_and(|link| at_once::look_after_answer(&link, first, last, Sender::scheduler(env)))
}

/// A new worker, which the calling process looks after. `spare`: it runs nothing until it enters. It has no process of the operating system yet.
#[rustler::nif]
fn process_join<'a>(env: Env<'a>, pool: &PoolHandle, id: u64, spare: bool) -> Term<'a> {
    let owner = env.pid();
    let handle = ResourceArc::new(LinkHandle(start::join(&pool.0, id, owner, spare)));
    // The calling process is alive, so it can be watched.
    let _ = env.monitor(&handle, &owner);
    handle.encode(env)
}

/// What the workers of a pool are forked from, which the calling process looks after. It has no process of the operating
/// system yet.
#[rustler::nif]
fn process_template<'a>(env: Env<'a>, pool: &PoolHandle) -> Term<'a> {
    let owner = env.pid();
    let handle = ResourceArc::new(LinkHandle(start::template(&pool.0, owner)));
    // The calling process is alive, so it can be watched.
    let _ = env.monitor(&handle, &owner);
    handle.encode(env)
}

/// As `process_spawn`, but that the process is forked from a template, which is ready. `{:error, :no_template}`: it is no
/// more.
#[rustler::nif(schedule = "DirtyIo")]
fn process_fork<'a>(env: Env<'a>, link: &LinkHandle, template: &LinkHandle) -> Term<'a> {
    let (Some(link), Some(template)) = (&link.0, &template.0) else {
        return env.error_tuple("a pool of another engine");
    };
    if template.was_killed() || template.is_over() {
        return env.error_tuple(atoms::no_template());
    }
    match start::spawn(link, Start::Fork(Arc::clone(template))) {
        Ok(()) => atoms::ok().to_term(env),
        Err(error) => env.error_tuple(error.to_string()),
    }
}

/// A spare worker takes requests from here on. False if it is gone.
#[rustler::nif]
fn process_enter(env: Env<'_>, link: &LinkHandle) -> bool {
    let link = link.0.as_ref();
    link.is_some_and(|link| turns::enter(link, Sender::scheduler(env)))
}

/// Has a worker end between two requests.
#[rustler::nif]
fn process_retire(env: Env<'_>, link: &LinkHandle) -> Atom {
    if let Some(link) = &link.0 {
        turns::retire(link, Sender::scheduler(env));
    }
    atoms::ok()
}

/// Makes answers that the link's thread has left to the calling process.
#[rustler::nif(schedule = "DirtyCpu")]
fn process_make(env: Env<'_>, link: &LinkHandle) -> Atom {
    if let Some(link) = &link.0 {
        made::make(link, Sender::dirty(env));
    }
    atoms::ok()
}

/// Starts the process of a worker. Its owner gets `{:python_process, :ready, os_pid}`, `{:python_process, :make}`
/// when it is to call `process_make`, `{:python_process, :wearing}` when it will retire soon, `{:python_process, :leaving}` when it does,
/// `{:python_process, :output, descriptor, text}` and `{:python_process, :ended, reason}`, or if it never was ready
/// `{:python_process, :failed, reason, pause}`: how many ms to wait until the next one is started.
#[rustler::nif(schedule = "DirtyIo")]
fn process_spawn<'a>(
    env: Env<'a>,
    link: &LinkHandle,
    arguments: Vec<&str>,
    environment: Vec<&str>,
    folder: Option<&str>,
) -> Term<'a> {
    let command = command(arguments, environment, folder);
    let (Some(link), Some(command)) = (&link.0, command) else {
        return env.error_tuple("a zero byte");
    };
    match start::spawn(link, Start::Program(command)) {
        Ok(()) => atoms::ok().to_term(env),
        Err(error) => env.error_tuple(error.to_string()),
    }
}

fn command(arguments: Vec<&str>, environment: Vec<&str>, folder: Option<&str>) -> Option<Command> {
    let texts = |texts: Vec<&str>| {
        let texts = texts.into_iter().map(|text| CString::new(text).ok());
        texts.collect::<Option<Vec<_>>>()
    };
    Some(Command {
        arguments: texts(arguments)?,
        environment: texts(environment)?,
        folder: match folder {
            Some(folder) => Some(CString::new(folder).ok()?),
            None => None,
        },
    })
}

/// There is nothing to be started for a worker: calls get this reason.
#[rustler::nif]
fn process_fail<'a>(env: Env<'a>, link: &LinkHandle, reason: Term<'a>) -> Atom {
    if let Some(link) = &link.0 {
        start::fail(link, reason, Sender::scheduler(env));
    }
    atoms::ok()
}

/// How many ms to wait until a worker is started: several have failed one after the other.
#[rustler::nif]
fn process_pause(pool: &PoolHandle) -> u64 {
    Process::of(&pool.0).map_or(0, |process| process.pause().as_millis() as u64)
}

/// As `pool_of_context`, for a context of this engine.
#[rustler::nif]
fn process_of_context(env: Env<'_>, owner: LocalPid) -> Term<'_> {
    super::pool::context(env, owner, |pool| Process::of(pool).is_some())
}

/// Has those workers end that are at nothing. The others end after that: their pool is closed.
#[rustler::nif]
fn process_stop(pool: &PoolHandle) -> Atom {
    start::stop(&pool.0);
    atoms::ok()
}

/// The workers: a list of `{os_pid, busy, calls}`; the first is 0 while it starts.
#[rustler::nif]
fn process_workers(pool: &PoolHandle) -> Vec<(u64, bool, u64)> {
    start::workers(&pool.0)
}

/// The processes that look after workers.
#[rustler::nif]
fn process_owners(pool: &PoolHandle) -> Vec<LocalPid> {
    start::owners(&pool.0)
}

/// Kills all workers.
#[rustler::nif]
fn process_kill(pool: &PoolHandle) -> Atom {
    for link in Process::of(&pool.0)
        .map(Process::processes)
        .unwrap_or_default()
    {
        link.kill(Killed::Stuck);
    }
    atoms::ok()
}

/// The calling process is the one that callbacks are sent to. `names`: what is registered.
#[rustler::nif]
fn process_serve<'a>(env: Env<'a>, names: Vec<(String, Term<'a>)>) -> Atom {
    serving::serve(env.pid(), names);
    atoms::ok()
}

#[rustler::nif]
fn process_register<'a>(name: &str, described: Term<'a>) -> bool {
    serving::register(name, described);
    true
}

#[rustler::nif]
fn process_unregister(name: &str) -> Atom {
    serving::unregister(name);
    atoms::ok()
}
