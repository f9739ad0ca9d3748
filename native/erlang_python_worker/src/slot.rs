//! Small calls, by memory that the VM shares: it puts a request there, which the main thread takes, and may wait a
//! moment for the answer, which is put there then. All else goes by the socket, and nothing overtakes that.

use crate::{control, link, processes};
use erlang_python::remote::{self, Segment};
use erlang_python_wire::frame::to_worker;
use erlang_python_wire::{Reader, Writer, tag};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static SEGMENT: OnceLock<Segment> = OnceLock::new();

/// The request that came there last. 0: none.
static LAST: AtomicU64 = AtomicU64::new(0);

/// What the VM has sent: from here on requests come there. Without it all goes by the socket.
pub fn open(descriptor: &OwnedFd) {
    if let Ok(segment) = Segment::open(descriptor) {
        let segment = SEGMENT.get_or_init(|| segment);
        remote::share(segment, |frame| {
            let accepted = catch_unwind(AssertUnwindSafe(|| accept(frame)));
            // What is not understood would be waited for.
            Some(accepted.ok().flatten().unwrap_or_else(|| processes::end()))
        });
    }
}

fn accept(frame: &[u8]) -> Option<remote::Arrived> {
    let mut fields = Reader::new(frame);
    if fields.u8().ok()? != to_worker::RUN {
        return None;
    }
    let (number, request) = control::arrive(&mut fields).ok()?;
    LAST.store(number, Ordering::SeqCst);
    Some(request)
}

/// So many frames that came by the socket have been handled.
pub fn handled(count: u64) {
    if let Some(segment) = SEGMENT.get() {
        segment.set_handled(count);
    }
}

/// Puts the answer there, if the VM waits for it and has handled all that was sent before.
pub fn answer(number: u64, frame: &Writer) -> bool {
    let Some(segment) = SEGMENT.get() else {
        return false;
    };
    LAST.load(Ordering::SeqCst) == number
        && !may_have_kept(frame)
        && segment.heard() == link::sent()
        && segment.answer(frame.fields())
}

/// Whether there may be something in an answer that is let go by the socket: a term that only the VM has, or a binary
/// beside it.
fn may_have_kept(frame: &Writer) -> bool {
    // The kind, the number and the flags come first.
    let terms = frame.fields().get(10..);
    terms.is_none_or(|terms| {
        terms.len() > ROOM
            || terms
                .iter()
                .any(|byte| matches!(*byte, tag::KEPT | tag::BLOB))
    })
}

/// More than fits in any case.
const ROOM: usize = 4 << 10;

/// A forked child has none.
pub fn leave() {
    LAST.store(0, Ordering::SeqCst);
}
