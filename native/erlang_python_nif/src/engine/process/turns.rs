//! Workers that come and go with no call at them: spare ones, which wait for their turn, and those that retire
//! because they have run enough.

use super::link::{Errand, Link, Stage};
use super::owner;
use super::run;
use super::wear::{ENTERED, READY};
use crate::base::atoms;
use crate::base::term_env::{SavedTerm, Sender};
use crate::pool::worker::Taker;
use rustler::types::tuple;
use rustler::{Atom, Encoder, Term};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// It is ready: takes requests, if it is no spare one.
pub fn ready(link: &Arc<Link>, sender: Sender) {
    link.wear.own.store(link.worker.work().1, Ordering::Relaxed);
    owner::tell(link, sender, |message| {
        let env = message.env();
        let os_pid = link.os_pid.load(Ordering::Relaxed);
        SavedTerm::save((atoms::python_process(), atoms::ready(), os_pid).encode(env))
    });
    if link.wear.place.fetch_or(READY, Ordering::AcqRel) & ENTERED != 0 {
        open(link, sender);
    }
}

/// A spare worker takes the place of one that is gone. False if it is gone itself.
pub fn enter(link: &Arc<Link>, sender: Sender) -> bool {
    link.pool.join(&link.worker);
    link.pool.open_lane(&link.worker);
    if link.wear.place.fetch_or(ENTERED, Ordering::AcqRel) & READY != 0 {
        open(link, sender);
    }
    let lives = link.stage() <= Stage::Ready;
    if !lives {
        run::leave(link, sender);
    }
    lives
}

fn open(link: &Arc<Link>, sender: Sender) {
    if !link.advance(Stage::Ready) {
        return;
    }
    if link.pool.pinned {
        link.post(Errand::Mail(None));
    }
    Arc::clone(link).take(sender);
}

/// Whether it takes nothing more, though it could. Between two requests.
pub fn is_over(link: &Link, sender: Sender) -> bool {
    let wear = &link.wear;
    if wear.most > 0 && !wear.retires.load(Ordering::Relaxed) {
        let done = link.worker.work().1 - wear.own.load(Ordering::Relaxed);
        // So that its successor is there in time.
        if done + (wear.most / 10).max(1) >= wear.most {
            tell(link, sender);
        }
        if done >= wear.most {
            wear.retires.store(true, Ordering::SeqCst);
        }
    }
    wear.retires.load(Ordering::SeqCst) && wear.streams.load(Ordering::Relaxed) == 0
}

/// Its owner sees to a successor.
fn tell(link: &Link, sender: Sender) {
    if link.wear.told.swap(true, Ordering::Relaxed) {
        return;
    }
    owner::tell(link, sender, |message| {
        let env = message.env();
        SavedTerm::save((atoms::python_process(), atoms::wearing()).encode(env))
    });
}

/// It takes nothing more, and ends when it is at nothing. What reads its streams comes to the end.
pub fn retire(link: &Arc<Link>, sender: Sender) {
    link.wear.retires.store(true, Ordering::SeqCst);
    go_if_idle(link, sender);
}

/// To be called where it has become idle, or may be for long.
pub fn go_if_idle(link: &Arc<Link>, sender: Sender) {
    if is_over(link, sender) && link.pool.take_idle(&link.worker) {
        go(link, sender);
    }
}

/// Its owner sees to a successor now, not when its process has ended. It comes to the end of what it has begun while it
/// waited for a callback.
pub fn go(link: &Arc<Link>, sender: Sender) {
    if !link.wear.leaves.swap(true, Ordering::SeqCst) {
        owner::tell(link, sender, |message| {
            let env = message.env();
            SavedTerm::save((atoms::python_process(), atoms::leaving()).encode(env))
        });
        run::leave(link, sender);
    }
    end_if_left(link);
}

/// Ends it if it leaves, and is at nothing. To be called where a request has ended.
pub fn end_if_left(link: &Arc<Link>) {
    let is_busy = || link.wear.stays.load(Ordering::SeqCst) > 0 || link.worker.work().0;
    if link.wear.leaves.load(Ordering::SeqCst) && !is_busy() {
        run::stop(link);
    }
}

/// A worker does not end as long as this lives.
pub struct Stays<'l>(&'l Arc<Link>);

/// For who is about to give it something to do while it waits for a callback. None if it waits no more, and leaves.
pub fn stay(link: &Arc<Link>) -> Option<Stays<'_>> {
    // In one order with `end_if_left`: either that sees this, or this sees that it leaves.
    link.wear.stays.fetch_add(1, Ordering::SeqCst);
    let stays = Stays(link);
    let leaves = link.wear.leaves.load(Ordering::SeqCst) && !link.worker.work().0;
    (!leaves).then_some(stays)
}

impl Drop for Stays<'_> {
    fn drop(&mut self) {
        self.0.wear.stays.fetch_sub(1, Ordering::SeqCst);
        end_if_left(self.0);
    }
}

/// Looks at a failure: a worker that has come to its limit of memory may not get far any more.
pub fn note_failure(link: &Link, answer: Term<'_>, sender: Sender) {
    if link.wear.is_bounded && is_memory_error(answer).unwrap_or(false) {
        link.wear.retires.store(true, Ordering::SeqCst);
        tell(link, sender);
    }
}

/// `{:error, {:exception, [{{"MemoryError", …}, …} | …]}}`.
fn is_memory_error(answer: Term<'_>) -> Option<bool> {
    let (_, reason): (Atom, Term) = answer.decode().ok()?;
    let (tag, chain): (Atom, Term) = reason.decode().ok()?;
    let first = chain.into_list_iterator().ok()?.next()?;
    let described = tuple::get_tuple(*tuple::get_tuple(first).ok()?.first()?).ok()?;
    let name: &str = described.first()?.decode().ok()?;
    Some(tag == atoms::exception() && name == "MemoryError")
}
