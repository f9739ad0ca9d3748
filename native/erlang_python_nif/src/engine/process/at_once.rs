//! Small frames, by memory that the worker shares (`base/segment.rs`): requests and answers to callbacks are put there for
//! the worker; answers and messages come back there. Whoever has asked for something, or has answered, may wait a moment
//! for what comes next.
//!
//! | who | waits | for |
//! |---|---|---|
//! | a caller, in its NIF on a scheduler | 9 µs at most at once, a few times in a row, and not while a process waits for a scheduler | its answer, or what comes before |
//! | a process that has answered a callback | the same | the next callback, or the end of the call |
//! | the link's thread | until it is rung for, which is done if nobody looks | anything |
//!
//! None of the first two does so when it has been in vain of late. With many callers each takes what has come before it
//! hands in its own, and gives the worker more to do (`ahead.rs`); if no process waits for a scheduler, it waits for the
//! answers of others, whose processes go on by that. The link's thread is rung for only when the worker is at nothing any
//! more, and looks on its own clock for a while.
//!
//! # In which order frames count
//!
//! In the order in which they were sent, on either way and in both directions, by the same two rules:
//!
//! 1. A frame is put into the segment only if all that were sent by the socket have been handled: the other side counts
//!    them there (`handled`, `heard`). So what is in the segment comes after all that were sent by the socket before.
//! 2. Who reads the socket handles nothing of it before what is in the segment: that is of before, as by the first rule it
//!    was put there when nothing was on its way. One frame is handled at a time: here by who has `reading`, in the worker
//!    by who has taken it (`remote::settle` waits for that).

use super::ahead;
use super::decode::decode;
use super::decoding::Decoding;
use super::incoming;
use super::link::Link;
use super::looking::{Leaves, Looking};
use super::over;
use super::own::Process;
use super::run;
use super::sent::Sent;
use super::turns;
use crate::base::lookout::{GLANCE, Luck, OFTEN};
use crate::base::segment::Segment;
use crate::base::term_env::Sender;
use crate::pool::engine::AtOnce;
use crate::pool::queue::Start;
use crate::pool::request::Request;
use erlang_python_wire::frame::answer::FAILED;
use erlang_python_wire::frame::to_vm;
use erlang_python_wire::{Broken, Reader};
use rustler::{Env, Term};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Who has looked for so long did not have the processor.
const LONG: Duration = Duration::from_micros(500);

/// How many frames are handled before something else is looked at.
const ROUND: usize = 16;

/// The same on a scheduler.
const FEW: usize = 4;

thread_local! {
    static BYTES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What may wait for an answer that it takes itself.
#[derive(Clone, Copy)]
struct Asked<'a, 'r> {
    env: Env<'a>,
    request: &'r Arc<Request>,
}

/// What one look has come to.
enum Seen<'a> {
    Nothing,
    /// Something was handled.
    Other,
    /// Nothing that was looked for, and that took long.
    Late,
    Answer(Term<'a>),
}

/// Handles the frame that there is.
fn take<'a>(
    link: &Arc<Link>,
    segment: &Segment,
    asked: Option<Asked<'a, '_>>,
    sender: Sender,
) -> Result<Seen<'a>, Broken> {
    let mut bytes = BYTES.take();
    let seen = match segment.take_frame(&mut bytes) {
        Ok(false) => Ok(Seen::Nothing),
        Ok(true) => match (bytes.first(), asked) {
            (Some(&to_vm::ANSWER), Some(asked)) => answer_to(link, &bytes, asked, sender),
            (Some(&(to_vm::ANSWER | to_vm::SEND | to_vm::OVER | to_vm::RELEASE_KEPT)), _) => {
                incoming::frame(link, &bytes, sender).map(|()| Seen::Other)
            }
            _ => Err(Broken("a frame is not where it belongs")),
        },
        Err(broken) => Err(broken),
    };
    BYTES.set(bytes);
    seen
}

/// On a scheduler: takes what there is, up to the answer that is asked for, unless somebody else is at it.
fn try_take<'a>(link: &Arc<Link>, asked: Option<Asked<'a, '_>>, sender: Sender) -> Seen<'a> {
    let shared = &link.shared;
    let Some(segment) = shared.segment().filter(|segment| segment.has_frame()) else {
        return Seen::Nothing;
    };
    let Some(_reading) = shared.try_read() else {
        return Seen::Nothing;
    };
    let mut seen = Seen::Nothing;
    for _ in 0..FEW {
        match take(link, segment, asked, sender) {
            Ok(Seen::Nothing) => break,
            Ok(Seen::Other) => seen = Seen::Other,
            Ok(answer) => return answer,
            Err(broken) => {
                over::broken(link, broken, sender);
                return Seen::Other;
            }
        }
    }
    seen
}

/// The answer, if it is the one to this request; whatever else it is is handled.
fn answer_to<'a>(
    link: &Arc<Link>,
    frame: &[u8],
    Asked { env, request }: Asked<'a, '_>,
    sender: Sender,
) -> Result<Seen<'a>, Broken> {
    let mut reader = Reader::new(frame);
    let _kind = reader.u8()?;
    let number = reader.u64()?;
    let flags = reader.u8()?;
    ahead::notice(link, number)?;
    let own = Sent::of(request).is_some_and(|sent| sent.number == number);
    if !own || flags > FAILED {
        return incoming::frame(link, frame, sender).map(|()| Seen::Other);
    }
    let objects = Decoding {
        link,
        request: Some(request),
        is_hold: false,
    };
    let answer = decode(env, &mut reader, &objects)?;
    reader.end()?;
    if link.end(number).is_none() {
        return Ok(Seen::Other);
    }
    if flags != 0 {
        turns::note_failure(link, answer, sender);
    }
    let settled = run::end_here(link, request, flags != 0);
    incoming::go_on(link, request, sender);
    Ok(match settled {
        true => Seen::Answer(answer),
        false => Seen::Other,
    })
}

/// On a scheduler: looks a moment for what comes. `politely`: others may have the processor before that. Sees that it is
/// `Late` if they needed it for long: then it is not looked again.
fn look<'a>(
    link: &Arc<Link>,
    luck: &Luck,
    politely: bool,
    asked: Option<Asked<'a, '_>>,
    sender: Sender,
) -> Seen<'a> {
    let Some(segment) = link.shared.segment() else {
        return Seen::Nothing;
    };
    let looking = Looking::begin(&link.shared, segment);
    let over = || asked.is_some_and(|asked| asked.request.is_over());
    let begun = Instant::now();
    // The one that was woken may have been given this processor.
    if politely || link.shared.was_woken() {
        std::thread::yield_now();
    }
    let seen = match luck.look(GLANCE, || segment.has_frame() || over()) {
        true => try_take(link, asked, sender),
        false => Seen::Nothing,
    };
    drop(looking);
    let seen = match seen {
        Seen::Nothing => try_take(link, asked, sender),
        seen => seen,
    };
    // What has come while we looked was not rung for. Somebody else may be at what came before.
    if segment.has_frame() {
        link.kick.kick();
    }
    match seen {
        Seen::Nothing | Seen::Other if begun.elapsed() > LONG => Seen::Late,
        seen => seen,
    }
}

/// For a process that has just handed a request in, on its scheduler: its answer, if that comes at once.
pub fn answer<'a>(env: Env<'a>, request: &Arc<Request>, sender: Sender) -> AtOnce<'a> {
    let _leaves = Leaves;
    // Answers to others come as messages.
    if !request.flags.cancel_on_drop() || request.flags.is_for_body() {
        visit(request, None, sender);
        return AtOnce::Later;
    }
    let asked = Asked { env, request };
    let waits = !request.flags.is_in_the_way();
    match visit(request, Some(asked), sender) {
        Seen::Answer(answer) => return AtOnce::Answer(answer),
        Seen::Other if waits && request.is_pending() => return AtOnce::Soon,
        Seen::Other | Seen::Late => return AtOnce::Later,
        Seen::Nothing => {}
    }
    let Some(link) = Some(()).filter(|()| waits).and_then(|()| whom(request)) else {
        return AtOnce::Later;
    };
    let shared = &link.shared;
    // Of many that wait others will have come before: their answers are taken, which have them run.
    if link.pool.queued() > 1 {
        if !shared.crowd.is_good_for(OFTEN) {
            return AtOnce::Later;
        }
        return match look(&link, &shared.crowd, false, Some(asked), sender) {
            Seen::Answer(answer) => AtOnce::Answer(answer),
            _ => AtOnce::Later,
        };
    }
    let patient = shared.patient.is_good_for(OFTEN);
    if !patient && !shared.callers.is_good_for(OFTEN) {
        return AtOnce::Later;
    }
    match look(&link, &shared.callers, false, Some(asked), sender) {
        Seen::Answer(answer) => AtOnce::Answer(answer),
        Seen::Other if request.is_pending() => AtOnce::Soon,
        Seen::Nothing if patient && request.is_pending() => AtOnce::Soon,
        Seen::Nothing | Seen::Other | Seen::Late => AtOnce::Later,
    }
}

/// The same again. `last`: it is not tried any more after this.
pub fn answer_again<'a>(
    env: Env<'a>,
    request: &Arc<Request>,
    last: bool,
    sender: Sender,
) -> AtOnce<'a> {
    let Some(link) = whom(request) else {
        return AtOnce::Later;
    };
    let patient = &link.shared.patient;
    let asked = Some(Asked { env, request });
    let seen = look(&link, &Luck::new(), true, asked, sender);
    match seen {
        Seen::Answer(_) | Seen::Other => patient.hit(),
        Seen::Nothing if last => patient.miss(),
        Seen::Late => patient.miss(),
        Seen::Nothing => {}
    }
    match seen {
        Seen::Answer(answer) => AtOnce::Answer(answer),
        Seen::Late => AtOnce::Later,
        _ if last || request.is_over() => AtOnce::Later,
        _ => AtOnce::Soon,
    }
}

/// The worker that is at a request, or at what has to end before that.
fn whom(request: &Arc<Request>) -> Option<Arc<Link>> {
    let own = Sent::of(request)?.link();
    own.or_else(|| {
        let links = Process::of(&request.pool)?.links();
        links.into_iter().find(|link| link.serves())
    })
}

/// Takes what lies there: of its own worker, or of all if the request has none yet.
fn visit<'a>(request: &Arc<Request>, asked: Option<Asked<'a, '_>>, sender: Sender) -> Seen<'a> {
    if let Some(link) = Sent::of(request).and_then(Sent::link) {
        return try_take(&link, asked, sender);
    }
    let links = Process::of(&request.pool).map(Process::links);
    for link in links.iter().flatten() {
        link.shared.visits.fetch_add(1, Ordering::Relaxed);
        match try_take(link, asked, sender) {
            Seen::Nothing => {}
            seen => return seen,
        }
    }
    if let (true, Some(links)) = (Start::is_waiting(&**request), &links) {
        ahead::fill_one(links, sender);
    }
    Seen::Nothing
}

/// For a process that has just answered a callback, on its scheduler: what the worker does next may come at once. True
/// if it has not, and it is worth it to look again. `first`, `last`: of the looks for one answer.
pub fn look_after_answer(link: &Arc<Link>, first: bool, last: bool, sender: Sender) -> bool {
    let luck = &link.shared.callbacks;
    if first && !luck.is_good_for(OFTEN) {
        return false;
    }
    match look(link, &Luck::new(), !first, None, sender) {
        Seen::Nothing if last => luck.miss(),
        Seen::Late => luck.miss(),
        Seen::Nothing => return true,
        Seen::Other | Seen::Answer(_) => luck.hit(),
    }
    false
}

/// On the link's thread: handles what is in the segment, and then what was sent after it, as nobody else does
/// meanwhile.
pub fn in_turn(
    link: &Arc<Link>,
    sender: Sender,
    handle: impl FnOnce() -> Result<(), Broken>,
) -> Result<(), Broken> {
    let _reading = link.shared.read();
    if let Some(segment) = link.shared.segment() {
        // There are no more of them: what comes now is put there when this one counts as handled.
        while !matches!(take(link, segment, None, sender)?, Seen::Nothing) {}
    }
    handle()
}

/// What the link's thread knows of its last look.
#[derive(Default)]
pub struct Seat {
    visits: usize,
    naps: bool,
}

impl Seat {
    /// How long it sleeps if it looks by itself after that.
    pub fn nap(&self) -> Option<Duration> {
        self.naps.then_some(NAP)
    }
}

/// On the link's thread: handles what has come. True if there may be more.
pub fn serve(link: &Arc<Link>, seat: &mut Seat, sender: Sender) -> Result<bool, Broken> {
    let shared = &link.shared;
    let Some(segment) = shared.segment() else {
        return Ok(false);
    };
    let mut count = 0;
    while count < ROUND && segment.has_frame() {
        let _reading = shared.read();
        take(link, segment, None, sender)?;
        count += 1;
    }
    let visits = shared.visits.load(Ordering::Relaxed);
    // One that waits may be the next of a caller who is alone, and takes its answers itself.
    let crowded = (seat.visits != visits || count > 0) && link.pool.queued() > 1;
    seat.visits = visits;
    seat.naps = crowded;
    shared.naps.store(crowded, Ordering::Relaxed);
    // Those who look do it when they stop. It may have rung, which it does once.
    if shared.looking.load(Ordering::SeqCst) == 0 {
        shared.arm(segment);
    }
    Ok(segment.has_frame())
}

/// How long the link's thread sleeps when it looks by itself: it is rung for when the worker is at nothing.
const NAP: Duration = Duration::from_micros(200);
