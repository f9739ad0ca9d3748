//! `request_*`: what callers ask for.

use crate::base::atoms;
use crate::base::flags::Flags;
use crate::base::resource::Owned;
use crate::base::term_env::{Sender, TermEnv};
use crate::pool::Submitted;
use crate::pool::engine::AtOnce;
use crate::pool::handles::PoolHandle;
use crate::pool::marks::CLAIMED;
use crate::pool::request::{Progress, Request};
use crate::pool::ticket::Ticket;
use crate::pool::watch;

use super::raw;
use rustler::{Atom, Encoder, Env, LocalPid, NifResult, Term};
use std::sync::Arc;
use std::sync::atomic::Ordering;

raw::nif!(request_submit, 6, Normal, submit);
#[cfg(feature = "main")]
raw::nif!(request_run, 4, DirtyIo, run);

/// Puts a request into the pool's queue. The answer comes to the calling process as
/// `{reference, answer}`. Returns the caller's ticket, or `:overloaded` or `:closed`; with the flag 4 also `{answer}`, and
/// no message then, or `{:soon, ticket}`, after which `request_look` may be asked; with the flag 1024 also `:here`, if
/// `request_run` is better. `timeout`: how long the caller waits, in ms or `:infinity`.
fn submit<'a>(env: Env<'a>, arguments: [Term<'a>; 6]) -> NifResult<Term<'a>> {
    let [pool, reference, flags, operation, leader, timeout] = arguments;
    let pool: &PoolHandle = pool.decode()?;
    let flags = Flags::new(flags.decode()?);
    if flags.may_run_here() && pool.0.engine.is_better_here(&pool.0, flags) {
        return Ok(atoms::here().to_term(env));
    }
    let prepared = pool.0.engine.prepare(operation);
    let request = Request::new(
        env.pid(),
        flags,
        Arc::clone(&pool.0),
        reference,
        match prepared {
            None => operation,
            Some(_) => atoms::nil().to_term(env),
        },
        leader,
    );
    // No number: `:infinity`.
    request.deadline.set(timeout.decode().ok());
    let sender = Sender::scheduler(env);
    let engine = &pool.0.engine;
    let submitted = if let Some(prepared) = prepared {
        request.keep_prepared(prepared);
        engine.hand_in(&request, sender)
    } else if request.flags.init() {
        pool.0.submit_first(Arc::clone(&request), sender)
    } else {
        engine.begins_to_look(&request);
        pool.0.submit(Arc::clone(&request), sender)
    };
    if let Submitted::Queued = submitted {
        match engine.answer_at_once(env, &request, sender) {
            AtOnce::Answer(answer) => return Ok((answer,).encode(env)),
            AtOnce::Soon => {
                let ticket = ticket(env, request, submitted);
                return Ok((atoms::soon(), ticket).encode(env));
            }
            AtOnce::Later => {}
        }
    }
    Ok(ticket(env, request, submitted))
}

/// Looks a moment for the answer to a request that the calling process has just handed in: `{answer}`, with no message
/// then; `:soon`, after which it may be asked again; or `:later`, after which the answer comes as a message. `last`: it
/// is not asked again after `:soon`.
#[rustler::nif]
fn request_look<'a>(env: Env<'a>, ticket: &Ticket, last: bool) -> Term<'a> {
    let request = &ticket.0;
    let engine = &request.pool.engine;
    match engine.answer_again(env, request, last, Sender::scheduler(env)) {
        AtOnce::Answer(answer) => (answer,).encode(env),
        AtOnce::Soon => atoms::soon().to_term(env),
        AtOnce::Later => atoms::later().to_term(env),
    }
}

/// What a caller has of a request that was handed in: its ticket, or why it was refused.
pub fn ticket(env: Env<'_>, request: Arc<Request>, submitted: Submitted) -> Term<'_> {
    match submitted {
        Submitted::Queued => Owned::new(Ticket(request)).to_term(env),
        Submitted::Overloaded => atoms::overloaded().to_term(env),
        Submitted::Closed => atoms::closed().to_term(env),
    }
}

/// Runs an operation that has no deadline in the calling process: its answer, or `:busy` if that is
/// better left to the pool's workers.
#[cfg(feature = "main")]
fn run<'a>(env: Env<'a>, arguments: [Term<'a>; 4]) -> NifResult<Term<'a>> {
    let [pool, flags, operation, leader] = arguments;
    let pool: &PoolHandle = pool.decode()?;
    let flags = Flags::new(flags.decode()?);
    let answer = pool
        .0
        .engine
        .run_here(env, &pool.0, flags, operation, leader);
    Ok(answer.unwrap_or_else(|| atoms::busy().to_term(env)))
}

/// Ties the request to the life of `owner`, for requests whose ticket others may hold, or nobody.
#[rustler::nif]
fn request_watch(env: Env<'_>, ticket: Owned<Ticket>, owner: LocalPid) -> Atom {
    let request = Arc::clone(&ticket.0);
    if ticket.watch(env, &owner) {
        request.keep(ticket);
    } else {
        request.cancel(false);
    }
    atoms::ok()
}

/// Limits the time until the answer, from now on, in ms. Then the answer is a timeout.
#[rustler::nif]
fn request_limit(ticket: &Ticket, timeout: u64) -> Atom {
    ticket.0.deadline.set(Some(timeout));
    watch::limit(&ticket.0, timeout);
    atoms::ok()
}

/// Gives the request up if it is not over in so many ms. Its caller is not waiting and gets no message.
#[rustler::nif]
fn request_expire(ticket: &Ticket, timeout: u64) -> Atom {
    watch::expire(&ticket.0, timeout);
    atoms::ok()
}

/// Puts a message where the request's code can `erlang.receive` it.
#[rustler::nif]
fn request_send<'a>(ticket: &Ticket, message: Term<'a>) -> Atom {
    let request = &ticket.0;
    request.mailbox.put(message);
    request.pool.engine.mail(&request.pool, Some(request));
    atoms::ok()
}

/// Claims the answer. True the first time only: an answer can be waited for once.
#[rustler::nif]
fn request_claim(ticket: &Ticket) -> bool {
    !ticket.0.marks.set(CLAIMED)
}

/// Gives the request up. Says how far it was: `:queued`, `:running` or `:answered`, in which case
/// the answer is in the mailbox or about to be. With `listens` and `:running`, the message
/// `{reference, {:location, {file, line, function} | :none}}` follows, unless `request_close` is
/// called before.
#[rustler::nif]
fn request_cancel(ticket: &Ticket, listens: bool) -> Atom {
    let progress = ticket.0.cancel(listens);
    if listens && progress != Progress::Answered {
        let stats = &ticket.0.pool.stats;
        stats.timed_out.fetch_add(1, Ordering::Relaxed);
    }
    self::progress(progress)
}

pub fn progress(progress: Progress) -> Atom {
    match progress {
        Progress::Queued => atoms::queued(),
        Progress::Running => atoms::running(),
        Progress::Answered => atoms::answered(),
    }
}

/// Gives the request up for another process, which waits for the answer and is told.
#[rustler::nif]
fn request_abandon(env: Env<'_>, ticket: &Ticket) -> Atom {
    let told = ticket
        .0
        .answer(Sender::scheduler(env), &mut TermEnv::new(), |env| {
            (atoms::error(), atoms::cancelled()).encode(env)
        });
    if told {
        watch::watch(Arc::clone(&ticket.0));
    }
    atoms::ok()
}

/// Stops listening for the place. False if it is in the mailbox already, or about to be.
#[rustler::nif]
fn request_close(ticket: &Ticket) -> bool {
    ticket.0.stop_listening()
}
