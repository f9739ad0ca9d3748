//! A worker: a process in a dirty NIF, a thread of our own, or what an engine has, that takes requests from a
//! pool's queue.

use crate::base::atoms;
use crate::base::bell::{Bell, Woken};
use crate::base::lock::{Condvar, Mutex};
use crate::base::segment::Segment;
use crate::base::term_env::Sender;
use crate::base::thread::Thread;
use crate::pool::extras::{Stay, Stays};
use crate::pool::queue::Announce;
use rustler::LocalPid;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// The id of a worker that is there for a while, and that the pool's process does not know.
pub const HELPER: u64 = 0;

/// The id of one that a pool has beside its own ones while these wait (`extras.rs`).
pub const EXTRA: u64 = u64::MAX;

pub struct Worker<R> {
    /// What the pool's process knows it by.
    pub id: u64,
    wake: Wake,
    /// A wake-up is on its way.
    announced: AtomicBool,
    /// It takes no further request: its process is gone, or it was replaced.
    stopped: AtomicBool,
    current: Mutex<Current<R>>,
    /// The thread that it is, or was last.
    thread: AtomicU64,
    stay: Stay,
}

/// What it runs: one request, or more when callbacks call Python again.
struct Current<R> {
    requests: Vec<Arc<R>>,
    /// Beside each other, by their addresses: there may be thousands, which end in any order.
    beside: HashMap<usize, Arc<R>>,
    /// How many have begun since it was made.
    begun: u64,
}

impl Wake {
    pub fn thread() -> Self {
        Wake::Thread(Mutex::new(false), Condvar::new())
    }

    pub fn taker() -> Self {
        Wake::Taker(OnceLock::new())
    }
}

/// How a worker is woken.
pub enum Wake {
    /// A process, which enters the dirty NIF.
    Process(LocalPid),
    /// A thread of our own, which waits for the flag.
    Thread(Mutex<bool>, Condvar),
    /// The main thread of a Python process, whose signals it is to handle.
    Main(Bell),
    /// An engine's own, which takes what waits wherever it is woken. Not set until the engine has made it.
    Taker(OnceLock<Weak<dyn Taker>>),
}

/// What takes requests without a thread of its own.
pub trait Taker: Send + Sync {
    /// Takes what waits. On any thread, also on a scheduler: never waits.
    fn take(self: Arc<Self>, sender: Sender);
}

impl<R> Worker<R> {
    pub fn new(id: u64, wake: Wake) -> Arc<Self> {
        Arc::new(Worker {
            id,
            wake,
            announced: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            current: Mutex::new(Current {
                requests: Vec::new(),
                beside: HashMap::new(),
                begun: 0,
            }),
            thread: AtomicU64::new(0),
            stay: Stay::default(),
        })
    }

    pub fn is_extra(&self) -> bool {
        self.id == EXTRA
    }

    /// It is the current thread.
    pub fn is_here(&self) {
        let thread = Thread::current().to_bits();
        self.thread.store(thread, Ordering::Relaxed);
    }

    pub fn thread(&self) -> Thread {
        Thread::from_bits(self.thread.load(Ordering::Relaxed))
    }

    /// False if there is nobody to wake.
    pub fn wake(&self, sender: Sender) -> bool {
        match &self.wake {
            Wake::Process(pid) => sender.send_immediate(pid, atoms::drain()),
            Wake::Thread(woken, changed) => {
                *woken.lock() = true;
                changed.notify_one();
                true
            }
            Wake::Main(bell) => {
                bell.ring();
                true
            }
            Wake::Taker(taker) => match taker.get().and_then(Weak::upgrade) {
                Some(taker) => {
                    taker.take(sender);
                    true
                }
                None => false,
            },
        }
    }

    /// What is woken, of a worker that was made for that.
    pub fn set_taker(&self, woken: Weak<dyn Taker>) {
        if let Wake::Taker(taker) = &self.wake {
            let _ = taker.set(woken);
        }
    }

    /// Whether it is a main thread.
    pub fn is_main(&self) -> bool {
        matches!(self.wake, Wake::Main(_))
    }

    /// Has a main thread wait for requests that come there, too.
    pub fn share(&self, segment: &'static Segment) {
        if let Wake::Main(bell) = &self.wake {
            bell.share(segment);
        }
    }

    /// Whether it is on a dirty scheduler when it works.
    pub fn is_process(&self) -> bool {
        matches!(self.wake, Wake::Process(_))
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Replaces the worker if it still is at this request. Says whether it was.
    pub fn stop_if_running(&self, request: &Arc<R>) -> bool {
        let current = self.current.lock();
        let running = current
            .requests
            .iter()
            .any(|current| Arc::ptr_eq(current, request));
        running && !self.stopped.swap(true, Ordering::AcqRel)
    }

    pub fn current(&self) -> Vec<Arc<R>> {
        let current = self.current.lock();
        let beside = current.beside.values();
        current.requests.iter().chain(beside).cloned().collect()
    }

    /// Whether it runs anything, and how many requests it has begun.
    pub fn work(&self) -> (bool, u64) {
        let current = self.current.lock();
        let idle = current.requests.is_empty() && current.beside.is_empty();
        (!idle, current.begun)
    }

    /// It is at this one, as well as at those before.
    pub fn begin(&self, request: &Arc<R>) {
        let mut current = self.current.lock();
        current.requests.push(Arc::clone(request));
        current.begun += 1;
    }

    /// The same for one of many that run beside each other.
    pub fn begin_beside(&self, request: &Arc<R>) {
        let mut current = self.current.lock();
        let key = Arc::as_ptr(request) as usize;
        current.beside.insert(key, Arc::clone(request));
        current.begun += 1;
    }

    pub fn end_beside(&self, request: &Arc<R>) {
        // Dropped when the lock is free again.
        let _ended = {
            let mut current = self.current.lock();
            current.beside.remove(&(Arc::as_ptr(request) as usize))
        };
    }

    /// They end in the reverse order: each runs on the stack of the one before.
    pub fn end(&self) {
        let mut current = self.current.lock();
        current.requests.pop();
    }

    /// The same, where the others may end in any order.
    pub fn end_of(&self, request: &Arc<R>) {
        // Dropped when the lock is free again.
        let _ended = {
            let mut current = self.current.lock();
            let at = current
                .requests
                .iter()
                .position(|current| Arc::ptr_eq(current, request));
            at.map(|at| current.requests.remove(at))
        };
    }

    /// Waits for a wake-up. It ends when the pool closes at the latest: closing wakes all.
    pub fn wait(&self) {
        if let Wake::Thread(woken, changed) = &self.wake {
            let woken = woken.lock();
            let mut woken = changed.wait_while(woken, |woken| !*woken);
            *woken = false;
        }
    }

    /// The same for so long at most. False if it was not woken.
    pub fn wait_for(&self, longest: Duration) -> bool {
        let Wake::Thread(woken, changed) = &self.wake else {
            return false;
        };
        let woken = woken.lock();
        let (mut woken, _) = changed.wait_timeout_while(woken, longest, |woken| !*woken);
        std::mem::take(&mut *woken)
    }

    /// The same for a main thread, for so many ms at most, or until there is a signal. False if it was not woken.
    pub fn wait_as_main(&self, longest: i32) -> bool {
        matches!(&self.wake, Wake::Main(bell) if bell.wait(longest) == Woken::Rung)
    }
}

impl<R> Stays for Worker<R> {
    fn stay(&self) -> &Stay {
        &self.stay
    }
}

impl<R> Announce for Worker<R> {
    fn announce(&self) {
        self.announced.store(true, Ordering::Release);
    }

    fn is_announced(&self) -> bool {
        self.announced.load(Ordering::Acquire)
    }

    fn id(&self) -> u64 {
        self.id
    }

    fn take_announced(&self) -> bool {
        // Nothing changes it meanwhile, and it hardly ever was.
        let announced = self.announced.load(Ordering::Acquire);
        if announced {
            self.announced.store(false, Ordering::Release);
        }
        announced
    }
}
