//! Who looks for what a worker puts into the memory that both share, so that the worker need not ring.

use super::link::Link;
use super::shared::Shared;
use crate::base::segment::Segment;
use crate::pool::Submitted;
use crate::pool::request::Request;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The worker need not ring while this lives.
pub struct Looking<'l>(&'l Shared, &'l Segment);

impl<'l> Looking<'l> {
    pub fn begin(shared: &'l Shared, segment: &'l Segment) -> Self {
        shared.looking.fetch_add(1, Ordering::SeqCst);
        segment.disarm();
        Looking(shared, segment)
    }
}

impl Drop for Looking<'_> {
    /// What has come meanwhile is to be looked for once more: it was not rung for.
    fn drop(&mut self) {
        if self.0.looking.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.arm(self.1);
        }
    }
}

thread_local! {
    /// The caller that hands in a request on this scheduler will look for the answer.
    static COMES: Cell<bool> = const { Cell::new(false) };
    /// It counts as looking, at the worker that has the request.
    static AT: Cell<Option<Coming>> = const { Cell::new(None) };
}

/// As `Looking`, before the worker is woken: the system may give that the caller's processor at once, and the worker
/// would be done, and ring, before its caller has begun to look.
struct Coming(Arc<Link>);

impl Coming {
    fn begin(link: &Arc<Link>, segment: &Segment) -> Self {
        std::mem::forget(Looking::begin(&link.shared, segment));
        Coming(Arc::clone(link))
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        if let Some(segment) = self.0.shared.segment() {
            drop(Looking(&self.0.shared, segment));
            if segment.has_frame() {
                self.0.kick.kick();
            }
        }
    }
}

/// When this goes, the caller on this scheduler looks no more.
pub struct Leaves;

impl Drop for Leaves {
    fn drop(&mut self) {
        COMES.set(false);
        drop(AT.take());
    }
}

/// Hands a request in whose caller may wait for the answer.
pub fn hand_in(request: &Arc<Request>, work: impl FnOnce() -> Submitted) -> Submitted {
    if !request.flags.is_waited_for() || request.flags.is_in_the_way() {
        return work();
    }
    let leaves = Leaves;
    COMES.set(true);
    let submitted = work();
    if let Submitted::Queued = submitted {
        // What follows is `answer`.
        std::mem::forget(leaves);
    }
    submitted
}

/// A request is about to be given to a worker: if the caller on this scheduler is to look, it counts as looking now.
pub fn gives(link: &Arc<Link>) {
    if !COMES.get() {
        return;
    }
    // One that is awake has a processor of its own.
    if let Some(segment) = link.shared.segment().filter(|segment| segment.is_asleep()) {
        COMES.set(false);
        AT.set(Some(Coming::begin(link, segment)));
    }
}
