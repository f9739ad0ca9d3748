//! Waking the thread of a link, which waits for its descriptors.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Default)]
pub struct Kick {
    ends: OnceLock<(UnixStream, UnixStream)>,
    /// It was kicked and has not looked since.
    pending: AtomicBool,
}

impl Kick {
    /// Before the thread is started.
    pub fn open(&self) -> std::io::Result<()> {
        let (ours, threads) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        threads.set_nonblocking(true)?;
        let _ = self.ends.set((ours, threads));
        Ok(())
    }

    /// Never waits. Before there is a thread, it does nothing: the thread looks at all first.
    pub fn kick(&self) {
        if self.pending.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some((ours, _)) = self.ends.get() {
            let _ = (&*ours).write(&[1]);
        }
    }

    /// What can be read when it was kicked.
    pub fn descriptor(&self) -> RawFd {
        self.ends
            .get()
            .map_or(-1, |(_, threads)| threads.as_raw_fd())
    }

    /// From here on it is to be kicked again. By the thread, before it looks.
    pub fn take(&self, readable: bool) {
        if readable && let Some((_, threads)) = self.ends.get() {
            let _ = (&*threads).read(&mut [0; 8]);
        }
        self.pending.swap(false, Ordering::AcqRel);
    }
}
