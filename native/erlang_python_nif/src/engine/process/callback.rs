//! A call of Elixir's that Python in a worker process waits for, or the body of a `with`.

use super::encoded::Encoded;
use super::link::{Errand, Link, Listener, Waits};
use super::outbox;
use crate::base::lock::{Mutex, MutexGuard};
use crate::base::term_env::{Sender, TermEnv};
use crate::pool::elsewhere::{self, Elsewhere};
use crate::pool::request::Request;
use crate::pool::{Blocked, Pool};
use erlang_python_wire::Writer;
use erlang_python_wire::frame::to_worker;
use rustler::{Env, LocalPid, Monitor, Resource};
use std::sync::{Arc, Weak};

/// As `RemoteObject`, it keeps nothing of the worker.
pub struct Callback {
    link: Weak<Link>,
    /// The number of the link.
    pub worker: u64,
    pub number: u64,
    /// The request that it is for.
    request: Option<Arc<Request>>,
    /// The worker counts as one that waits, until it was answered.
    blocked: Mutex<Option<Waiting>>,
    /// Held for a few moves.
    state: Mutex<State>,
}

/// A worker that waits.
struct Waiting {
    _blocked: Blocked,
    /// For a body of a `with`.
    held: Option<Arc<Pool>>,
}

impl Waiting {
    fn new(link: &Link, is_hold: bool) -> Self {
        let held = is_hold.then(|| Arc::clone(&link.pool));
        if let Some(pool) = &held {
            pool.hold_begins();
        }
        Waiting {
            _blocked: link.pool.block(),
            held,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(pool) = &self.held {
            pool.hold_ends();
        }
    }
}

#[derive(Default)]
struct State {
    answered: bool,
    /// Nobody waits any more.
    over: bool,
    /// Requests from the callback that others run.
    elsewhere: Elsewhere,
}

/// What the process that runs the function holds, and the one that callbacks are sent to. When nobody is left to
/// answer, Python does not wait any longer. None in that which keeps the type.
pub struct RemoteCallback(pub Option<Arc<Callback>>);

impl Resource for RemoteCallback {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, _env: Env<'a>, _pid: LocalPid, _monitor: Monitor) {
        self.down_now();
    }
}

impl RemoteCallback {
    fn down_now(&self) {
        if let Some(callback) = &self.0 {
            callback.down();
        }
    }
}

impl Drop for RemoteCallback {
    fn drop(&mut self) {
        self.down_now();
        if let Some(callback) = &self.0
            && let Some(link) = callback.link()
        {
            link.release(callback.number);
        }
    }
}

impl Callback {
    pub fn new(
        link: &Arc<Link>,
        number: u64,
        request: Option<Arc<Request>>,
        is_hold: bool,
    ) -> Arc<Self> {
        let callback = Arc::new(Callback {
            link: Arc::downgrade(link),
            worker: link.number,
            number,
            request,
            blocked: Mutex::new(Some(Waiting::new(link, is_hold))),
            state: Mutex::default(),
        });
        let waits: Arc<dyn Waits> = Arc::clone(&callback) as _;
        if !link.add_callback(number, Arc::downgrade(&waits)) {
            callback.lock().over = true;
            callback.unblock();
        }
        callback
    }

    /// None when the worker has ended.
    pub fn link(&self) -> Option<Arc<Link>> {
        self.link.upgrade()
    }

    fn unblock(&self) {
        let blocked = self.blocked.lock().take();
        let held = blocked.as_ref().is_some_and(|it| it.held.is_some());
        drop(blocked);
        if let (true, Some(request)) = (held, &self.request) {
            request.leave_body();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The request that it is for.
    pub fn request(&self) -> Option<Arc<Request>> {
        self.request.clone()
    }

    /// Whether it needs no answer any more.
    pub fn is_answered(&self) -> bool {
        let state = self.lock();
        state.answered || state.over
    }

    /// `{:ok, value}` or `{:error, …}`. False if nobody waits any more, or it was answered before.
    pub fn answer(&self, answer: Encoded) -> bool {
        if !self.settle() {
            return false;
        }
        let Some(link) = self.link() else {
            return false;
        };
        // The worker does not say that it waits no more.
        link.remove_callback(self.number);
        if answer.len() > outbox::LARGE || link.has_mail() {
            link.post(Errand::Answer(self.number, answer));
        } else {
            send_answer(&link, self.number, &answer);
        }
        true
    }

    /// Says whether it was to be answered still.
    fn settle(&self) -> bool {
        let settled = {
            let mut state = self.lock();
            !state.over && !std::mem::replace(&mut state.answered, true)
        };
        self.unblock();
        settled
    }

    /// The process that was to answer has ended, or nobody can answer any more.
    fn down(&self) {
        if self.is_answered() {
            return;
        }
        let mut frame = Writer::frame(to_worker::CALLBACK_DOWN);
        frame.u64(self.number);
        if let Some(link) = self.link() {
            link.send(frame);
        }
    }

    /// A request from the callback goes to the queue of a pool, or is over with that.
    pub fn note_elsewhere(&self, request: &Arc<Request>, sender: Sender) {
        let noted = self.lock().elsewhere.note(request);
        if !noted {
            elsewhere::end(Arc::clone(request), sender, &mut TermEnv::new());
        }
    }
}

/// Tells the worker what a callback has come to.
pub fn send_answer(link: &Link, number: u64, answer: &Encoded) {
    let mut frame = Writer::frame(to_worker::CALLBACK_ANSWER);
    frame.u64(number);
    link.offer(frame, answer, Listener::Waiting);
}

impl Waits for Callback {
    fn is_waiting(&self) -> bool {
        !self.is_answered()
    }

    fn over(&self, sender: Sender) {
        self.unblock();
        let noted = {
            let mut state = self.lock();
            state.over = true;
            if state.answered {
                return;
            }
            state.elsewhere.give_up()
        };
        elsewhere::end_all(&noted, sender);
    }
}
