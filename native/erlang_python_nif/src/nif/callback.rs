//! `callback_*`: functions of Elixir that Python calls.

use crate::base::atoms;
use crate::base::clock;
use crate::base::flags::Flags;
use crate::base::guard::Guard;
use crate::base::term_env::Sender;
use crate::nif::waiting::Waiting;
use crate::pool::Submitted;
use crate::pool::handles::PoolHandle;
use crate::pool::request::Request;
use rustler::{Atom, Env, Error, LocalPid, NifResult, ResourceArc, Term};
use std::cell::Cell;
use std::sync::Arc;

/// Something to be held: when nobody holds it any more, `pid` gets the message `:dropped`, or `{:dropped, number}`, if the
/// number is not nil.
///
/// The clock sends it, which may not run yet: a node that calls others needs no Python.
#[rustler::nif]
fn guard_new(pid: LocalPid, number: Option<u64>) -> NifResult<ResourceArc<Guard>> {
    clock::start()
        .map_err(|error| Error::Term(Box::new(format!("cannot start a thread: {error}"))))?;
    Ok(ResourceArc::new(Guard { pid, number }))
}

/// The calling process will answer: should it end before, Python is told. Not why it ended: for that there
/// is `Python.Callback`.
#[rustler::nif]
fn callback_accept(env: Env<'_>, callback: Waiting) -> Atom {
    callback.watch(env);
    atoms::ok()
}

/// Whether it needs no answer any more.
#[rustler::nif]
fn callback_answered(callback: Waiting) -> bool {
    callback.is_answered()
}

/// Answers. False if nobody waits any more.
#[rustler::nif]
fn callback_answer<'a>(callback: Waiting, answer: Term<'a>) -> bool {
    callback.answer(answer)
}

/// As `request_submit`, for a request of a process that runs callbacks or bodies of `with`, the innermost
/// first: the thread that waits for one of these runs the request, if it is for the same pool.
#[rustler::nif]
fn callback_submit<'a>(
    env: Env<'a>,
    callbacks: Vec<Waiting>,
    pool: &PoolHandle,
    reference: Term<'a>,
    (flags, timeout): (u32, Term<'a>),
    operation: Term<'a>,
    leader: Term<'a>,
) -> Term<'a> {
    let prepared = pool.0.engine.prepare(operation);
    let request = Request::new(
        env.pid(),
        Flags::new(flags),
        Arc::clone(&pool.0),
        reference,
        match prepared {
            None => operation,
            Some(_) => atoms::nil().to_term(env),
        },
        leader,
    );
    request.deadline.set(timeout.decode().ok());
    if let Some(outer) = callbacks.iter().find_map(Waiting::request) {
        request.set_outer(outer);
    }
    let sender = Sender::scheduler(env);
    let note_elsewhere = || {
        for callback in &callbacks {
            callback.note_elsewhere(&request, sender);
        }
    };
    // Once it is in a queue, others may have a worker that waits run it as well.
    let is_settled = Cell::new(false);
    let nest = |nested: &Arc<Request>| {
        let is_nested = callbacks.iter().any(|c| c.nest(nested, sender));
        if Arc::ptr_eq(nested, &request) && !is_settled.replace(true) && !is_nested {
            note_elsewhere();
        }
        is_nested
    };
    let submitted = match prepared {
        Some(prepared) => {
            request.keep_prepared(prepared);
            let submitted = pool.0.engine.hand_in_nested(&request, &nest, sender);
            if !is_settled.get() {
                note_elsewhere();
            }
            submitted
        }
        None if nest(&request) => Submitted::Queued,
        None => pool.0.submit(Arc::clone(&request), sender),
    };
    super::request::ticket(env, request, submitted)
}
