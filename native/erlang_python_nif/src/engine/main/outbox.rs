//! What a call in an event loop has printed and its group leader has not taken yet: the loop goes on meanwhile, and the
//! call is answered when all is written. One piece at a time is on its way, so they stay in order.

use crate::base::clock;
use crate::base::lock::{self, Condvar, Mutex};
use crate::base::term_env::Sender;
use crate::engine::main::awaiting::{Awaited, EventLoop};
use crate::engine::main::callback::{self, Callback};
use crate::engine::main::kept;
use crate::engine::main::origin::Origin;
use crate::pool::request::Request;
use pyo3::prelude::*;
use rustler::Atom;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Beyond so many bytes, who prints waits.
const MOST: usize = 1 << 20;

/// How often one who waits looks whether anybody waits for the call.
const LOOK: Duration = Duration::from_millis(10);

pub struct Outbox {
    request: Weak<Request>,
    origin: Origin,
    event_loop: Arc<dyn EventLoop>,
    /// Held for a few moves.
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<(Atom, String)>,
    bytes: usize,
    flies: bool,
    /// The end of the call, which waits for that.
    end: Option<End>,
}

/// Done in the loop, with the GIL.
pub type End = Box<dyn FnOnce(Python<'_>) + Send>;

/// That of a request, if it has printed something.
pub fn of(request: &Request) -> Option<Arc<Outbox>> {
    let kept = kept::printed(request)?;
    Arc::clone(kept).downcast().ok()
}

/// The same, made if there is none yet.
pub fn make(request: &Arc<Request>, event_loop: &Arc<dyn EventLoop>) -> Option<Arc<Outbox>> {
    let make = || Arc::new(Outbox::new(request, event_loop)) as _;
    let kept = kept::make_printed(request, make)?;
    Arc::clone(kept).downcast().ok()
}

impl Outbox {
    fn new(request: &Arc<Request>, event_loop: &Arc<dyn EventLoop>) -> Self {
        Outbox {
            request: Arc::downgrade(request),
            origin: Origin::of(request),
            event_loop: Arc::clone(event_loop),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Adds text. Where there is too much of it, waits for the reader: false if the call was given up meanwhile.
    pub fn push(self: &Arc<Self>, py: Python<'_>, device: Atom, text: String) -> bool {
        let much = {
            let mut state = self.state.lock();
            state.bytes += text.len();
            match state.pieces.back_mut() {
                Some((last, before)) if *last == device => before.push_str(&text),
                _ => state.pieces.push_back((device, text)),
            }
            state.bytes > MOST
        };
        if let Some(sender) = Sender::own_thread() {
            self.fly(sender);
        }
        !much || self.wait(py, MOST / 2)
    }

    /// Waits until no more than so many bytes are left, or the call is given up: false.
    pub fn wait(&self, py: Python<'_>, bytes: usize) -> bool {
        let written = |state: &State| state.bytes <= bytes && (bytes > 0 || !state.flies);
        py.detach(|| {
            lock::forbid("a reader is waited for");
            let mut state = self.state.lock();
            while !written(&state) {
                let given_up = self.request.upgrade().is_none_or(|r| r.is_over());
                if given_up {
                    return false;
                }
                state = self.changed.wait_until(state, Some(Instant::now() + LOOK));
            }
            true
        })
    }

    /// Does something in the loop when all is written, or hands it back if that is so.
    pub fn at_end(&self, end: End) -> Option<End> {
        let mut state = self.state.lock();
        if state.flies || !state.pieces.is_empty() {
            state.end = Some(end);
            return None;
        }
        Some(end)
    }

    /// What is to be done at the end, in the loop, if that has come.
    pub fn take_end(&self) -> Option<End> {
        let mut state = self.state.lock();
        let written = !state.flies && state.pieces.is_empty();
        written.then(|| state.end.take()).flatten()
    }

    /// Nobody waits for the call any more: what is left is not written.
    pub fn give_up(&self) -> Option<End> {
        let (pieces, end) = {
            let mut state = self.state.lock();
            state.bytes = 0;
            (std::mem::take(&mut state.pieces), state.end.take())
        };
        drop(pieces);
        end
    }

    /// Sends the next piece, unless one is on its way.
    fn fly(self: &Arc<Self>, sender: Sender) {
        let next = {
            let mut state = self.state.lock();
            if state.flies {
                return;
            }
            let next = state.pieces.pop_front();
            state.flies = next.is_some();
            next
        };
        let Some((device, text)) = next else { return };
        let callback = Callback::of_output();
        let own = Arc::downgrade(self);
        let (bytes, over) = (text.len(), AtomicBool::new(false));
        // Whatever has become of it.
        callback.on_settled(Box::new(move || {
            if !over.swap(true, Ordering::SeqCst)
                && let Some(own) = own.upgrade()
            {
                own.landed(bytes);
            }
        }));
        // If there is nobody to take it, the callback goes down with the message.
        callback::send_text(&callback, device, &text, &self.origin, sender);
    }

    /// A piece is written. On any thread.
    fn landed(self: &Arc<Self>, bytes: usize) {
        let (more, ends) = {
            let mut state = self.state.lock();
            state.bytes = state.bytes.saturating_sub(bytes);
            state.flies = false;
            let more = !state.pieces.is_empty();
            (more, !more && state.end.is_some())
        };
        self.changed.notify_all();
        if more {
            let own = Arc::clone(self);
            clock::soon(move |sender, _| own.fly(sender));
        }
        if ends && let Some(request) = self.request.upgrade() {
            self.event_loop.written(request);
        }
    }
}
