//! `callback_*`: functions of Elixir that Python calls.

use crate::base::atoms;
use crate::base::flags::Flags;
use crate::base::server;
use crate::base::term_env::Sender;
use crate::engine::main::callback::{CallbackHandle, Guard};
use crate::engine::main::registered;
use crate::engine::process::callback::RemoteCallback;
use crate::engine::process::{run, start};
use crate::pool::Submitted;
use crate::pool::handles::PoolHandle;
use crate::pool::marks::NESTED;
use crate::pool::request::Request;
use rustler::{Atom, Decoder, Env, LocalPid, NifResult, ResourceArc, Term};
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

/// A call that Python waits for: in the VM, or in a process.
pub enum Waiting {
    Here(ResourceArc<CallbackHandle>),
    Remote(ResourceArc<RemoteCallback>),
}

impl<'a> Decoder<'a> for Waiting {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        let here = term.decode().map(Waiting::Here);
        here.or_else(|_| term.decode().map(Waiting::Remote))
    }
}

impl Waiting {
    /// The request that it is for.
    fn request(&self) -> Option<Arc<Request>> {
        match self {
            Waiting::Here(callback) => callback.0.request(),
            Waiting::Remote(callback) => callback.0.as_ref()?.request(),
        }
    }

    /// Has the thread or the process that waits run a request of its own callback, if it is for the same pool.
    fn nest(&self, request: &Arc<Request>, sender: Sender) -> bool {
        match self {
            Waiting::Here(callback) => callback.0.nest(Arc::clone(request)).is_ok(),
            Waiting::Remote(callback) => {
                let callback = callback.0.as_ref();
                callback.is_some_and(|callback| run::nest(callback, request, sender))
            }
        }
    }

    /// The same for a request of a stream: by a thread only in the body of a `with`.
    pub fn nest_stream(&self, request: &Arc<Request>, sender: Sender) -> bool {
        match self {
            Waiting::Here(callback) if !callback.0.is_hold() => false,
            _ => self.nest(request, sender),
        }
    }

    fn note_elsewhere(&self, request: &Arc<Request>) {
        match self {
            Waiting::Here(callback) => callback.0.note_elsewhere(request),
            Waiting::Remote(callback) => {
                if let Some(callback) = &callback.0 {
                    callback.note_elsewhere(request);
                }
            }
        }
    }
}

/// The calling process will answer: should it end before, Python is told. Not why it ended: for that there
/// is `Python.Callback`.
#[rustler::nif]
fn callback_accept(env: Env<'_>, callback: Waiting) -> Atom {
    // The calling process is alive, so it can be watched.
    let _ = match &callback {
        Waiting::Here(callback) => env.monitor(callback, &env.pid()),
        Waiting::Remote(callback) => env.monitor(callback, &env.pid()),
    };
    atoms::ok()
}

/// Whether it needs no answer any more.
#[rustler::nif]
fn callback_answered(callback: Waiting) -> bool {
    match callback {
        Waiting::Here(callback) => callback.0.is_answered(),
        Waiting::Remote(callback) => callback.0.as_ref().is_none_or(|c| c.is_answered()),
    }
}

/// Answers. False if nobody waits any more.
#[rustler::nif]
fn callback_answer<'a>(callback: Waiting, answer: Term<'a>) -> bool {
    match callback {
        Waiting::Here(callback) => callback.0.answer(answer),
        Waiting::Remote(callback) => {
            let callback = callback.0.as_ref();
            callback.is_some_and(|callback| run::answer(callback, answer))
        }
    }
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
    let nest = |request: &Arc<Request>| callbacks.iter().any(|c| c.nest(request, sender));
    let submitted = match prepared {
        Some(prepared) => {
            request.keep_prepared(prepared);
            let submitted = start::hand_in(&request, &nest, sender);
            if !request.marks.has(NESTED) {
                for callback in &callbacks {
                    callback.note_elsewhere(&request);
                }
            }
            submitted
        }
        None if nest(&request) => Submitted::Queued,
        None => {
            for callback in &callbacks {
                callback.note_elsewhere(&request);
            }
            pool.0.submit(Arc::clone(&request), sender)
        }
    };
    super::request::ticket(env, request, submitted)
}
