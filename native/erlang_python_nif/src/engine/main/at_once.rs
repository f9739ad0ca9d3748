//! Callers that wait a moment for the answer, in their native function on a scheduler.
//!
//! A worker that looks out for requests (`base/lookout.rs`) has begun with one in less time than the VM takes to run
//! another process, so the caller of a tiny call need not leave its scheduler. It waits some µs at most at once, and not
//! while another process waits for the scheduler, nor when it has been in vain of late.

use crate::base::flags::Flags;
use crate::base::lookout::{self, GLANCE, Luck, OFTEN};
use crate::base::term_env::Sender;
use crate::pool::engine::AtOnce;
use crate::pool::request::Request;
use rustler::types::{ListIterator, MapIterator, tuple};
use rustler::{Env, Term, TermType};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many parts an answer has at most that is copied on a scheduler.
const MOST: usize = 64;

/// How many schedulers wait.
static LOOKING: AtomicUsize = AtomicUsize::new(0);

/// What a pool's callers have in common for this.
#[derive(Default)]
pub struct Callers {
    /// Of the first look for an answer.
    first: Luck,
    /// Of all the looks for one.
    all: Luck,
}

/// One of the schedulers that wait.
struct Looking;

impl Looking {
    /// None if the processors are needed by those who are waited for.
    fn begin() -> Option<Self> {
        let looking = Looking;
        let others = LOOKING.fetch_add(1, Ordering::Relaxed);
        (others + 1 < lookout::processors()).then_some(looking)
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        LOOKING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a caller may look for the answer.
pub fn may_look(flags: Flags) -> bool {
    flags.is_waited_for()
        && !flags.is_in_the_way()
        && LOOKING.load(Ordering::Relaxed) + 1 < lookout::processors()
}

/// Before the request is handed in: whether its caller is to look for the answer.
pub fn begin(callers: &Callers, request: &Request) {
    if may_look(request.flags) && callers.first.is_good_for(OFTEN) {
        request.look.begin();
    }
}

/// The answer to a request that the calling process has just handed in, if that comes at once.
pub fn answer<'a>(
    env: Env<'a>,
    callers: &Callers,
    request: &Arc<Request>,
    sender: Sender,
) -> AtOnce<'a> {
    if !request.look.is_begun() {
        return AtOnce::Later;
    }
    let Some(_looking) = Looking::begin() else {
        return leave(env, request, sender);
    };
    if callers.first.look(GLANCE, || request.look.is_there()) {
        return found(env, request, sender);
    }
    match callers.all.is_good_for(OFTEN) {
        true => AtOnce::Soon,
        false => leave(env, request, sender),
    }
}

/// The same again. `last`: it does not look any more after this.
pub fn answer_again<'a>(
    env: Env<'a>,
    callers: &Callers,
    request: &Arc<Request>,
    last: bool,
    sender: Sender,
) -> AtOnce<'a> {
    let all = &callers.all;
    if last {
        all.miss();
        return leave(env, request, sender);
    }
    let looking = Looking::begin();
    // The one that is waited for may have been given this processor.
    std::thread::yield_now();
    if looking.is_some() && Luck::new().look(GLANCE, || request.look.is_there()) {
        all.hit();
        return found(env, request, sender);
    }
    if looking.is_none() {
        all.miss();
        return leave(env, request, sender);
    }
    AtOnce::Soon
}

fn leave<'a>(env: Env<'a>, request: &Arc<Request>, sender: Sender) -> AtOnce<'a> {
    if request.look.leave() {
        return AtOnce::Later;
    }
    found(env, request, sender)
}

fn found<'a>(env: Env<'a>, request: &Arc<Request>, sender: Sender) -> AtOnce<'a> {
    let answer = request.look.take(|(own, answer)| {
        let term = own.term(*answer);
        if is_small(term, &mut { MOST }) {
            return Some(term.in_env(env));
        }
        // As a message it need not be copied.
        request.send_to_caller(own, *answer, sender);
        None
    });
    request.forget_body();
    answer.flatten().map_or(AtOnce::Later, AtOnce::Answer)
}

/// Whether a term is copied in less than a µs. `left`: how many parts it may have.
fn is_small(term: Term<'_>, left: &mut usize) -> bool {
    if *left == 0 {
        return false;
    }
    *left -= 1;
    match term.get_type() {
        TermType::Atom | TermType::Float | TermType::Pid | TermType::Ref | TermType::Port => true,
        // Of large ones it is a reference.
        TermType::Binary => true,
        TermType::Integer => term.decode::<i64>().is_ok() || term.decode::<u64>().is_ok(),
        TermType::Tuple => tuple::get_tuple(term).is_ok_and(|parts| {
            parts.len() <= *left && parts.into_iter().all(|part| is_small(part, left))
        }),
        TermType::List => match term.decode::<ListIterator<'_>>() {
            Ok(mut items) => items.all(|item| is_small(item, left)),
            Err(_) => false,
        },
        TermType::Map => match MapIterator::new(term) {
            Some(mut pairs) => {
                pairs.all(|(key, value)| is_small(key, left) && is_small(value, left))
            }
            None => false,
        },
        TermType::Fun | TermType::Unknown => false,
    }
}
