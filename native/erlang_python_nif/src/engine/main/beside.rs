//! Requests that come to Python's main thread beside the queue: by what it shares with the VM, if this is a process of
//! Python's own.

use crate::base::segment::Segment;
use crate::pool::request::Request;
use std::cell::Cell;
use std::sync::{Arc, OnceLock};

/// Makes a request of a frame, which can be found from then on. None if it is not understood.
pub type Accept = Box<dyn Fn(&[u8]) -> Option<Arc<Request>> + Send + Sync>;

static BESIDE: OnceLock<(&'static Segment, Accept)> = OnceLock::new();

/// Before the main thread looks for the first time.
pub fn set(segment: &'static Segment, accept: Accept) {
    let _ = BESIDE.set((segment, accept));
}

pub fn has_any() -> bool {
    BESIDE
        .get()
        .is_some_and(|(segment, _)| segment.has_request())
}

/// Takes the request, if there is one.
pub fn take() -> Option<Arc<Request>> {
    thread_local! {
        static BYTES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    let (segment, accept) = BESIDE.get()?;
    let mut bytes = BYTES.take();
    let request = segment
        .take_request(&mut bytes)
        .then(|| accept(&bytes))
        .inspect(|_| segment.accepted());
    BYTES.set(bytes);
    request.flatten()
}

/// Takes it for the thread that reads the socket: what comes there may be about the request. When this is back, it can
/// be found.
pub fn settle() -> Option<Arc<Request>> {
    let (segment, _) = BESIDE.get()?;
    let request = take();
    while segment.is_taken() {
        std::thread::yield_now();
    }
    request
}
