//! Requests on their way to a worker process, and their ends.

use super::ahead;
use super::callback::Callback;
use super::encoded::Unsendable;
use super::link::{Errand, Killed, Link, Listener, Stage};
use super::looking;
use super::mail;
use super::object;
use super::outbox;
use super::own::Process;
use super::pid;
use super::sent::{self, Sent};
use super::shown;
use super::turns;
use crate::base::atoms;
use crate::base::clock;
use crate::base::term_env::{SavedTerm, Sender, TermEnv};
use crate::pool::Next;
use crate::pool::marks::{BODY_OVER, NESTED};
use crate::pool::queue::Start;
use crate::pool::request::Request;
use crate::pool::stream::{self, Stream};
use crate::pool::watch;
use crate::pool::worker::Taker;
use erlang_python_wire::Writer;
use erlang_python_wire::frame::to_worker;
use rustler::{Encoder, Env, Term};
use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// How many workers one thread wakes from within another's waking.
const DEEPEST: u32 = 8;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

impl Taker for Link {
    fn take(self: Arc<Self>, sender: Sender) {
        let depth = DEPTH.get();
        if depth >= DEEPEST {
            return clock::soon(move |sender, _| Arc::clone(&self).take(sender));
        }
        DEPTH.set(depth + 1);
        take(&self, sender);
        DEPTH.set(depth);
    }
}

/// Takes the next request for a worker that is free, if there is one. Otherwise it is idle.
fn take(link: &Arc<Link>, sender: Sender) {
    let pool = &link.pool;
    loop {
        pool.arrived(&link.worker);
        // Its end is near. What waits is for others, which are woken then.
        if link.was_killed() && link.stage() == Stage::Ready {
            return;
        }
        if link.stage() == Stage::Failed && !link.worker.is_stopped() {
            match refuse(link, sender) {
                Refused::Request => continue,
                Refused::Nothing => return,
            }
        }
        if ahead::goes_on(link, sender) {
            return;
        }
        if turns::is_over(link, sender) && link.stage() == Stage::Ready {
            return turns::go(link, sender);
        }
        ahead::relieve_slow(link, sender);
        match pool.next(&link.worker, sender, true) {
            Next::Run(request) if is_done_already(&request, sender) => {}
            Next::Run(request) => {
                ahead::note_time(link);
                if run(link, &request, 0, sender) {
                    return;
                }
            }
            Next::LookOut(_) => {}
            Next::Idle => {
                turns::go_if_idle(link, sender);
                return ahead::relieve(link, sender);
            }
            Next::Stop if link.wear.leaves.load(Ordering::SeqCst) && !pool.is_closed() => {
                return turns::end_if_left(link);
            }
            Next::Stop => return stop(link),
        }
    }
}

/// The pool's own request for its `:init`: each worker has run that by itself.
fn is_done_already(request: &Arc<Request>, sender: Sender) -> bool {
    if !request.flags.init() || request.receiver().is_some() {
        return false;
    }
    answer_own(request, sender, |env| atoms::ok().to_term(env));
    true
}

/// Answers a request that was taken and does not run.
fn answer_own(
    request: &Arc<Request>,
    sender: Sender,
    build: impl for<'a> FnOnce(Env<'a>) -> Term<'a>,
) {
    let answered = request.answer(sender, &mut TermEnv::new(), build);
    request.forget_body();
    if let (Some(stream), false) = (Stream::of(request), answered) {
        stream.turned_down(request, sender);
    }
    stream::settle(request, sender);
}

enum Refused {
    Request,
    Nothing,
}

/// Answers a request with the reason why there is no worker. If there is one again, this one leaves.
fn refuse(link: &Arc<Link>, sender: Sender) -> Refused {
    let hope = Process::of(&link.pool).is_none_or(|own| !own.hopes().is_empty());
    let reason = link.reason().filter(|_| !hope);
    let Some(reason) = reason else {
        leave(link, sender);
        return Refused::Nothing;
    };
    match link.pool.next(&link.worker, sender, true) {
        Next::Run(request) => {
            link.pool.stats.count(true);
            answer_own(&request, sender, |env| env.error_tuple(reason.in_env(env)));
            Refused::Request
        }
        Next::LookOut(_) => Refused::Request,
        Next::Idle | Next::Stop => Refused::Nothing,
    }
}

/// The worker takes nothing any more.
pub fn leave(link: &Arc<Link>, sender: Sender) {
    link.worker.stop();
    ahead::shut(link, sender);
    link.pool.remove(&link.worker, sender);
}

/// Has the process end by itself, or be killed if it does not.
pub fn stop(link: &Arc<Link>) {
    if !link.advance(Stage::Stopping) {
        return;
    }
    if !link.is_told() {
        // It has not begun.
        return link.kill(Killed::Stuck);
    }
    link.send(Writer::frame(to_worker::STOP));
    let late: Weak<Link> = Arc::downgrade(link);
    clock::after(link.patience.stop_after, move |_, _| {
        late.upgrade()?.kill(Killed::Late);
        None
    });
    // One that has no process yet.
    link.kick.kick();
}

/// Sends a request that was claimed to the worker. False if it has ended already.
pub fn run(link: &Arc<Link>, request: &Arc<Request>, callback: u64, sender: Sender) -> bool {
    let Some(sent) = Sent::of_any(request) else {
        return false;
    };
    enter(link, request, sent);
    if !link.begin(sent.number, request) {
        end(link, request, Ending::Failed(atoms::worker_down()), sender);
        return false;
    }
    // Whoever closed the pool before the request could be found could not end it.
    if link.pool.is_closed() {
        link.end(sent.number);
        end(link, request, Ending::Failed(atoms::closed()), sender);
        return false;
    }
    let size = match sent.operation() {
        Ok(encoded) => encoded.map_or(0, |encoded| shown::unseen(link, &encoded)),
        Err(error) => {
            link.end(sent.number);
            end(link, request, Ending::Unsendable(error), sender);
            return false;
        }
    };
    if size > outbox::LARGE || link.has_mail() || request.mailbox.may_have_some() {
        link.post(Errand::Send(Arc::clone(request), callback));
    } else if send(link, request, callback) {
        ahead::open(link, sent.number);
    }
    true
}

/// The worker is at a request from here on.
pub fn enter(link: &Arc<Link>, request: &Arc<Request>, sent: &Sent) {
    if !is_nested(request) {
        link.ahead.running.fetch_add(1, Ordering::SeqCst);
    }
    link.worker.begin(request);
    request.enter(Arc::clone(&link.place));
    link.pool.stats.busy.fetch_add(1, Ordering::Relaxed);
    sent.set_link(link);
}

/// And is so no more.
fn exit(link: &Link, request: &Arc<Request>) {
    link.worker.end_of(request);
    request.leave();
    if !is_nested(request) {
        link.ahead.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Asks the worker for a request. True if that is where its main thread finds it before all that comes later.
pub fn send(link: &Arc<Link>, request: &Arc<Request>, callback: u64) -> bool {
    let Some(sent) = Sent::of(request) else {
        return false;
    };
    let put = match Stream::of(request) {
        Some(stream) => {
            ask_stream(link, request, stream, sent.number, callback);
            false
        }
        None => {
            looking::gives(link);
            ask(link, request, sent, callback)
        }
    };
    asked(link, request);
    put
}

/// The worker was asked for it.
pub fn asked(link: &Arc<Link>, request: &Arc<Request>) {
    let Some(sent) = Sent::of(request) else {
        return;
    };
    sent.forget();
    if sent.was_asked() {
        cancel(link, sent.number);
    }
    if !request.mailbox.is_empty() {
        link.post(Errand::Mail(Some(Arc::clone(request))));
    }
}

fn ask(link: &Link, request: &Request, sent: &Sent, callback: u64) -> bool {
    let Ok(Some(operation)) = sent.operation() else {
        return false;
    };
    // What was sent to it while it was queued is there when it begins.
    if request.mailbox.may_have_some() {
        mail::send(link, to_worker::AHEAD, sent.number, &request.mailbox);
    }
    let left = request.time_left();
    let env = TermEnv::new();
    let mut frame = Writer::frame(to_worker::RUN);
    frame.bytes.reserve(HEAD + operation.len());
    write_head(&mut frame, env.env(), link, request, left, callback);
    if is_nested(request) {
        link.send_terms(frame, &[&operation]);
        return false;
    }
    link.offer(frame, &operation, Listener::Idle)
}

/// So many bytes has what comes before the operation, if the names of nodes are not long.
const HEAD: usize = 128;

/// Adds what comes before the operation in the frame that asks for it. `env`: for the leader, if that is of another node.
pub fn write_head(
    frame: &mut Writer,
    env: Env<'_>,
    link: &Link,
    request: &Request,
    time: Option<u64>,
    callback: u64,
) {
    frame.u64(Sent::of(request).map_or(0, |sent| sent.number));
    frame.u32(request.flags.bits());
    frame.u64(time.unwrap_or(to_worker::FOREVER));
    frame.u64(callback);
    // An `:init` is asked for by the one who looks after the worker.
    let caller = request.caller().unwrap_or(link.owner).encode(env);
    pid::write(&mut frame.bytes, caller);
    pid::write(&mut frame.bytes, request.leader().in_env(env));
}

fn ask_stream(link: &Link, request: &Arc<Request>, stream: &Stream, number: u64, callback: u64) {
    let Some(items) = object::items(stream) else {
        return;
    };
    let body = request.body();
    let tag = body.and_then(|body| sent::tag(body.operation()));
    let closes = tag == Some(atoms::close());
    let is_first = {
        let mut state = stream.lock();
        state.wanted = false;
        if closes {
            state.phase = stream::Phase::Closed;
        } else {
            state.begun = Some(Instant::now());
            state.chunks = state.chunks.saturating_add(1);
        }
        state.chunks == 1
    };
    let mut frame = Writer::frame(if closes {
        watch::give_up_later(request, stream::CLEANUP);
        to_worker::CLOSE
    } else {
        to_worker::DEMAND
    });
    frame.u64(number);
    frame.u64(items.number);
    frame.u64(callback);
    let env = TermEnv::new();
    let env = env.env();
    let consumer = request.caller().unwrap_or(link.owner).encode(env);
    let Ok(consumer) = sent::encode(consumer) else {
        return;
    };
    // Later ones are answered while the main thread makes the next, and an end is told to it at once. One that waits for
    // Elixir does not look there.
    if is_first && !closes && callback == 0 && !is_nested(request) {
        link.offer(frame, &consumer, Listener::Idle);
    } else {
        link.send_terms(frame, &[&consumer]);
    }
}

fn cancel(link: &Link, number: u64) {
    let mut frame = Writer::frame(to_worker::CANCEL);
    frame.u64(number);
    frame.u8(1);
    link.send(frame);
}

/// Interrupts a request that nobody waits for any more. If it has not ended a while after that, the worker is
/// killed.
pub fn interrupt(request: &Arc<Request>) {
    let Some(sent) = Sent::of(request) else {
        return;
    };
    if let Some(everywhere) = sent.everywhere.get() {
        return everywhere.cancel();
    }
    let first = sent.cancel();
    let Some(link) = sent.link() else { return };
    if first {
        cancel(&link, sent.number);
    }
    let mut after = link.patience.kill_after;
    // A manager has some time to be left before that is interrupted.
    if request.marks.has(BODY_OVER) {
        after += watch::AGAIN;
    }
    let number = sent.number;
    let weak: Weak<Link> = Arc::downgrade(&link);
    clock::after(after, move |sender, _| {
        let link = weak.upgrade()?;
        if link.is_at(number) && ahead::hold_back(&link, sender) {
            link.kill_if_at(number);
        }
        None
    });
}

/// What becomes of a request.
pub enum Ending {
    /// A term of the environment, and whether it is a failure.
    Answer(TermEnv, SavedTerm, bool),
    Failed(rustler::Atom),
    Unsendable(Unsendable),
    /// It was given up.
    Nothing,
}

/// The worker is at a request no more. To be called when it was taken from the link.
pub fn end(link: &Arc<Link>, request: &Arc<Request>, ending: Ending, sender: Sender) {
    exit(link, request);
    let busy = &link.pool.stats.busy;
    let failed = !matches!(&ending, Ending::Answer(_, _, false));
    let made = |make: &dyn Fn(&TermEnv) -> SavedTerm| {
        let env = TermEnv::new();
        let term = make(&env);
        Some((env, term))
    };
    let answer = match ending {
        Ending::Answer(env, term, _) => Some((env, term)),
        Ending::Failed(reason) => made(&|env| SavedTerm::save(env.env().error_tuple(reason))),
        Ending::Unsendable(error) => made(&|env| SavedTerm::save(unsendable(env.env(), error))),
        Ending::Nothing => None,
    };
    let counts = request.receiver().is_none();
    let answered = answer.is_some_and(|(mut env, answer)| {
        request.answer(sender, &mut env, |env| {
            if counts {
                link.pool.stats.count(failed);
            }
            busy.fetch_sub(1, Ordering::Relaxed);
            answer.load(env)
        })
    });
    if !answered {
        busy.fetch_sub(1, Ordering::Relaxed);
    }
    request.forget_body();
    if let Some(sent) = Sent::of(request) {
        sent.forget();
    }
    stream::settle(request, sender);
}

/// The same for a process that has asked for a request and takes the answer as what its NIF returns. False if it was
/// answered otherwise, or given up.
pub fn end_here(link: &Link, request: &Arc<Request>, failed: bool) -> bool {
    exit(link, request);
    let settled = request.settle_here();
    if settled {
        link.pool.stats.count(failed);
    }
    link.pool.stats.busy.fetch_sub(1, Ordering::Relaxed);
    request.forget_body();
    settled
}

/// The answer to what cannot be sent.
pub fn unsendable(env: Env<'_>, error: Unsendable) -> Term<'_> {
    let text = match error {
        Unsendable::TwoWorkers => {
            "it has handles of two workers, and each handle is in one of them. Convert one of the objects with \
             Python.to_term/2"
        }
        Unsendable::TooLarge => "it has more than 2 GiB",
    };
    not_encoded(env, text)
}

pub fn not_encoded<'a>(env: Env<'a>, text: &str) -> Term<'a> {
    let reason = (atoms::encode(), text, "arguments", "").encode(env);
    env.error_tuple(reason)
}

/// Whether the worker was free for others before the end of this request.
pub fn is_nested(request: &Request) -> bool {
    request.marks.has(NESTED)
}

/// Hands a request from a callback to the worker that waits for it. False if nobody waits, or it is for another
/// pool.
pub fn nest(callback: &Arc<Callback>, request: &Arc<Request>, sender: Sender) -> bool {
    let Some(link) = &callback.link() else {
        return false;
    };
    if callback.is_answered()
        || link.stage() != Stage::Ready
        || !Arc::ptr_eq(&link.pool, &request.pool)
        || !may_run(link, request)
    {
        return false;
    }
    let Some(_stays) = turns::stay(link) else {
        return false;
    };
    if request.start() {
        request.marks.set(NESTED);
        run(link, request, callback.number, sender);
    }
    true
}

/// Whether what it has among its arguments is in this worker, or in none.
fn may_run(link: &Link, request: &Request) -> bool {
    if let Some(stream) = Stream::of(request) {
        return object::items(stream).is_some_and(|items| items.link == link.number);
    }
    if !request.may_run_on(link.worker.id) {
        return false;
    }
    let operation = Sent::of(request).map(Sent::operation);
    match operation {
        Some(Ok(Some(encoded))) => encoded.worker().is_none_or(|worker| worker == link.number),
        _ => false,
    }
}

/// The answer to a callback. False if nobody waits any more.
pub fn answer(callback: &Callback, answer: Term<'_>) -> bool {
    let encoded = sent::encode(answer);
    let reason = match encoded {
        Ok(encoded)
            if encoded
                .worker()
                .is_none_or(|worker| worker == callback.worker) =>
        {
            return callback.answer(encoded);
        }
        Ok(_) | Err(Unsendable::TwoWorkers) => {
            "the result has a handle of another worker. Convert the object with Python.to_term/2"
        }
        Err(Unsendable::TooLarge) => "the result has more than 2 GiB",
    };
    let env = TermEnv::new();
    let env = env.env();
    // As `Python.Callback.raised/3`.
    let raised = ("error", "ArgumentError", reason, "", atoms::nil());
    let term = (atoms::error(), raised).encode(env);
    sent::encode(term).is_ok_and(|encoded| callback.answer(encoded))
}
