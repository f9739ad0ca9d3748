//! The requests that the VM has sent, by the numbers that it knows them by.

use super::pool;
use crate::base::deadline;
use crate::base::flags::Flags;
use crate::base::lock::Mutex;
use crate::base::numbers::Numbers;
use crate::base::segment::Segment;
use crate::base::term_env::{SavedTerm, Sender, TermEnv};
use crate::base::{atoms, side};
use crate::engine::main::beside;
use crate::engine::main::callback::CallbackHandle;
use crate::pool::Submitted;
use crate::pool::marks::BESIDE;
use crate::pool::request::{Progress, Request};
use crate::pool::stream::Stream;
use rustler::{Encoder, Env, LocalPid, ResourceArc, Term};
use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

/// What the VM waits for.
#[derive(Clone)]
pub(super) enum Pending {
    Call(Arc<Request>),
    /// A chunk of a stream.
    Chunk(Arc<Stream>),
    /// The end of a stream.
    Close(Arc<Stream>),
}

/// Each number is there from when it comes to when its end is told. Held for a look-up.
static PENDING: LazyLock<Mutex<Numbers<Pending>>> = LazyLock::new(Mutex::default);

/// What is asked of Python.
pub struct Call {
    pub number: u64,
    pub flags: u32,
    /// In ms. None: as long as it takes.
    pub timeout: Option<u64>,
    /// The thread that waits for a callback runs it, and it is no part of that.
    pub beside: bool,
}

/// What the VM knows a request by, or the demand that it is for.
pub(super) fn number_of(request: &Arc<Request>) -> Option<u64> {
    let pending = PENDING.lock();
    if let Some(stream) = Stream::of(request) {
        return chunk_of(&pending, stream);
    }
    pending.iter().find_map(|(number, pending)| match pending {
        Pending::Call(of) if Arc::ptr_eq(of, request) => Some(*number),
        _ => None,
    })
}

/// The demand that waits for a chunk of a stream.
pub(super) fn demand_of(stream: &Arc<Stream>) -> Option<u64> {
    chunk_of(&PENDING.lock(), Arc::as_ptr(stream))
}

fn chunk_of(pending: &Numbers<Pending>, stream: *const Stream) -> Option<u64> {
    pending.iter().find_map(|(number, pending)| match pending {
        Pending::Chunk(of) if Arc::as_ptr(of) == stream => Some(*number),
        _ => None,
    })
}

pub(super) fn expect(number: u64, pending: Pending) {
    let before = PENDING.lock().insert(number, pending);
    drop(before);
}

fn look_up(number: u64) -> Option<Pending> {
    PENDING.lock().get(&number).cloned()
}

/// The end of a request is told to the VM: false if that was done before.
pub fn answered(number: u64) -> bool {
    let pending = PENDING.lock().remove(&number);
    pending.is_some()
}

/// Whether the end of a request that has come back without an answer is to be told.
pub fn done(number: u64) -> bool {
    answered(number)
}

/// The same for a request of a stream: the number of the demand that it was for.
pub fn fill_done(stream: &dyn Any) -> Option<u64> {
    let stream: *const Stream = stream.downcast_ref::<Stream>()?;
    let mut pending = PENDING.lock();
    let number = chunk_of(&pending, stream)?;
    let removed = pending.remove(&number);
    drop(pending);
    drop(removed);
    Some(number)
}

/// Hands a request in. `callback`: the one of which it is a part. False if the terms are not what they should be.
pub fn run(
    call: &Call,
    terms: Terms,
    caller: Term<'_>,
    leader: Term<'_>,
    callback: Option<Term<'_>>,
) -> bool {
    let (Some(request), Some(sender)) = (arrive(call, terms, caller, leader), Sender::own_thread())
    else {
        return false;
    };
    let request = request.0;
    let callback =
        callback.and_then(|callback| callback.decode::<ResourceArc<CallbackHandle>>().ok());
    if let Some(callback) = callback {
        if call.beside {
            request.marks.set(BESIDE);
        } else if let Some(outer) = callback.0.request() {
            request.set_outer(outer);
        }
        if callback.0.nest(Arc::clone(&request)).is_ok() {
            return true;
        }
        if !call.beside {
            callback.0.note_elsewhere(&request, sender);
        }
    }
    submit(request, sender);
    true
}

fn submit(request: Arc<Request>, sender: Sender) {
    match request.pool.submit(Arc::clone(&request), sender) {
        Submitted::Queued => {}
        Submitted::Overloaded => refuse(&request, sender, atoms::overloaded()),
        Submitted::Closed => refuse(&request, sender, atoms::closed()),
    }
}

/// Messages for requests that come after them. Held for a move.
static AHEAD: LazyLock<Mutex<HashMap<u64, Vec<Ahead>>>> = LazyLock::new(Mutex::default);

/// There are any.
static HAS_AHEAD: AtomicBool = AtomicBool::new(false);

type Ahead = (TermEnv, SavedTerm);

/// Keeps a message for a request that has not come yet.
pub fn send_ahead(number: u64, message: Term<'_>) {
    let env = TermEnv::new();
    let message = env.copy(message);
    let mut ahead = AHEAD.lock();
    ahead.entry(number).or_default().push((env, message));
    HAS_AHEAD.store(true, Ordering::Release);
}

fn take_ahead(number: u64, request: &Request) {
    let messages = {
        let mut ahead = AHEAD.lock();
        let messages = ahead.remove(&number);
        HAS_AHEAD.store(!ahead.is_empty(), Ordering::Release);
        messages
    };
    for (env, message) in messages.unwrap_or_default() {
        request.mailbox.put(env.term(message));
    }
}

/// A request that can be found by its number, and is in no queue.
pub struct Arrived(Arc<Request>);

/// Makes a request. None if the terms are not what they should be.
pub fn arrive(call: &Call, terms: Terms, caller: Term<'_>, leader: Term<'_>) -> Option<Arrived> {
    let pool = pool()?;
    // What a pool does for itself, such as its `:init`, has no caller.
    let caller = caller.decode::<LocalPid>().unwrap_or(pool.owner);
    let Terms {
        env,
        reference,
        operation,
    } = terms;
    let request = Request::of_terms(
        env,
        caller,
        Flags::new(call.flags),
        Arc::clone(pool),
        (reference, operation),
        leader,
    );
    request.deadline.set(call.timeout);
    if HAS_AHEAD.load(Ordering::Acquire) {
        take_ahead(call.number, &request);
    }
    expect(call.number, Pending::Call(Arc::clone(&request)));
    Some(Arrived(request))
}

/// Has the main thread look for requests in what it shares with the VM as well. `accept`: what comes of `arrive`.
/// After `start`.
pub fn share(
    segment: &'static Segment,
    accept: impl Fn(&[u8]) -> Option<Arrived> + Send + Sync + 'static,
) {
    beside::set(segment, Box::new(move |bytes| Some(accept(bytes)?.0)));
    super::wake_by(segment);
}

/// On the thread that reads the socket, before it handles what has come: whatever was sent before that can be found
/// now.
pub fn settle() {
    beside::settle(|request| {
        if let Some(sender) = Sender::own_thread() {
            submit(request, sender);
        }
    });
}

fn refuse(request: &Request, sender: Sender, reason: rustler::Atom) {
    request.answer(sender, &mut TermEnv::new(), |env| {
        (atoms::error(), reason).encode(env)
    });
}

/// The terms of a request, in an environment that is to be its own.
pub struct Terms {
    env: TermEnv,
    reference: SavedTerm,
    operation: SavedTerm,
}

impl Terms {
    /// `read`: gives reference and operation.
    pub fn read<E>(
        read: impl for<'a> FnOnce(Env<'a>) -> Result<(Term<'a>, Term<'a>), E>,
    ) -> Result<Self, E> {
        let env = TermEnv::new();
        let (reference, operation) = {
            let (reference, operation) = read(env.env())?;
            (SavedTerm::save(reference), SavedTerm::save(operation))
        };
        Ok(Terms {
            env,
            reference,
            operation,
        })
    }
}

/// How many ms are left until then.
pub fn left_until(due: u64) -> u64 {
    due.saturating_sub(deadline::now())
}

/// Gives a request up. `listens`: its place is wanted.
pub fn cancel(number: u64, listens: bool, reference: Term<'_>) {
    let (progress, pid) = match look_up(number) {
        Some(Pending::Call(request)) => (request.cancel(listens), request.caller()),
        Some(Pending::Chunk(stream)) => (stream.cancel(), stream.consumer()),
        Some(Pending::Close(stream)) => {
            if let Some(sender) = Sender::own_thread() {
                stream.interrupt_closing(sender);
            }
            return;
        }
        None => return,
    };
    // One that runs tells both itself.
    if progress == Progress::Queued {
        if let (true, Some(pid), Some(sender)) = (listens, pid, Sender::own_thread()) {
            let reference = SavedTerm::save(reference);
            let location = (atoms::location(), atoms::none());
            TermEnv::new().send(sender, &pid, |env| {
                (reference.load(env), location).encode(env)
            });
        }
        if let Some(link) = side::link() {
            link.done(reference);
        }
    }
}

/// Puts a message where the code of a request can `erlang.receive` it, or that of a context. 0: a context.
pub fn send(number: u64, message: Term<'_>) {
    match look_up(number) {
        Some(Pending::Call(request)) => request.mailbox.put(message),
        _ if number == 0 => {
            if let Some(pool) = pool() {
                pool.mailbox.put(message);
            }
        }
        _ => {}
    }
}
