//! Pipes of this process alone.

use std::io::{Error, Result, pipe};
use std::os::fd::{AsRawFd, OwnedFd};

/// The end to read from and that to write to: nobody waits at them, and no program that is started has them.
pub fn without_waiting() -> Result<(OwnedFd, OwnedFd)> {
    let (reads, writes) = pipe()?;
    for end in [reads.as_raw_fd(), writes.as_raw_fd()] {
        // SAFETY: a descriptor of ours.
        if unsafe { libc::fcntl(end, libc::F_SETFL, libc::O_NONBLOCK) } != 0 {
            return Err(Error::last_os_error());
        }
    }
    Ok((reads.into(), writes.into()))
}
