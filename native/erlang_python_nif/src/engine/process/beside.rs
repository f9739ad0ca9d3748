//! Large binaries on their way to a worker process: they are in memory that it sees, too.
//!
//! Memory is written to again when the worker has said that nobody sees it any more: to fill pages that are there
//! takes a fraction of the time that new ones take. What lies idle is given back after a while.

use super::encoded::{Encoded, Large, Place};
use super::link::{Errand, Link};
use super::memory::Memory;
use super::own;
use super::shown::{self, Pins};
use crate::base::clock;
use crate::base::lock::Mutex;
use erlang_python_wire::frame::to_worker;
use erlang_python_wire::{Broken, Writer};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long memory may lie idle.
const IDLE: Duration = Duration::from_secs(2);

/// How much of it one worker may have.
const MOST_IDLE: u64 = 256 << 20;

/// How many pieces of memory one worker sees at once, at most: each is an open file of both.
const MOST: usize = 64;

/// The memory that a worker sees.
#[derive(Default)]
pub struct Beside {
    /// Held for a look-up or a move.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    busy: HashMap<u64, Arc<Memory>>,
    /// The one that was used last is last.
    idle: Vec<(Arc<Memory>, Instant)>,
}

/// Puts the large binaries of terms where the worker sees them, and tells it so. None in the place of one which has
/// to be sent within the frame. What is returned is to be kept until the frame was sent.
pub fn place(link: &Link, encoded: &Encoded) -> (Vec<Option<Place>>, Pins) {
    let mut pins = Pins::default();
    let mut places: Vec<Option<Place>> = encoded
        .large()
        .map(|large| large.again.then(|| shown::place(link, &large, &mut pins))?)
        .collect();
    let rest: Vec<_> = places
        .iter_mut()
        .zip(encoded.large())
        .filter(|(place, _)| place.is_none())
        .collect();
    let mut size = 0;
    let starts: Vec<u64> = rest
        .iter()
        .map(|(_, large)| {
            let at = size;
            // Pages of their own, as they are in the memory of a binary.
            size += (large.data.len() as u64).next_multiple_of(4096);
            at
        })
        .collect();
    if size > 0
        && let Some((memory, is_new)) = link.beside.take(link, size)
    {
        let write = |((_, large), at): (&(_, Large<'_>), &u64)| match is_new {
            true => memory.write(large.data, *at),
            false => memory.write_again(large.data, *at),
        };
        let mut written = rest.iter().zip(&starts).map(write);
        if written.all(|written| written.is_ok()) {
            for ((place, _), at) in rest.into_iter().zip(starts) {
                *place = Some(Place {
                    memory: memory.number,
                    at,
                });
            }
        } else {
            // There is no memory for it.
            link.beside.drop_unused(link, memory.number);
        }
        tidy_later();
    }
    (places, pins)
}

impl Beside {
    /// Memory that nobody sees, and the worker knows; and whether it is new.
    fn take(&self, link: &Link, size: u64) -> Option<(Arc<Memory>, bool)> {
        {
            let mut state = self.state.lock();
            if state.busy.len() >= MOST {
                return None;
            }
            // Not for what is much smaller: it would wait for nothing.
            let fits = |memory: &Memory| memory.size >= size && memory.size / 4 <= size;
            let found = state.idle.iter().rposition(|(memory, _)| fits(memory));
            if let Some(at) = found {
                let (memory, _) = state.idle.remove(at);
                state.busy.insert(memory.number, Arc::clone(&memory));
                return Some((memory, false));
            }
        }
        // Some more, for what is a little larger next time.
        let step = (size.next_power_of_two() / 8).max(1 << 20);
        let memory = Arc::new(Memory::new(size.next_multiple_of(step)).ok()?);
        let held = Arc::clone(&memory);
        self.state.lock().busy.insert(memory.number, held);
        send_memory(link, &memory, true);
        Some((memory, true))
    }

    /// No frame refers to it after all.
    fn drop_unused(&self, link: &Link, number: u64) {
        let memory = self.state.lock().busy.remove(&number);
        forget(link, memory);
    }

    /// The worker says that nobody sees it any more.
    pub fn free(&self, link: &Link, number: u64) -> Result<(), Broken> {
        let mut gone = Vec::new();
        {
            let mut state = self.state.lock();
            let memory = state.busy.remove(&number);
            let memory = memory.ok_or(Broken("it frees memory that it does not see"))?;
            state.idle.push((memory, Instant::now()));
            let mut size: u64 = state.idle.iter().map(|(memory, _)| memory.size).sum();
            while size > MOST_IDLE && state.idle.len() > 1 {
                let (memory, _) = state.idle.remove(0);
                size -= memory.size;
                gone.push(memory);
            }
        }
        forget(link, gone);
        Ok(())
    }

    /// Gives back what lies idle. Says whether there is more.
    fn tidy(&self, link: &Link) -> bool {
        let (gone, more) = {
            let mut state = self.state.lock();
            let idle = std::mem::take(&mut state.idle);
            let (gone, kept): (Vec<_>, Vec<_>) = idle
                .into_iter()
                .partition(|(_, since)| since.elapsed() >= IDLE);
            state.idle = kept;
            (gone, !state.idle.is_empty() || !state.busy.is_empty())
        };
        forget(link, gone.into_iter().map(|(memory, _)| memory));
        more
    }

    /// The worker has ended.
    pub fn close(&self) {
        let _left = std::mem::take(&mut *self.state.lock());
    }
}

/// Shows memory to the worker. `returned`: it says when nobody sees it any more.
pub fn send_memory(link: &Link, memory: &Arc<Memory>, returned: bool) {
    let mut frame = Writer::frame(to_worker::MEMORY);
    frame.u64(memory.number);
    frame.u64(memory.size);
    frame.u8(returned.into());
    if let Ok(file) = memory.file.try_clone() {
        link.send_with(frame, Arc::new(file));
    }
}

fn forget(link: &Link, gone: impl IntoIterator<Item = Arc<Memory>>) {
    for memory in gone {
        send_forget(link, memory.number);
    }
}

pub fn send_forget(link: &Link, number: u64) {
    let mut frame = Writer::frame(to_worker::FORGET);
    frame.u64(number);
    link.send(frame);
}

/// Somebody looks every now and then what lies idle.
static TIDIES: AtomicBool = AtomicBool::new(false);

/// Has what lies idle given back, later.
pub fn tidy_later() {
    if TIDIES.swap(true, Ordering::AcqRel) {
        return;
    }
    clock::after(IDLE / 2, move |_, _| {
        TIDIES.store(false, Ordering::Release);
        let mut more = shown::tidy();
        for link in own::all() {
            if link.has_beside.swap(false, Ordering::AcqRel) {
                link.post(Errand::Tidy);
                more = true;
            }
        }
        (more && !TIDIES.swap(true, Ordering::AcqRel)).then_some(IDLE / 2)
    });
}

/// On the link's thread: to give pages back takes time.
pub fn tidy(link: &Link) {
    if let Some(frame) = link.tray.tidy() {
        link.send(frame);
    }
    let more = link.tray.is_full() | link.beside.tidy(link);
    if more {
        used(link);
    }
}

/// There is something to be looked at.
pub fn used(link: &Link) {
    link.has_beside.store(true, Ordering::Release);
    tidy_later();
}
