//! The streams of this process, for a consumer in the VM.

use super::requests::{Pending, demand_of, expect};
use crate::base::atoms;
use crate::base::clock;
use crate::base::lock::Mutex;
use crate::base::side;
use crate::base::term_env::{Sender, TermEnv};
use crate::engine::main::callback::CallbackHandle;
use crate::pool::Submitted;
use crate::pool::request::Request;
use crate::pool::stream::{Consumer, Demanded, Flushed, Stream, Waiter, closed};
use rustler::{Encoder, Env, LocalPid, ResourceArc, Term};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

/// How often it is tried to send a chunk that the VM finds long in the making, and of which it is not time yet by the
/// clock here, or which was not begun: at first, and at last.
const LOOK: Duration = Duration::from_millis(1);
const LONGEST_LOOK: Duration = Duration::from_millis(50);

thread_local! {
    /// What the current thread is sending.
    static SENDING: Cell<Sending> = const { Cell::new(Sending::Whole) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    Whole,
    /// A part of a chunk, if anything.
    Part,
    /// One was sent.
    Sent,
}

/// Whether the answer that is being sent is not the last one to its demand.
pub fn is_part() -> bool {
    let part = SENDING.get() != Sending::Whole;
    if part {
        SENDING.set(Sending::Sent);
    }
    part
}

/// Those that were read from. They are closed when the process is to end: `finally` blocks of generators run then.
/// Held for a look and a move, or to take all.
static READ: LazyLock<Mutex<Read>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Read {
    /// By their addresses, which are theirs for as long as they are known here.
    streams: HashMap<usize, Weak<Stream>>,
    /// How many were left by the last look at which are gone.
    left: usize,
}

/// So many are kept before the first look at which are gone.
const MANY: usize = 64;

fn remember(stream: &Arc<Stream>) {
    let address = Arc::as_ptr(stream) as usize;
    let mut read = READ.lock();
    if read.streams.contains_key(&address) {
        return;
    }
    if read.streams.len() >= MANY.max(2 * read.left) {
        read.streams.retain(|_, stream| stream.strong_count() > 0);
        read.left = read.streams.len();
    }
    read.streams.insert(address, Arc::downgrade(stream));
}

/// Closes all, as far as they are at rest. Those that make an item close when it is made.
pub(super) fn close_all(sender: Sender) {
    let read = std::mem::take(&mut *READ.lock());
    for stream in read.streams.values().filter_map(Weak::upgrade) {
        stream.close(None, &|_| false, sender);
    }
}

/// Asks for a chunk. `reference`: that of the demand. False if the terms are not what they should be.
pub fn demand(
    number: u64,
    reference: Term<'_>,
    stream: Term<'_>,
    callback: Option<Term<'_>>,
    consumer: Term<'_>,
) -> bool {
    let Some((stream, pid, sender)) = parties(stream, consumer) else {
        return false;
    };
    remember(&stream);
    expect(number, Pending::Chunk(Arc::clone(&stream)));
    ask(&stream, pid, reference, callback, sender);
    true
}

fn ask(
    stream: &Arc<Stream>,
    pid: LocalPid,
    reference: Term<'_>,
    callback: Option<Term<'_>>,
    sender: Sender,
) {
    let answer = |build: fn(Env<'_>) -> Term<'_>| {
        TermEnv::new().send(sender, &pid, |env| {
            (reference.in_env(env), build(env)).encode(env)
        });
    };
    match stream.demand(pid, reference, &nest(callback), sender) {
        Demanded::Coming | Demanded::Refused(Submitted::Queued) => {}
        Demanded::Ended => answer(|env| {
            let none: [Term<'_>; 0] = [];
            (atoms::ok(), (atoms::done(), &none[..])).encode(env)
        }),
        Demanded::Refused(Submitted::Overloaded) => {
            answer(|env| (atoms::error(), atoms::overloaded()).encode(env));
        }
        Demanded::Refused(Submitted::Closed) => {
            answer(|env| (atoms::error(), atoms::closed()).encode(env));
        }
    }
}

/// What there is of the chunk is wanted, as soon as there is any.
pub fn flush(stream: Term<'_>) {
    if let (Some(stream), Some(sender)) = (of_term(stream), Sender::own_thread())
        && !flushed(&stream, sender)
    {
        let mut look = LOOK;
        let stream = Arc::downgrade(&stream);
        clock::after(LOOK, move |sender, _| {
            look = (look * 5 / 4).min(LONGEST_LOOK);
            (!flushed(&stream.upgrade()?, sender)).then_some(look)
        });
    }
}

/// False if it is too early for that.
fn flushed(stream: &Arc<Stream>, sender: Sender) -> bool {
    SENDING.set(Sending::Part);
    let flushed = stream.flush(sender);
    let sent = SENDING.replace(Sending::Whole) == Sending::Sent;
    if let (true, Some(link), Some(pid)) = (sent, side::link(), stream.consumer())
        && let Some(number) = demand_of(stream)
    {
        let own = TermEnv::new();
        let reference = link.reference(own.env(), number);
        ask(stream, pid, reference, None, sender);
    }
    !matches!(flushed, Flushed::Early)
}

/// Closes a stream. False if the terms are not what they should be.
pub fn close(
    number: u64,
    reference: Term<'_>,
    stream: Term<'_>,
    callback: Option<Term<'_>>,
    consumer: Term<'_>,
) -> bool {
    let Some((stream, pid, sender)) = parties(stream, consumer) else {
        return false;
    };
    expect(number, Pending::Close(Arc::clone(&stream)));
    let waiter = Waiter::new(pid, reference);
    if stream.close(Some(waiter), &nest(callback), sender) {
        let waiter = Waiter::new(pid, reference);
        waiter.send(sender, &mut TermEnv::new(), closed);
    }
    true
}

/// The name of the resource type of streams.
pub fn streams() -> &'static str {
    std::any::type_name::<Consumer>()
}

/// A stream, the process that answers are for, of a consumer that is none any more the stream's own, and how they
/// are sent.
fn parties(stream: Term<'_>, consumer: Term<'_>) -> Option<(Arc<Stream>, LocalPid, Sender)> {
    let stream = of_term(stream)?;
    let pid = consumer.decode().ok().or(stream.consumer())?;
    Some((stream, pid, Sender::own_thread()?))
}

fn of_term(stream: Term<'_>) -> Option<Arc<Stream>> {
    let consumer = stream.decode::<ResourceArc<Consumer>>().ok()?;
    Some(Arc::clone(&consumer.0))
}

/// A body of a `with` that the consumer is in takes the requests of its streams.
fn nest(callback: Option<Term<'_>>) -> impl Fn(&Arc<Request>) -> bool {
    let callback =
        callback.and_then(|callback| callback.decode::<ResourceArc<CallbackHandle>>().ok());
    let hold = callback.filter(|callback| callback.0.is_hold());
    move |request| {
        hold.as_ref()
            .is_some_and(|hold| hold.0.nest(Arc::clone(request)).is_ok())
    }
}
