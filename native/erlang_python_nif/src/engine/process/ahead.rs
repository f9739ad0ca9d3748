//! Requests that lie ahead: with a worker that is at another one, so that it need not wait for the VM in between.
//!
//! Such a request counts as one that waits in the queue. It can be given up there, and goes back when another worker has
//! nothing to do, or when its own one waits for a callback, takes long, leaves or dies: all that as long as the worker
//! has not taken it (`base/segment.rs`), which decides. What was taken runs.

use super::link::{Link, Stage};
use super::lying::{Lying, State};
use super::own::Process;
use super::run::{self, Ending};
use super::sent::Sent;
use crate::base::atoms;
use crate::base::clock;
use crate::base::deadline;
use crate::base::segment::AHEAD;
use crate::base::term_env::{Sender, TermEnv};
use crate::pool::request::Request;
use erlang_python_wire::frame::to_worker;
use erlang_python_wire::{Broken, Writer};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A worker that has answered nothing for so long has something that takes long.
const SLOW: Duration = Duration::from_micros(500);

thread_local! {
    /// For terms that need no environment, as none can be freed while a lock is held.
    static WORDS: TermEnv = TermEnv::new();
}

/// The worker has been sent a request. It can be given more, unless it has ended that by now.
pub fn open(link: &Link, number: u64) {
    let mut state = link.ahead.lock();
    state.open = !state.over && link.is_at(number);
}

fn age(link: &Link) -> Duration {
    let answered = Duration::from_micros(link.ahead.answered.load(Ordering::Relaxed));
    Instant::now()
        .duration_since(link.born)
        .saturating_sub(answered)
}

/// The worker begins with something, having ended what was before.
pub fn note_time(link: &Link) {
    let now = link.born.elapsed().as_micros() as u64;
    link.ahead.answered.store(now, Ordering::Relaxed);
}

/// Its count has changed. With the lock held.
fn counted(link: &Link, state: &State) {
    let count = state.lying.len();
    let before = link.ahead.count.swap(count, Ordering::SeqCst);
    if let (Some(process), true) = (Process::of(&link.pool), before != count) {
        process
            .lying
            .fetch_add(count.wrapping_sub(before), Ordering::SeqCst);
    }
}

/// Whether it is a worker that may be given something ahead: one that is quick, does not wait for anything, and goes on.
fn may_have(link: &Link) -> bool {
    let wear = &link.wear;
    link.stage() == Stage::Ready
        && !link.pool.pinned
        && wear.most == 0
        && !wear.is_bounded
        && !wear.retires.load(Ordering::SeqCst)
        && !link.was_killed()
        && !link.has_mail()
}

/// Gives a worker that is at something what waits in the queue, up to so many.
fn fill(link: &Arc<Link>, most: usize, sender: Sender) {
    let pool = &link.pool;
    if link.ahead.count() >= most || !may_have(link) {
        return;
    }
    let Some(segment) = link.shared.segment() else {
        return;
    };
    if age(link) > SLOW {
        return;
    }
    let (mut back, mut dropped) = (None, Vec::new());
    let mut state = link.ahead.lock();
    let has_room = || link.shared.has_room_ahead(link.outbox.sent());
    while state.open && state.lying.len() < most && !link.waits() && has_room() {
        let Some(request) = pool.take_ahead(is_light, &mut dropped) else {
            break;
        };
        // Nothing is written over one of which it is not known yet that it was taken.
        let next = state.lying.front().map_or(0, |first| first.at);
        let at = (state.lying.is_empty() || segment.next_ahead() - next < AHEAD)
            .then(|| lay(link, &request))
            .flatten();
        match at {
            Some(at) => state.lying.push_back(Lying { request, at }),
            None => {
                back = Some(request);
                break;
            }
        }
    }
    counted(link, &state);
    drop(state);
    drop(dropped);
    if back.is_some() {
        link.pool.put_back(back, sender);
    }
}

/// Whether a request needs nothing of a worker but that it runs.
fn is_light(request: &Arc<Request>) -> bool {
    let is_light = Sent::of(request).is_some_and(|sent| sent.is_light);
    is_light && request.leader().is_word()
}

/// Puts it where the worker finds it.
fn lay(link: &Arc<Link>, request: &Arc<Request>) -> Option<usize> {
    let sent = Sent::of(request)?;
    // Who puts something there from here on finds that it lies ahead.
    if !request.mailbox.is_empty() {
        return None;
    }
    let operation = sent.operation().ok()??;
    let until = request.time_left();
    let until = until.map(|left| deadline::now().saturating_add(left));
    let mut frame = Writer::frame(to_worker::RUN_UNTIL);
    WORDS.with(|env| run::write_head(&mut frame, env.env(), link, request, until, 0));
    operation.write(&mut frame);
    if !link.begin(sent.number, request) {
        return None;
    }
    let at = link.shared.lay(link.outbox.sent(), &frame);
    if at.is_none() {
        link.end(sent.number);
    }
    at
}

/// The worker begins with it, or has begun. With the lock held.
fn begin(link: &Arc<Link>, request: &Arc<Request>) {
    if let (true, Some(sent)) = (request.begin_offered(), Sent::of(request)) {
        run::enter(link, request, sent);
    }
    link.pool.taken_ahead();
}

/// What is left to do for one that has begun.
fn begun(link: &Arc<Link>, request: &Arc<Request>) {
    run::asked(link, request);
    // As in `run::run`.
    if link.pool.is_closed() {
        let (link, request) = (Arc::clone(link), Arc::clone(request));
        clock::soon(move |sender, _| {
            let number = Sent::of(&request).map(|sent| sent.number);
            if number.is_some_and(|number| link.end(number).is_some()) {
                run::end(&link, &request, Ending::Failed(atoms::closed()), sender);
            }
        });
    }
}

/// The worker has ended what it was at. True if it goes on with what lies there.
pub fn goes_on(link: &Arc<Link>, sender: Sender) -> bool {
    let next = {
        let mut state = link.ahead.lock();
        // It was found meanwhile that it has begun with another one.
        if link.ahead.running.load(Ordering::SeqCst) > 0 {
            note_time(link);
            return true;
        }
        let next = state.lying.pop_front();
        match &next {
            Some(lying) => {
                note_time(link);
                if let Some(segment) = link.shared.segment() {
                    segment.set_due(lying.at);
                }
                begin(link, &lying.request);
                counted(link, &state);
            }
            None => state.open = false,
        }
        next
    };
    let Some(lying) = next else { return false };
    begun(link, &lying.request);
    if may_have(link) {
        fill_up(link, sender);
    } else {
        give_back(link, sender);
    }
    true
}

/// The worker has said something of a request: it has begun that.
pub fn notice(link: &Arc<Link>, number: u64) -> Result<(), Broken> {
    if link.ahead.count() == 0 {
        return Ok(());
    }
    let request = link.request(number);
    if !request.is_some_and(|request| request.is_offered()) {
        return Ok(());
    }
    let found = {
        let mut state = link.ahead.lock();
        let is_it = |lying: &Lying| Sent::of(&lying.request).is_some_and(|it| it.number == number);
        let Some(at) = state.lying.iter().position(is_it) else {
            return Ok(());
        };
        if lies(link, &state.lying[at]) {
            return Err(Broken(
                "it says something of a request that it has not taken",
            ));
        }
        let found = state.lying.remove(at);
        if let Some(lying) = &found {
            begin(link, &lying.request);
            counted(link, &state);
        }
        found
    };
    if let Some(lying) = found {
        begun(link, &lying.request);
    }
    Ok(())
}

fn lies(link: &Link, lying: &Lying) -> bool {
    let segment = link.shared.segment();
    segment.is_some_and(|segment| segment.lies(lying.at))
}

/// The same for what it has taken, where that may be of any of these.
pub fn notice_taken(link: &Arc<Link>) {
    if link.ahead.count() == 0 {
        return;
    }
    let mut taken = Vec::new();
    {
        let mut state = link.ahead.lock();
        while let Some(lying) = state.lying.front()
            && !lies(link, lying)
        {
            begin(link, &lying.request);
            taken.extend(state.lying.pop_front());
        }
        counted(link, &state);
    }
    for lying in taken {
        begun(link, &lying.request);
    }
}

/// For a request that was put into the queue, and for which nobody was woken: gives it to a worker that is at something.
pub fn fill_one(links: &[Arc<Link>], sender: Sender) {
    let serving = links.iter().filter(|link| link.serves());
    if let Some(link) = serving.min_by_key(|link| link.ahead.count()) {
        fill_up(link, sender);
    }
}

/// When there are no more than so many, it is looked for others.
const FEW: usize = AHEAD / 2;

fn fill_up(link: &Arc<Link>, sender: Sender) {
    if link.ahead.count() > FEW {
        return;
    }
    let (queued, ahead) = link.pool.line();
    let workers = Process::of(&link.pool).map_or(1, Process::count);
    if queued > 0 {
        // So that others have as much.
        let share = (queued + ahead).div_ceil(workers.max(1));
        fill(link, share.min(AHEAD), sender);
    }
}

/// Takes back what the worker has not taken, for others.
pub fn give_back(link: &Arc<Link>, sender: Sender) {
    if link.ahead.count() > 0 {
        give_all_back(link, sender);
    }
}

/// The same with what another thread is giving it this moment, which may not be counted yet.
pub fn give_all_back(link: &Arc<Link>, sender: Sender) {
    take_out(link, |_| {}, usize::MAX, sender);
}

/// The same for a worker that takes nothing any more.
pub fn shut(link: &Arc<Link>, sender: Sender) {
    let shut = |state: &mut State| {
        state.open = false;
        state.over = true;
    };
    take_out(link, shut, usize::MAX, sender);
}

/// For a worker that may be killed for what it is at: it takes nothing more before that has ended. False if it has taken
/// something already, so that it has ended.
pub fn hold_back(link: &Arc<Link>, sender: Sender) -> bool {
    take_out(link, |state| state.open = false, usize::MAX, sender)
}

/// Whether it had taken nothing.
fn take_out(
    link: &Arc<Link>,
    before: impl FnOnce(&mut State),
    most: usize,
    sender: Sender,
) -> bool {
    let (mut back, mut taken, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
    {
        let mut state = link.ahead.lock();
        before(&mut state);
        while back.len() < most
            && let Some(lying) = state.lying.pop_back()
        {
            if takes_back(link, &lying, &mut dropped) {
                back.push(lying.request);
            } else {
                begin(link, &lying.request);
                taken.push(lying.request);
            }
        }
        counted(link, &state);
    }
    drop(dropped);
    let has_taken = !taken.is_empty();
    for request in taken {
        begun(link, &request);
    }
    if !back.is_empty() {
        link.pool.put_back(back, sender);
    }
    !has_taken
}

fn takes_back(link: &Link, lying: &Lying, dropped: &mut Vec<Arc<Request>>) -> bool {
    let segment = link.shared.segment();
    let back = segment.is_some_and(|segment| segment.take_back(lying.at));
    if let (true, Some(sent)) = (back, Sent::of(&lying.request)) {
        dropped.extend(link.end(sent.number));
    }
    back
}

/// A worker has nothing to do: something that lies with another one goes back to the queue, and comes to it by that.
pub fn relieve(link: &Link, sender: Sender) {
    let Some(process) = Process::of(&link.pool) else {
        return;
    };
    if process.lying.load(Ordering::SeqCst) == 0 {
        return;
    }
    let links = process.links();
    let most = links.iter().max_by_key(|link| link.ahead.count());
    if let Some(most) = most.filter(|most| most.ahead.count() > 0) {
        take_out(most, |_| {}, 1, sender);
    }
}

/// Another worker is about to take something from the queue: what lies with one that has got slow comes first.
pub fn relieve_slow(link: &Arc<Link>, sender: Sender) {
    let Some(process) = Process::of(&link.pool) else {
        return;
    };
    if process.lying.load(Ordering::SeqCst) <= link.ahead.count() {
        return;
    }
    for other in process.links() {
        if other.number != link.number && other.ahead.count() > 0 && age(&other) > SLOW {
            give_back(&other, sender);
        }
    }
}

/// For one that is about to be given up: it waits nowhere when this is back, or runs.
pub fn settle(request: &Request) {
    match find(request) {
        Some(Found::Back(_, link)) => {
            request.leave_offered();
            link.pool.taken_ahead();
        }
        Some(Found::Begun) => {}
        // It is on its way back to the queue, which finds that it does not wait any more.
        None => drop(request.leave_offered()),
    }
}

/// For one that has got a message: it waits in the queue when this is back, or runs.
pub fn recall(request: &Arc<Request>) {
    if let Some(Found::Back(request, link)) = find(request) {
        let pool = Arc::clone(&link.pool);
        let mut request = Some(request);
        clock::soon(move |sender, _| pool.put_back(request.take(), sender));
    }
}

enum Found {
    Back(Arc<Request>, Arc<Link>),
    Begun,
}

/// Takes one back, wherever it lies. None if it lies nowhere.
fn find(request: &Request) -> Option<Found> {
    for link in Process::of(&request.pool)?.links() {
        let mut dropped = Vec::new();
        let mut state = link.ahead.lock();
        let mut lying = state.lying.iter();
        let Some(at) = lying.position(|lying| std::ptr::eq(&*lying.request, request)) else {
            continue;
        };
        let lying = state.lying.remove(at)?;
        let back = takes_back(&link, &lying, &mut dropped);
        if !back {
            begin(&link, &lying.request);
        }
        counted(&link, &state);
        drop(state);
        drop(dropped);
        if back {
            return Some(Found::Back(lying.request, link));
        }
        begun(&link, &lying.request);
        return Some(Found::Begun);
    }
    None
}
