//! What wakes an event loop that waits for descriptors: one that it can be told to watch.

#[cfg(not(target_os = "linux"))]
use crate::base::pipe;
use std::io::{Error, ErrorKind, Result};
#[cfg(target_os = "linux")]
use std::os::fd::FromRawFd;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

pub struct Waker {
    reads: OwnedFd,
    /// None where one descriptor is both.
    writes: Option<OwnedFd>,
    /// Since the loop has looked last.
    rung: AtomicBool,
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
        })
    }

    #[cfg(not(target_os = "linux"))]
    pub fn new() -> Result<Self> {
        let (reads, writes) = pipe::without_waiting()?;
        Ok(Waker {
            reads,
            writes: Some(writes),
            rung: AtomicBool::new(false),
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
        let to = self.writes.as_ref().unwrap_or(&self.reads).as_raw_fd();
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight bytes. Should a pipe be full, it was rung.
        unsafe { libc::write(to, one.as_ptr().cast(), one.len()) };
        true
    }

    /// For the loop, before it looks for what there is.
    pub fn heard(&self) {
        let mut bytes = [0u8; 64];
        loop {
            // SAFETY: room for so many bytes.
            let read =
                unsafe { libc::read(self.descriptor(), bytes.as_mut_ptr().cast(), bytes.len()) };
            if read >= 0 || Error::last_os_error().kind() != ErrorKind::Interrupted {
                break;
            }
        }
        self.rung.store(false, Ordering::SeqCst);
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
            assert!(!is_readable(&waker));
            waker.ring();
            waker.ring();
            assert!(is_readable(&waker));
            waker.heard();
        }
        Ok(())
    }
}
