//! `callback_*`: functions of Elixir that Python calls.

use crate::base::atoms;
use crate::base::flags::Flags;
use crate::base::server;
use crate::base::term_env::Sender;
use crate::engine::main::callback::{CallbackHandle, Guard};
use crate::engine::main::registered;
use crate::pool::Submitted;
use crate::pool::handles::PoolHandle;
use crate::pool::request::Request;
use rustler::{Atom, Env, LocalPid, ResourceArc, Term};
use std::sync::Arc;

/// The calling process is the one that callbacks are sent to. `names`: what is registered.
#[rustler::nif]
fn callback_serve<'a>(env: Env<'a>, names: Vec<(String, Term<'a>)>) -> Atom {
    registered::set_registered(names);
    server::set(env.pid());
    atoms::ok()
}

/// False if the Python package has something else by this name.
#[rustler::nif]
fn callback_register<'a>(name: &str, described: Term<'a>) -> bool {
    registered::register(name, described)
}

#[rustler::nif]
fn callback_unregister(name: &str) -> Atom {
    registered::unregister(name);
    atoms::ok()
}

/// Something to be held: when nobody holds it any more, `pid` gets the message `:dropped`.
#[rustler::nif]
fn guard_new(pid: LocalPid) -> ResourceArc<Guard> {
    ResourceArc::new(Guard(pid))
}

/// The calling process will answer: should it end before, Python is told. Not why it ended: for that there
/// is `Python.Callback`.
#[rustler::nif]
fn callback_accept(env: Env<'_>, callback: ResourceArc<CallbackHandle>) -> Atom {
    // The calling process is alive, so it can be watched.
    let _ = env.monitor(&callback, &env.pid());
    atoms::ok()
}

/// Whether it needs no answer any more.
#[rustler::nif]
fn callback_answered(callback: ResourceArc<CallbackHandle>) -> bool {
    callback.0.is_answered()
}

/// Answers. False if nobody waits any more.
#[rustler::nif]
fn callback_answer<'a>(callback: ResourceArc<CallbackHandle>, answer: Term<'a>) -> bool {
    callback.0.answer(answer)
}

/// As `request_submit`, for a request of a process that runs callbacks or bodies of `with`, the innermost
/// first: the thread that waits for one of these runs the request, if it is for the same pool.
#[rustler::nif]
fn callback_submit<'a>(
    env: Env<'a>,
    callbacks: Vec<ResourceArc<CallbackHandle>>,
    pool: &PoolHandle,
    reference: Term<'a>,
    (flags, timeout): (u32, Term<'a>),
    operation: Term<'a>,
    leader: Term<'a>,
) -> Term<'a> {
    let request = Request::new(
        env.pid(),
        Flags::new(flags),
        Arc::clone(&pool.0),
        reference,
        operation,
        leader,
    );
    request.deadline.set(timeout.decode().ok());
    let outer = callbacks.iter().find_map(|callback| callback.0.request());
    if let Some(outer) = outer {
        request.set_outer(outer);
    }
    let nested = callbacks
        .iter()
        .any(|callback| callback.0.nest(Arc::clone(&request)).is_ok());
    let submitted = if nested {
        Submitted::Queued
    } else {
        for callback in &callbacks {
            callback.0.note_elsewhere(&request);
        }
        pool.0.submit(Arc::clone(&request), Sender::scheduler(env))
    };
    super::request::ticket(env, request, submitted)
}
