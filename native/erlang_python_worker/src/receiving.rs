//! Reading the socket, and the descriptors that come with what is read.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind};
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// How many descriptors may come at once.
const MOST: usize = 16;

/// Room for them, aligned as their header is.
const ROOM: usize = 16 + MOST;

#[cfg(target_os = "linux")]
const FLAGS: libc::c_int = libc::MSG_CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const FLAGS: libc::c_int = 0;

/// Reads what is there. Descriptors come in the order in which they were sent.
pub fn receive(
    socket: RawFd,
    to: &mut [MaybeUninit<u8>],
    descriptors: &mut VecDeque<OwnedFd>,
) -> Result<usize, Error> {
    let mut room = [0usize; ROOM];
    let mut bytes = libc::iovec {
        iov_base: to.as_mut_ptr().cast(),
        iov_len: to.len(),
    };
    // SAFETY: a header of zeroes is an empty one; it is given room for so many bytes, which lives as long as it. What
    // has come is read as it says. Descriptors that have come are nobody else's.
    unsafe {
        let mut header: libc::msghdr = zeroed();
        header.msg_iov = &mut bytes;
        header.msg_iovlen = 1;
        header.msg_control = room.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&room) as _;
        let read = libc::recvmsg(socket, &mut header, FLAGS);
        let read = usize::try_from(read).map_err(|_| Error::last_os_error())?;
        let mut control = libc::CMSG_FIRSTHDR(&header);
        while !control.is_null() {
            if (*control).cmsg_level == libc::SOL_SOCKET && (*control).cmsg_type == libc::SCM_RIGHTS
            {
                let length = (*control).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let data: *const RawFd = libc::CMSG_DATA(control).cast();
                for at in 0..length / size_of::<RawFd>() {
                    let descriptor = data.add(at).read_unaligned();
                    descriptors.push_back(OwnedFd::from_raw_fd(descriptor));
                }
            }
            control = libc::CMSG_NXTHDR(&header, control);
        }
        if header.msg_flags & libc::MSG_CTRUNC != 0 {
            // Some were lost: there may be no more than so many open files.
            return Err(ErrorKind::OutOfMemory.into());
        }
        Ok(read)
    }
}
