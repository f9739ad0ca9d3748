//! What lies ahead with a worker: see `ahead.rs`.

use crate::base::lock::{Mutex, MutexGuard};
use crate::pool::request::Request;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

#[derive(Default)]
pub struct Ahead {
    /// How many there are. Changed with the lock held.
    pub count: AtomicUsize,
    /// When it has ended something last, or begun, in µs since it was started.
    pub answered: AtomicU64,
    /// Held for what a worker is given, or gives back. The pool's queue is asked meanwhile.
    state: Mutex<State>,
    /// How many requests the worker is at that are in no other one. Those that lay ahead are counted with the lock held.
    pub running: AtomicUsize,
}

#[derive(Default)]
pub struct State {
    /// The worker is at something, for which it can be given more.
    pub open: bool,
    /// It takes nothing any more.
    pub over: bool,
    pub lying: VecDeque<Lying>,
}

pub struct Lying {
    pub request: Arc<Request>,
    /// Where it lies.
    pub at: usize,
}

impl Ahead {
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
