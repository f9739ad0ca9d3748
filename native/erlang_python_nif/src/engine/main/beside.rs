//! Requests that come to Python's main thread beside the queue: by what it shares with the VM, if this is a process of
//! Python's own.

use crate::base::lookout::{ALONE, Luck, OFTEN};
use crate::base::segment::Segment;
use crate::base::side;
use crate::base::term_env::Sender;
use crate::pool::request::Request;
use std::cell::Cell;
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

/// Takes the request that has come for whoever looks first, if there is one.
fn take() -> Option<Arc<Request>> {
    let (segment, accept) = BESIDE.get()?;
    let mut bytes = BYTES.take();
    let request = segment
        .take_request(&mut bytes)
        .then(|| accept(&bytes))
        .inspect(|_| segment.accepted());
    BYTES.set(bytes);
    request.flatten()
}

/// Takes the next of those that lie ahead, if there is one. `due`: if it is.
fn take_ahead(due: bool) -> Option<Arc<Request>> {
    let (segment, accept) = BESIDE.get()?;
    let mut bytes = BYTES.take();
    let request = segment.take_ahead(due, &mut bytes).map(|at| {
        let request = accept(&bytes);
        segment.accepted_ahead(at);
        request
    });
    BYTES.set(bytes);
    request.flatten()
}

/// For the main thread, which is at nothing: takes a request, if there is one.
pub fn take_next() -> Option<Arc<Request>> {
    take().or_else(|| take_ahead(false))
}

/// Takes for the thread that reads the socket what was sent before: what comes there may be about it. When this is back,
/// it can be found.
pub fn settle() -> Vec<Arc<Request>> {
    let Some((segment, _)) = BESIDE.get() else {
        return Vec::new();
    };
    let mut requests: Vec<_> = take().into_iter().collect();
    while let Some(request) = take_ahead(true) {
        requests.push(request);
    }
    while segment.is_taken() {
        std::thread::yield_now();
    }
    requests
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
    if let (Some(request), Some(sender)) = (take(), Sender::own_thread()) {
        let pool = Arc::clone(&request.pool);
        // A process's own pool has no limit, and what is refused when it ends is not waited for.
        pool.submit_anyway(request, sender);
    }
}
