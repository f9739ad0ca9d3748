//! Large binaries on their way to the VM: they are written to a file without a name, from which the VM reads them.

use crate::mapping::Mapping;
use std::cell::Cell;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// As many bytes wait there at most. What does not fit is sent within its frame.
const MOST: u64 = 1 << 30;

struct Tray {
    file: Arc<File>,
    /// How many binaries the VM has not read yet.
    waiting: u32,
    /// Where the next one goes.
    end: u64,
    /// How much of it has pages.
    filled: u64,
    /// Of these.
    mapping: Option<Arc<Mapping>>,
}

/// None before it has come. Held for a move.
static TRAY: Mutex<Option<Tray>> = Mutex::new(None);

/// This is a forked child, which is not to write to it.
static OFF: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// How many were put there for the frame that is being made.
    static PUT: Cell<u32> = const { Cell::new(0) };
}

fn tray() -> MutexGuard<'static, Option<Tray>> {
    TRAY.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn open(file: OwnedFd) {
    let opened = Tray {
        file: Arc::new(file.into()),
        waiting: 0,
        end: 0,
        filled: 0,
        mapping: None,
    };
    let _former = tray().replace(opened);
}

/// Makes a frame and sends it. What is put there for it is given back unless it was sent.
pub fn frame(send: impl FnOnce() -> bool) -> bool {
    PUT.set(0);
    let sent = send();
    if !sent {
        give_back();
    }
    PUT.set(0);
    sent
}

/// What was put there for the frame that is being made is not sent.
pub fn give_back() {
    taken(PUT.take());
}

/// Puts bytes there, and says where. None if they do not fit.
pub fn put(bytes: &[u8]) -> Option<u64> {
    let size = bytes.len() as u64;
    if is_off() {
        return None;
    }
    let (at, file, mapping) = {
        let mut tray = tray();
        let tray = tray.as_mut()?;
        if size > MOST - tray.end {
            return None;
        }
        let (at, file) = (tray.end, Arc::clone(&tray.file));
        // Pages that are there are filled fastest through a mapping, new ones without.
        let mapping = tray.mapping(at + size);
        tray.filled = tray.filled.max(at + size);
        // Pages of their own: what one is written to is not what another is read from.
        tray.end = (at + size).next_multiple_of(4096);
        tray.waiting += 1;
        (at, file, mapping)
    };
    if let Some(mapping) = mapping {
        mapping.write(bytes, at as usize);
    } else if file.write_all_at(bytes, at).is_err() {
        taken(1);
        return None;
    }
    PUT.set(PUT.get() + 1);
    Some(at)
}

impl Tray {
    /// Of so many bytes, if they have pages.
    fn mapping(&mut self, end: u64) -> Option<Arc<Mapping>> {
        // Another thread may be about to fill what it has been given.
        let length = self.file.metadata().map_or(0, |metadata| metadata.len());
        if end > self.filled.min(length) {
            return None;
        }
        let mapped = self.mapping.as_ref().map_or(0, |mapping| mapping.size());
        if (mapped as u64) < end {
            let mapping = Mapping::new(&*self.file, length, true).ok()?;
            self.mapping = Some(Arc::new(mapping));
        }
        self.mapping.clone()
    }
}

/// So many more wait no longer.
pub fn taken(count: u32) {
    if count > 0
        && let Some(tray) = tray().as_mut()
    {
        tray.waiting = tray.waiting.saturating_sub(count);
        if tray.waiting == 0 {
            tray.end = 0;
        }
    }
}

/// Gives its memory to the system, unless something waits there.
pub fn trim() {
    if let Some(tray) = tray().as_mut()
        && tray.waiting == 0
    {
        tray.mapping = None;
        tray.filled = 0;
        let _ = tray.file.set_len(0);
    }
}

/// Whether this is a forked child.
pub fn is_off() -> bool {
    OFF.load(Ordering::Acquire)
}

/// This is a forked child.
pub fn leave() {
    OFF.store(true, Ordering::Release);
}
