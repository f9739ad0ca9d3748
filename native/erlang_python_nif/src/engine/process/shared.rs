//! The memory that a link shares with its worker for small frames, and who looks there; `at_once.rs` says how it is used.

use crate::base::lookout::Luck;
use crate::base::segment::Segment;
use erlang_python_wire::Writer;
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

#[derive(Default)]
pub struct Shared {
    segment: OnceLock<Segment>,
    /// Held while a frame is handled, which frees terms and runs their destructors: so it is none of `base/lock.rs`, and
    /// schedulers only try it.
    reading: Mutex<()>,
    /// How many look this moment.
    pub looking: AtomicUsize,
    /// How often callers have come by that cannot be served at once.
    pub visits: AtomicUsize,
    /// The link's thread looks every now and then.
    pub naps: AtomicBool,
    /// It was asleep when something was put there, and nobody has looked since.
    woken: AtomicBool,
    pub callers: Luck,
    /// Of those who look for the answers of others.
    pub crowd: Luck,
    pub patient: Luck,
    pub callbacks: Luck,
}

impl Shared {
    /// Makes it: the worker's end. Until that has it, and if there is none, all goes by the socket.
    pub fn open(&self) -> Option<File> {
        let (segment, descriptor) = Segment::create().ok()?;
        segment.arm();
        self.segment.set(segment).ok()?;
        Some(File::from(descriptor))
    }

    /// Nobody looks all the time.
    pub fn arm(&self, segment: &Segment) {
        match self.naps.load(Ordering::Relaxed) {
            true => segment.arm_for_idle(),
            false => segment.arm(),
        }
    }

    pub fn segment(&self) -> Option<&Segment> {
        self.segment.get()
    }

    /// So many frames of the worker's have been handled that came by the socket.
    pub fn heard(&self, count: u64) {
        if let Some(segment) = self.segment() {
            segment.set_heard(count);
        }
    }

    /// Puts a frame where the worker finds it, if it has handled all that were sent by the socket, so many.
    pub fn offer(&self, sent: u64, frame: &Writer) -> bool {
        let Some(segment) = self.segment() else {
            return false;
        };
        let sleeps = segment.is_asleep();
        let offered = segment.handled() == sent && segment.offer(frame.fields());
        if offered && sleeps {
            self.woken.store(true, Ordering::Relaxed);
        }
        offered
    }

    /// Whether it was asleep when it was given what is looked for now.
    pub fn was_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed) && self.woken.swap(false, Ordering::Relaxed)
    }

    /// Whether there is room for one that is to be taken later.
    pub fn has_room_ahead(&self, sent: u64) -> bool {
        let segment = self.segment();
        segment.is_some_and(|segment| segment.handled() == sent && segment.has_room_ahead())
    }

    /// Lays a request there that the worker is to take later. Says where.
    pub fn lay(&self, sent: u64, frame: &Writer) -> Option<usize> {
        let segment = self.segment()?;
        (segment.handled() == sent).then(|| segment.lay(frame.fields()))?
    }

    /// Whether a thread of the worker's that waits for something looks there.
    pub fn is_listening(&self) -> bool {
        self.segment().is_some_and(Segment::is_listening)
    }

    pub fn read(&self) -> MutexGuard<'_, ()> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn try_read(&self) -> Option<MutexGuard<'_, ()>> {
        match self.reading.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
