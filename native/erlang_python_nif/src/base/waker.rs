//! What wakes an event loop that waits for descriptors: one that it can be told to watch.

use crate::base::lookout::{Luck, OFTEN};
#[cfg(not(target_os = "linux"))]
use crate::base::pipe;
use std::io::{Error, ErrorKind, Result};
#[cfg(target_os = "linux")]
use std::os::fd::FromRawFd;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// How long the loop looks out, at most: an event loop has further to go to its sleep and back than other workers.
const LONG: Duration = Duration::from_micros(30);

/// After so long it lets others have the processor in between: the caller may wait for that very one.
const ALONE: Duration = Duration::from_micros(3);

pub struct Waker {
    reads: OwnedFd,
    /// None where one descriptor is both.
    writes: Option<OwnedFd>,
    /// Since the loop has looked last.
    rung: AtomicBool,
    /// How often by the descriptor, too, what it has been read for left out. Counted before it is written: nothing is to be
    /// left there that is not known here, for the loop would turn as fast as it can.
    written: AtomicUsize,
    /// The loop looks out for it, and needs no waking.
    looks_out: AtomicBool,
}

impl Waker {
    #[cfg(target_os = "linux")]
    pub fn new() -> Result<Self> {
        // SAFETY: no preconditions.
        let reads = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if reads < 0 {
            return Err(Error::last_os_error());
        }
        Ok(Waker {
            // SAFETY: a new descriptor, which is ours.
            reads: unsafe { OwnedFd::from_raw_fd(reads) },
            writes: None,
            rung: AtomicBool::new(false),
            written: AtomicUsize::new(0),
            looks_out: AtomicBool::new(false),
        })
    }

    #[cfg(not(target_os = "linux"))]
    pub fn new() -> Result<Self> {
        let (reads, writes) = pipe::without_waiting()?;
        Ok(Waker {
            reads,
            writes: Some(writes),
            rung: AtomicBool::new(false),
            written: AtomicUsize::new(0),
            looks_out: AtomicBool::new(false),
        })
    }

    /// What the loop watches for reading.
    pub fn descriptor(&self) -> RawFd {
        self.reads.as_raw_fd()
    }

    /// Wakes the loop, unless that has been done since it has looked last. After what it is to find. Never waits. Says
    /// whether it was the first.
    pub fn ring(&self) -> bool {
        if self.rung.swap(true, Ordering::SeqCst) {
            return false;
        }
        // In one order with `look_out`: either that sees the ring, or this that nobody looks out.
        if !self.looks_out.load(Ordering::SeqCst) {
            self.write();
        }
        true
    }

    /// Makes the descriptor readable.
    pub fn write(&self) {
        self.written.fetch_add(1, Ordering::SeqCst);
        let to = self.writes.as_ref().unwrap_or(&self.reads).as_raw_fd();
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight bytes, which are written together or not at all.
        let written = unsafe { libc::write(to, one.as_ptr().cast(), one.len()) };
        // Should a pipe be full, it was rung.
        if written < 0 {
            self.written.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Whether the loop has been rung while it looked out, and has not heard that.
    pub fn is_unheard(&self) -> bool {
        self.rung.load(Ordering::SeqCst) && self.written.load(Ordering::SeqCst) == 0
    }

    /// For the loop, before it waits: looks for some µs whether it is rung, if that pays off. If it was, the descriptor
    /// need not be readable.
    pub fn look_out(&self, luck: &Luck) -> bool {
        self.looks_out.store(true, Ordering::SeqCst);
        if luck.is_good_for(OFTEN) {
            luck.look_politely(LONG, ALONE, || self.rung.load(Ordering::Acquire));
        }
        self.looks_out.store(false, Ordering::SeqCst);
        self.rung.load(Ordering::SeqCst)
    }

    /// For the loop, before it looks for what there is.
    pub fn heard(&self) {
        while self.written.load(Ordering::SeqCst) > 0 {
            match self.read() {
                Ok(count) => self.written.fetch_sub(count, Ordering::SeqCst),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // It is about to be written, and makes the descriptor readable once more, for nothing.
                Err(_) => break,
            };
        }
        self.rung.store(false, Ordering::SeqCst);
    }

    /// How many of what was written are read.
    fn read(&self) -> Result<usize> {
        let mut bytes = [0u8; 64];
        // SAFETY: room for so many bytes.
        let read = unsafe { libc::read(self.descriptor(), bytes.as_mut_ptr().cast(), bytes.len()) };
        match usize::try_from(read) {
            Err(_) => Err(Error::last_os_error()),
            // Each has added one.
            Ok(_) if self.writes.is_none() => {
                let (sum, _) = bytes.split_at(8);
                Ok(sum.try_into().map_or(0, u64::from_ne_bytes) as usize)
            }
            Ok(read) => Ok(read / 8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_readable(waker: &Waker) -> bool {
        let mut look = libc::pollfd {
            fd: waker.descriptor(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one descriptor to look at.
        unsafe { libc::poll(&mut look, 1, 0) > 0 }
    }

    #[test]
    fn one_that_was_rung_is_readable_until_it_was_heard_and_can_be_rung_again() -> Result<()> {
        let waker = Waker::new()?;
        for _ in 0..3 {
            assert!(!is_readable(&waker) && !waker.look_out(&Luck::new()));
            waker.ring();
            waker.ring();
            assert!(is_readable(&waker));
            waker.heard();
        }
        Ok(())
    }

    /// At its end nothing is left in the descriptor that it does not know of.
    #[test]
    fn one_that_looks_out_misses_no_ring() -> Result<()> {
        let (waker, luck) = (Waker::new()?, Luck::new());
        let heard = AtomicBool::new(true);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    let mut spins = 0u32;
                    while !heard.swap(false, Ordering::SeqCst) {
                        spins += 1;
                        // The other one may have to wait for this processor.
                        if spins.is_multiple_of(1_000) {
                            std::thread::yield_now();
                        }
                        std::hint::spin_loop();
                    }
                    assert!(waker.ring());
                }
            });
            for _ in 0..10_000 {
                while !waker.look_out(&luck) && !is_readable(&waker) {
                    std::thread::yield_now();
                }
                // Whatever has kept it from hearing that, it is still there.
                assert!(waker.is_unheard() || waker.written.load(Ordering::SeqCst) > 0);
                waker.heard();
                heard.store(true, Ordering::SeqCst);
            }
        });
        waker.heard();
        assert!(!is_readable(&waker) && waker.written.load(Ordering::SeqCst) == 0);
        Ok(())
    }
}
