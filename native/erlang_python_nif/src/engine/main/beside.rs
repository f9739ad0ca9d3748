//! Requests that come to Python's main thread beside the queue: by what it shares with the VM, if this is a process of
//! Python's own.

use crate::base::lookout::{ALONE, Luck, OFTEN};
use crate::base::segment::Segment;
use crate::base::side;
use crate::base::term_env::Sender;
use crate::pool::request::Request;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Makes a request of a frame, which can be found from then on. None if it was something else, which is done then.
pub type Accept = Box<dyn Fn(&[u8]) -> Option<Arc<Request>> + Send + Sync>;

static BESIDE: OnceLock<(&'static Segment, Accept)> = OnceLock::new();

/// Before the main thread looks for the first time.
pub fn set(segment: &'static Segment, accept: Accept) {
    let _ = BESIDE.set((segment, accept));
}

pub fn has_any() -> bool {
    BESIDE.get().is_some_and(|(segment, _)| segment.has_work())
}

/// The main thread is at nothing any more.
pub fn is_idle() {
    if let (Some((segment, _)), Some(link)) = (BESIDE.get(), side::link())
        && segment.rings_as_idle()
    {
        link.ring();
    }
}

thread_local! {
    static BYTES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Takes the frame that has come for whoever looks first, if there is one. `with`: does something with the request before
/// others may find that it was taken.
fn take<T>(with: impl FnOnce(Arc<Request>) -> T) -> Option<T> {
    let (segment, accept) = BESIDE.get()?;
    let mut bytes = BYTES.take();
    let done = segment.take_request(&mut bytes).then(|| {
        let done = accept(&bytes).map(with);
        segment.accepted();
        done
    });
    BYTES.set(bytes);
    done.flatten()
}

/// The same with the next of those that lie ahead. `due`: if it is.
fn take_ahead<T>(due: bool, with: impl FnOnce(Arc<Request>) -> T) -> Option<T> {
    let (segment, accept) = BESIDE.get()?;
    let mut bytes = BYTES.take();
    let done = segment.take_ahead(due, &mut bytes).map(|at| {
        let done = accept(&bytes).map(with);
        segment.accepted_ahead(at);
        done
    });
    BYTES.set(bytes);
    done.flatten()
}

/// What was taken last lay ahead: there are many callers.
static CROWDED: AtomicBool = AtomicBool::new(false);

/// Whether there are many callers, who are at work when the main thread has nothing to do.
pub fn is_crowded() -> bool {
    CROWDED.load(Ordering::Relaxed)
}

/// For the main thread, which is at nothing: takes a request, if there is one. What lies ahead comes after all that was sent
/// before it. `has_arrived`: something is in the queue, or may be.
pub fn take_next(has_arrived: impl Fn() -> bool) -> Option<Arc<Request>> {
    let (segment, _) = BESIDE.get()?;
    let request = take(|request| request);
    if request.is_some() {
        CROWDED.store(false, Ordering::Relaxed);
        return request;
    }
    if !segment.has_ahead() {
        return None;
    }
    // Seen in this order: another thread puts what it has taken into the queue first.
    if segment.has_request() || segment.is_taken() || has_arrived() {
        return None;
    }
    CROWDED.store(true, Ordering::Relaxed);
    take_ahead(false, |request| request)
}

/// Has what was sent before found, for the thread that reads the socket: what comes there may be about it. `submit`: puts a
/// request into the queue.
pub fn settle(submit: impl Fn(Arc<Request>)) {
    let Some((segment, _)) = BESIDE.get() else {
        return;
    };
    take(&submit);
    while take_ahead(true, &submit).is_some() {}
    while segment.is_taken() {
        std::thread::yield_now();
    }
}

/// For a thread that waits for what the VM sends: looks a moment whether that has happened, or comes this way. False if it
/// is not worth it.
pub fn watch(luck: &Luck, longest: Duration, has_happened: impl Fn() -> bool) -> bool {
    let Some((segment, _)) = BESIDE.get() else {
        return luck.watch(longest, has_happened);
    };
    if !luck.is_good_for(OFTEN) {
        return false;
    }
    let come = || has_happened() || segment.has_request();
    let listening = segment.listen();
    let mut left = LOOKS;
    while left > 0 && luck.look_politely(longest * FARTHER, ALONE, come) && !has_happened() {
        serve();
        left -= 1;
    }
    drop(listening);
    // The VM may have seen that it was looked for.
    serve();
    has_happened()
}

/// What comes from another process takes so much longer.
const FARTHER: u32 = 2;

/// How often it looks again when it was something else.
const LOOKS: u32 = 4;

/// Takes what has come for whom it is for.
fn serve() {
    take(|request| {
        if let Some(sender) = Sender::own_thread() {
            let pool = Arc::clone(&request.pool);
            // A process's own pool has no limit, and what is refused when it ends is not waited for.
            pool.submit_anyway(request, sender);
        }
    });
}
