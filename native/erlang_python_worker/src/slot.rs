//! Small frames, by memory that the VM shares: it puts requests there, which the main thread takes, and answers to
//! callbacks for a thread that looks there while it waits. What it is told is put there too. All else goes by the
//! socket, and nothing overtakes that.

use crate::{control, link, processes};
use erlang_python::remote::{self, Segment};
use erlang_python_wire::{Writer, tag};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static SEGMENT: OnceLock<Segment> = OnceLock::new();

/// This is a forked child, which has none.
static OFF: AtomicBool = AtomicBool::new(false);

/// What the VM has sent: from here on frames come there. Without it all goes by the socket.
pub fn open(descriptor: &OwnedFd) {
    if let Ok(segment) = Segment::open(descriptor) {
        let segment = SEGMENT.get_or_init(|| segment);
        remote::share(segment, |frame| {
            match catch_unwind(AssertUnwindSafe(|| control::arrive(frame))) {
                Ok(Ok(arrived)) => arrived,
                // What is not understood would be waited for.
                _ => processes::end(),
            }
        });
    }
}

/// So many frames that came by the socket have been handled.
pub fn handled(count: u64) {
    if let Some(segment) = SEGMENT.get() {
        segment.set_handled(count);
    }
}

/// Puts a frame there, if the VM has handled all that was sent before. `waits`: something here waits for what comes of it.
pub fn put(frame: &Writer, waits: bool) -> bool {
    let Some(segment) = SEGMENT.get().filter(|_| !OFF.load(Ordering::Relaxed)) else {
        return false;
    };
    let put =
        segment.heard() == link::sent() && !may_be_beside(frame) && segment.put(frame.fields());
    if put && segment.rings(waits) {
        link::ring();
    }
    put
}

/// Whether there may be a binary beside it: that takes long to read.
fn may_be_beside(frame: &Writer) -> bool {
    let fields = frame.fields();
    fields.len() > remote::ROOM || fields.contains(&tag::BLOB)
}

/// This is a forked child.
pub fn leave() {
    OFF.store(true, Ordering::Relaxed);
}
