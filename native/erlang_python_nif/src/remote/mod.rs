//! What a process of Python's own does for its VM: for that what `nif/` is for Elixir here. The library of such
//! a process (`erlang_python_worker`) has the wire, and calls this.
//!
//! Its pool has one worker, Python's main thread, and no limits: the VM has the queue, the deadlines and the
//! timeouts, and sends a request when it is to run. What it sends comes on a thread that never takes the GIL.

mod callbacks;
mod requests;
mod start;
mod streams;

pub use crate::base::copies::copy;
pub use crate::base::processes::kill_all;
pub use crate::base::segment::{ROOM, Segment};
pub use crate::base::side::{Link, set_worker};
pub use crate::engine::main::start::import;
pub use crate::python::compiled::{Compiled, tell as compiled};
pub use crate::python::object::TYPE_NAME as HANDLES;
pub use callbacks::{
    callback_answer, callback_down, callback_left, callbacks, register, serve_callbacks, unregister,
};
pub use requests::{
    Arrived, Call, Terms, answered, arrive, cancel, done, fill_done, left_until, run, send,
    send_ahead, settle, share,
};
pub use start::{End, Settings, has_given_up_all, serve, start, stop, tidy};
pub use streams::{close, demand, flush, is_part, streams};

use crate::pool::{Pool, Worker};
use std::sync::{Arc, OnceLock};

/// The pool of this process, with its one worker.
struct Place {
    pool: Arc<Pool>,
    worker: Arc<Worker>,
}

static PLACE: OnceLock<Place> = OnceLock::new();

/// Has the worker wait for requests that come there, too.
fn wake_by(segment: &'static Segment) {
    if let Some(place) = PLACE.get() {
        place.worker.share(segment);
    }
}

fn pool() -> Option<&'static Arc<Pool>> {
    PLACE.get().map(|place| &place.pool)
}
