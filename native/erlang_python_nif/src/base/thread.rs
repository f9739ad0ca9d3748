//! What the system knows of a thread: how long it has had a processor, and whether it wants one.

use std::cell::Cell;

/// A thread of this process. What is asked of one that has ended is answered for nobody, or for a successor that has
/// its number.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Thread(u64);

thread_local! {
    static OWN: Cell<u64> = const { Cell::new(0) };
}

impl Thread {
    /// As a number, and back. 0 is nobody.
    pub fn from_bits(bits: u64) -> Self {
        Thread(bits)
    }

    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// The current thread, or nobody where the system does not tell.
    pub fn current() -> Self {
        let known = OWN.get();
        if known != 0 {
            return Thread(known);
        }
        let found = system::current();
        OWN.set(found);
        Thread(found)
    }

    /// How long it has had a processor, in ns.
    pub fn time(self) -> Option<u64> {
        system::time(self.0)
    }

    /// Whether it waits for something that is not a processor. True as well where the system does not say.
    pub fn is_asleep(self) -> bool {
        system::is_asleep(self.0)
    }

    /// Whether the system tells the time of threads so finely that one at work is not taken for one that waits, and which
    /// of them want a processor: not without /proc, or with that of others.
    pub fn is_told() -> bool {
        let own = Self::current();
        if own.is_asleep() {
            return false;
        }
        let Some(begun) = own.time() else {
            return false;
        };
        (0..1_000).any(|_| {
            own.time()
                .is_some_and(|now| now > begun && now - begun < FINE)
        })
    }
}

/// In ns.
const FINE: u64 = 200_000;

#[cfg(target_os = "linux")]
mod system {
    use std::fs::File;
    use std::io::Read;

    /// In a thread's clock: of the time that it has had a processor.
    const SCHEDULED: u32 = 2;
    const OF_THREAD: u32 = 4;

    /// The clock of its time, and its number.
    pub fn current() -> u64 {
        // By itself, as `gettid` and `pthread_getcpuclockid` are from a newer glibc than we need.
        // SAFETY: no preconditions.
        let number = unsafe { libc::syscall(libc::SYS_gettid) };
        let Ok(number) = u32::try_from(number) else {
            return 0;
        };
        // The kernel's own way to number these clocks.
        let clock = !number << 3 | SCHEDULED | OF_THREAD;
        u64::from(clock) << 32 | u64::from(number)
    }

    pub fn time(thread: u64) -> Option<u64> {
        if thread == 0 {
            return None;
        }
        let clock = ((thread >> 32) as u32).cast_signed();
        // SAFETY: zeros are a valid `timespec`.
        let mut time: libc::timespec = unsafe { std::mem::zeroed() };
        // SAFETY: `time` may be written. The clock of a thread that has ended is refused.
        let failed = unsafe { libc::clock_gettime(clock, &raw mut time) };
        if failed != 0 {
            return None;
        }
        let seconds = u64::try_from(time.tv_sec).ok()?;
        Some(seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).ok()?)
    }

    pub fn is_asleep(thread: u64) -> bool {
        state(thread as u32).is_none_or(|state| state != b'R')
    }

    /// The letter after the name, which is in brackets and may have any itself.
    fn state(number: u32) -> Option<u8> {
        let mut file = File::open(format!("/proc/self/task/{number}/stat")).ok()?;
        let mut text = [0; 128];
        let length = file.read(&mut text).ok()?;
        let text = text.get(..length)?;
        let end = text.iter().rposition(|byte| *byte == b')')?;
        text.get(end + 2).copied()
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub fn current() -> u64 {
        0
    }

    pub fn time(_thread: u64) -> Option<u64> {
        None
    }

    pub fn is_asleep(_thread: u64) -> bool {
        true
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn the_time_of_a_thread_stands_still_while_it_waits() {
        assert!(Thread::is_told());
        let (told, thread) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        let waits = std::thread::spawn(move || {
            let _ = told.send(Thread::current());
            let _ = ends.recv();
        });
        let thread = thread.recv().unwrap_or_default();
        while !thread.is_asleep() {
            std::thread::yield_now();
        }
        let time = thread.time();
        assert!(time.is_some());
        let own = Thread::current().time();
        while Thread::current().time() == own {}
        assert_eq!((thread.time(), thread.is_asleep()), (time, true));
        assert!(!Thread::current().is_asleep());
        drop(end);
        assert!(waits.join().is_ok());
        assert_eq!(Thread::default().time(), None);
    }
}
