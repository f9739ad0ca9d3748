//! Writing to a socket, with a descriptor that goes along.

use std::io::{self, Write};
use std::mem::zeroed;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

#[cfg(target_os = "linux")]
const FLAGS: libc::c_int = libc::MSG_NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const FLAGS: libc::c_int = 0;

/// Writes what can be written at once, as `write` does. The descriptor goes with the first byte.
pub fn write(mut socket: &UnixStream, bytes: &[u8], with: Option<RawFd>) -> io::Result<usize> {
    let Some(descriptor) = with else {
        return socket.write(bytes);
    };
    // Room for a header and a descriptor, aligned as the header is.
    let mut room = [0usize; 8];
    let mut bytes = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: a header of zeroes is an empty one; it is given room enough, which lives as long as it, and is written
    // to where it says.
    let sent = unsafe {
        let size = size_of::<RawFd>() as libc::c_uint;
        let mut header: libc::msghdr = zeroed();
        header.msg_iov = &mut bytes;
        header.msg_iovlen = 1;
        header.msg_control = room.as_mut_ptr().cast();
        header.msg_controllen = libc::CMSG_SPACE(size) as _;
        let control = libc::CMSG_FIRSTHDR(&header);
        (*control).cmsg_level = libc::SOL_SOCKET;
        (*control).cmsg_type = libc::SCM_RIGHTS;
        (*control).cmsg_len = libc::CMSG_LEN(size) as _;
        libc::CMSG_DATA(control)
            .cast::<RawFd>()
            .write_unaligned(descriptor);
        libc::sendmsg(socket.as_raw_fd(), &header, FLAGS)
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}
