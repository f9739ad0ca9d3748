//! Which side of the wire this process is on: the VM, or a Python process that works for one.

use rustler::{Env, Term};
use std::any::Any;
use std::sync::OnceLock;

/// What a Python process tells its VM beside messages. Called on any thread, with the GIL or without.
pub trait Link: Send + Sync {
    /// What stands for a request of the VM's here.
    fn reference<'a>(&self, env: Env<'a>, number: u64) -> Term<'a>;

    /// A request has come back without an answer: it was given up, or answered before. `reference`: its own.
    fn done(&self, reference: Term<'_>);

    /// The same for a request that fills a stream.
    fn fill_done(&self, stream: &dyn Any);

    /// Nobody waits for the answer of a callback any more. `number`: what it was given when it left.
    fn over(&self, callback: u64);

    /// There is something in the memory that both share.
    fn ring(&self);
}

static LINK: OnceLock<&'static dyn Link> = OnceLock::new();

/// This process is Python's own. Before the library is loaded.
pub fn set_worker(link: &'static dyn Link) {
    let _ = LINK.set(link);
}

/// Whether this process is Python's own, and not the VM.
pub fn is_worker() -> bool {
    LINK.get().is_some()
}

/// None in the VM.
pub fn link() -> Option<&'static dyn Link> {
    LINK.get().copied()
}
