//! Binaries that are sent again and again, as buffers: each is copied once into memory that nobody can change, which
//! all workers see. It is kept as long as it is used, and some seconds more.

use super::beside;
use super::encoded::{Encoded, Large, Place};
use super::link::{Errand, Link};
use super::memory::Memory;
use super::own;
use crate::base::lock::Mutex;
use crate::base::term_env::OwnedTerm;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long it is kept after its last use.
const IDLE: Duration = Duration::from_secs(5);

/// How much is kept, at most.
const MOST: u64 = 1 << 30;

pub struct Shown {
    /// Which binary it is: its address is nobody else's as long as it lives.
    data: usize,
    _binary: OwnedTerm,
    memory: Arc<Memory>,
    /// Frames that are about to be sent.
    pins: AtomicUsize,
}

struct Entry {
    shown: Arc<Shown>,
    used: Instant,
    /// The links whose workers see it.
    links: Vec<u64>,
}

/// The one that was used last is last. Held for a look-up or a move.
static ALL: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// Keeps what a frame refers to, until it was sent.
#[derive(Default)]
pub struct Pins(Vec<Arc<Shown>>);

impl Drop for Pins {
    fn drop(&mut self) {
        for shown in &self.0 {
            shown.pins.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Where a binary is that was placed before, for any worker.
fn find(link: &Link, data: &[u8], pins: &mut Pins) -> Option<Place> {
    let mut all = ALL.lock();
    let at = all.iter().position(|entry| entry.shown.is(data))?;
    let mut entry = all.remove(at);
    entry.used = Instant::now();
    entry.shown.pins.fetch_add(1, Ordering::AcqRel);
    pins.0.push(Arc::clone(&entry.shown));
    let number = entry.shown.memory.number;
    if !entry.links.contains(&link.number) {
        entry.links.push(link.number);
        // While this is locked: whoever finds it next finds it with the worker. Nothing is written here.
        beside::send_memory(link, &entry.shown.memory, false);
    }
    all.push(entry);
    Some(Place {
        memory: number,
        at: 0,
    })
}

/// Shows a binary to the worker.
pub fn place(link: &Link, large: &Large<'_>, pins: &mut Pins) -> Option<Place> {
    if let Some(place) = find(link, large.data, pins) {
        return Some(place);
    }
    if large.data.len() as u64 > MOST {
        return None;
    }
    let shown = Arc::new(Shown {
        data: large.data.as_ptr() as usize,
        _binary: OwnedTerm::new(large.term),
        memory: Arc::new(Memory::of(large.data).ok()?),
        pins: AtomicUsize::new(0),
    });
    let gone = {
        let mut all = ALL.lock();
        all.push(Entry {
            shown,
            used: Instant::now(),
            links: Vec::new(),
        });
        let mut size: u64 = all.iter().map(|entry| entry.shown.memory.size).sum();
        let last = all.len() - 1;
        let mut at = 0;
        take(&mut all, |entry| {
            at += 1;
            let goes = size > MOST && at <= last && entry.is_free();
            if goes {
                size -= entry.shown.memory.size;
            }
            goes
        })
    };
    forget(gone);
    beside::tidy_later();
    find(link, large.data, pins)
}

/// How many bytes of the terms the worker does not see yet.
pub fn unseen(link: &Link, encoded: &Encoded) -> usize {
    let mut size = encoded.len();
    for large in encoded.large().filter(|large| large.again) {
        let all = ALL.lock();
        let seen = |entry: &Entry| entry.shown.is(large.data) && entry.links.contains(&link.number);
        if all.iter().any(seen) {
            size -= large.data.len();
        }
    }
    size
}

impl Shown {
    fn is(&self, data: &[u8]) -> bool {
        self.data == data.as_ptr() as usize && self.memory.size == data.len() as u64
    }
}

impl Entry {
    fn is_free(&self) -> bool {
        self.shown.pins.load(Ordering::Acquire) == 0
    }
}

fn take(all: &mut Vec<Entry>, mut goes: impl FnMut(&Entry) -> bool) -> Vec<Entry> {
    let (gone, kept) = std::mem::take(all)
        .into_iter()
        .partition(|entry| goes(entry));
    *all = kept;
    gone
}

/// Gives back what was not used for a while. Says whether there is more.
pub fn tidy() -> bool {
    let (gone, more) = {
        let mut all = ALL.lock();
        let gone = take(&mut all, |entry| {
            entry.used.elapsed() >= IDLE && entry.is_free()
        });
        (gone, !all.is_empty())
    };
    forget(gone);
    more
}

/// Has the workers forget them, whose threads let go of the memory.
fn forget(gone: Vec<Entry>) {
    for entry in gone {
        for link in entry.links.iter().filter_map(|number| own::link(*number)) {
            link.post(Errand::Forget(Arc::clone(&entry.shown)));
        }
    }
}

/// On the link's thread.
pub fn send_forget(link: &Link, shown: &Shown) {
    beside::send_forget(link, shown.memory.number);
}
