//! What wakes a thread that signals are to wake as well: it waits for a pipe, or for what it shares with the VM.

use crate::base::pipe;
use crate::base::segment::Segment;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub struct Bell {
    reads: OwnedFd,
    writes: OwnedFd,
    /// In place of the pipe: requests that come there wake the thread, too.
    segment: OnceLock<&'static Segment>,
    /// Since the thread has looked last.
    rung: AtomicBool,
}

/// What has woken the thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken {
    /// Somebody has rung.
    Rung,
    /// A signal, or nothing.
    Otherwise,
}

impl Bell {
    pub fn new() -> Result<Self> {
        let (reads, writes) = pipe::without_waiting()?;
        Ok(Bell {
            reads,
            writes,
            segment: OnceLock::new(),
            rung: AtomicBool::new(false),
        })
    }

    /// At any time. Who waits for the pipe is woken.
    pub fn share(&self, segment: &'static Segment) {
        let _ = self.segment.set(segment);
        self.rung.store(true, Ordering::SeqCst);
        self.ring_pipe();
    }

    fn ring_pipe(&self) {
        // SAFETY: one byte.
        unsafe { libc::write(self.writes.as_raw_fd(), [0u8].as_ptr().cast(), 1) };
    }

    /// Never waits: should the pipe be full, it was rung.
    pub fn ring(&self) {
        if let Some(segment) = self.segment.get() {
            self.rung.store(true, Ordering::SeqCst);
            return segment.wake();
        }
        self.ring_pipe();
    }

    /// Waits until it is rung, a signal has come to this thread, or so many ms have passed.
    pub fn wait(&self, longest: i32) -> Woken {
        if let Some(segment) = self.segment.get() {
            let has_work = || self.rung.load(Ordering::SeqCst) || segment.has_work();
            segment.sleep(Duration::from_millis(longest.max(0) as u64), has_work);
            return if self.rung.swap(false, Ordering::SeqCst) || segment.has_work() {
                Woken::Rung
            } else {
                Woken::Otherwise
            };
        }
        let mut look = libc::pollfd {
            fd: self.reads.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one descriptor to look at.
        let found = unsafe { libc::poll(&mut look, 1, longest) };
        if found > 0 && self.take() {
            Woken::Rung
        } else {
            Woken::Otherwise
        }
    }

    /// Whether it was rung since the last time.
    fn take(&self) -> bool {
        let mut rung = false;
        let mut bytes = [0u8; 64];
        loop {
            // SAFETY: room for so many bytes.
            let read = unsafe {
                libc::read(
                    self.reads.as_raw_fd(),
                    bytes.as_mut_ptr().cast(),
                    bytes.len(),
                )
            };
            match read {
                1.. => rung = true,
                -1 if Error::last_os_error().kind() == ErrorKind::Interrupted => {}
                _ => return rung,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_is_heard_once_however_often_it_was_rung() -> Result<()> {
        let bell = Bell::new()?;
        assert_eq!(bell.wait(0), Woken::Otherwise);
        for _ in 0..100_000 {
            bell.ring();
        }
        assert_eq!(bell.wait(1_000), Woken::Rung);
        assert_eq!(bell.wait(0), Woken::Otherwise);
        Ok(())
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn one_that_shares_a_segment_is_heard_as_well_as_what_comes_there() -> Result<()> {
        let bell = Bell::new()?;
        let (vm, descriptor) = Segment::create()?;
        bell.share(Box::leak(Box::new(Segment::open(&descriptor)?)));
        assert_eq!(bell.wait(0), Woken::Rung);
        assert_eq!(bell.wait(0), Woken::Otherwise);
        bell.ring();
        bell.ring();
        assert_eq!(bell.wait(1_000), Woken::Rung);
        assert_eq!(bell.wait(0), Woken::Otherwise);
        std::thread::scope(|scope| {
            for by_ring in [true, false] {
                let waits = scope.spawn(|| bell.wait(60_000));
                if by_ring {
                    bell.ring();
                } else {
                    vm.offer(b"request");
                }
                assert_eq!(waits.join().ok(), Some(Woken::Rung));
            }
        });
        Ok(())
    }

    #[test]
    fn one_that_is_rung_wakes_a_thread_that_waits() -> Result<()> {
        let bell = Bell::new()?;
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| bell.wait(60_000));
            bell.ring();
            assert_eq!(waits.join().ok(), Some(Woken::Rung));
        });
        Ok(())
    }
}
