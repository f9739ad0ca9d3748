//! Small calls, by memory that the worker shares (`base/segment.rs`): a request is put there for the worker, and whoever
//! has put it there may wait a moment for its answer. If that does not come at once, it comes by the socket.
//!
//! | who | waits | for |
//! |---|---|---|
//! | the caller, in its NIF on a scheduler | 10 µs at most, if no process waits for the scheduler | its own answer |
//! | the link's thread | 20 µs | the answer to what it has sent last |
//! | | 100 µs | that to what a caller has sent to a worker that sleeps: the two wake together |
//!
//! Neither does so when it has been in vain of late.
//!
//! Frames count in the order in which they were sent, on either way:
//!
//! | from | to | what was sent first by | comes first, because |
//! |---|---|---|---|
//! | the VM | the worker | the socket | a request is put into the segment only if all that was sent has been handled (`handled`) |
//! | the VM | the worker | the segment | the thread that reads the socket handles nothing before what is in the segment can be found (`remote::settle`) |
//! | the worker | the VM | the socket | an answer is put into the segment only if all that was sent has been handled (`heard`) |
//! | the worker | the VM | the segment | nothing that is sent later is about such an answer: what the worker lets go of, kept terms and binaries beside the frame, is in none (`may_have_kept`) |

use super::decode::decode;
use super::decoding::Decoding;
use super::incoming;
use super::link::{Link, Stage};
use super::over;
use super::run;
use super::sent::Sent;
use super::turns;
use crate::base::lookout::{ALONE, Luck, OFTEN};
use crate::base::segment::Segment;
use crate::base::term_env::Sender;
use crate::pool::request::Request;
use crate::pool::worker::Taker;
use erlang_python_wire::frame::answer::FAILED;
use erlang_python_wire::frame::{to_vm, to_worker};
use erlang_python_wire::{Broken, Reader, Writer};
use rustler::{Env, Term};
use std::cell::Cell;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long a caller waits on its scheduler, at most.
const GLANCE: Duration = Duration::from_micros(9);

/// How long the link's thread waits.
const LOOK: Duration = Duration::from_micros(20);

/// The same when the worker may have to be woken.
const LONG_LOOK: Duration = Duration::from_micros(100);

/// How many answers it takes before it looks at everything else.
const ROUND: usize = 64;

#[derive(Default)]
pub struct Shared {
    segment: OnceLock<Segment>,
    callers: Luck,
    thread: Luck,
    /// The link's thread is to wait for an answer.
    left: AtomicBool,
}

/// What the current thread waits for, or is about to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watch {
    Nothing,
    /// It will wait for this request.
    Request(u64),
    /// It will wait for whatever the worker of this link is given.
    Link(u64),
    /// It was put there, and its answer may be.
    Offered,
}

thread_local! {
    static WATCH: Cell<Watch> = const { Cell::new(Watch::Nothing) };
    static BYTES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Hands the worker its end. Until that is there, and if there is none, all goes by the socket.
pub fn share(link: &Link) {
    if let Ok((segment, descriptor)) = Segment::create() {
        let _ = link.shared.segment.set(segment);
        let file = Arc::new(File::from(descriptor));
        link.send_with(Writer::frame(to_worker::SEGMENT), file);
    }
}

/// So many frames of the worker's have been handled.
pub fn heard(link: &Link, count: u64) {
    if let Some(segment) = link.shared.segment.get() {
        segment.set_heard(count);
    }
}

/// The current thread, a scheduler, is about to hand this request in and can wait for it.
pub fn expect(request: &Request) {
    let waits = request.flags.cancel_on_drop() && !request.flags.is_in_the_way();
    let number = Sent::of(request).filter(|_| waits).map(|sent| sent.number);
    WATCH.set(number.map_or(Watch::Nothing, Watch::Request));
}

/// Puts a frame for a request where the worker finds it. False if it has to go by the socket.
pub fn offer(link: &Link, number: u64, frame: &Writer) -> bool {
    let Some(segment) = link.shared.segment.get() else {
        return false;
    };
    if segment.handled() != link.outbox.sent() {
        return false;
    }
    let shared = &link.shared;
    let own_thread = WATCH.get() == Watch::Link(link.number);
    let here = own_thread && shared.thread.is_good_for(OFTEN)
        || WATCH.get() == Watch::Request(number)
            && !segment.is_asleep()
            && shared.callers.is_good_for(OFTEN);
    let left = !here && !own_thread && segment.is_asleep() && shared.thread.is_good_for(OFTEN);
    let offered = segment.offer(frame.fields(), here || left);
    if offered && here {
        WATCH.set(Watch::Offered);
    } else if offered && left {
        shared.left.store(true, Ordering::SeqCst);
        link.kick.kick();
    }
    offered
}

/// Waits a moment for the answer to a request that this thread has handed in. None if that is sent to its caller, now
/// or later.
pub fn answer<'a>(env: Env<'a>, request: &Arc<Request>, sender: Sender) -> Option<Term<'a>> {
    if WATCH.replace(Watch::Nothing) != Watch::Offered {
        return None;
    }
    let link = Sent::of(request)?.link()?;
    let taken = take(&link, &link.shared.callers, GLANCE, |frame| {
        answer_here(&link, frame, env, request, sender)
    });
    match taken {
        Ok(answer) => answer.flatten(),
        Err(broken) => {
            over::broken(&link, broken, sender);
            None
        }
    }
}

/// On the link's thread: takes the answers to what it sends, as long as they come at once.
pub fn serve(link: &Arc<Link>, sender: Sender) -> Result<(), Broken> {
    for _ in 0..ROUND {
        let offered = WATCH.replace(Watch::Link(link.number)) == Watch::Offered;
        let left = link.shared.left.swap(false, Ordering::AcqRel);
        if !offered && !left {
            return Ok(());
        }
        let longest = if left { LONG_LOOK } else { LOOK };
        take(link, &link.shared.thread, longest, |frame| {
            incoming::frame(link, frame, sender)
        })?;
    }
    if WATCH.replace(Watch::Nothing) == Watch::Offered {
        take(link, &link.shared.thread, Duration::ZERO, |frame| {
            incoming::frame(link, frame, sender)
        })?;
    }
    WATCH.set(Watch::Link(link.number));
    Ok(())
}

/// Waits for an answer, and takes it. None if it comes another way.
fn take<T>(
    link: &Link,
    luck: &Luck,
    longest: Duration,
    handle: impl FnOnce(&[u8]) -> Result<T, Broken>,
) -> Result<Option<T>, Broken> {
    let Some(segment) = link.shared.segment.get() else {
        return Ok(None);
    };
    let answered = match longest {
        Duration::ZERO => false,
        GLANCE => luck.look(longest, || segment.is_answered()),
        _ => luck.look_politely(longest, ALONE, || segment.is_answered()),
    };
    if !answered && segment.leave() {
        return Ok(None);
    }
    let mut bytes = BYTES.take();
    let taken = match segment.take_answer(&mut bytes) {
        Ok(true) if bytes.first() == Some(&to_vm::ANSWER) => handle(&bytes).map(Some),
        Ok(true) => Err(Broken("it puts what is no answer where answers are")),
        Ok(false) => Ok(None),
        Err(broken) => Err(broken),
    };
    BYTES.set(bytes);
    taken
}

/// The answer, if it is the one to this request; whatever else it is is handled.
fn answer_here<'a>(
    link: &Arc<Link>,
    frame: &[u8],
    env: Env<'a>,
    request: &Arc<Request>,
    sender: Sender,
) -> Result<Option<Term<'a>>, Broken> {
    let mut reader = Reader::new(frame);
    let kind = reader.u8()?;
    let number = reader.u64()?;
    let flags = reader.u8()?;
    let own = Sent::of(request).is_some_and(|sent| sent.number == number);
    if kind != to_vm::ANSWER || !own || flags > FAILED {
        return incoming::frame(link, frame, sender).map(|()| None);
    }
    let objects = Decoding {
        link,
        request: Some(request),
        is_hold: false,
    };
    let answer = decode(env, &mut reader, &objects)?;
    reader.end()?;
    if link.end(number).is_none() {
        return Ok(None);
    }
    if flags != 0 {
        turns::note_failure(link, answer, sender);
    }
    let settled = run::end_here(link, request, flags != 0);
    if link.stage() == Stage::Ready {
        Arc::clone(link).take(sender);
    }
    Ok(settled.then_some(answer))
}
