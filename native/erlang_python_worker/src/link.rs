//! The socket to the VM.
//!
//! Any thread writes, with the GIL or without. That cannot wait for ever: the VM always reads, and when it is gone
//! the process ends.

use crate::receiving::receive;
use crate::slot;
use crate::tray;
use erlang_python_host::Shared;
use erlang_python_wire::frame::{to_vm, to_worker};
use erlang_python_wire::{MAX_FRAME, Reader, Writer, writer::LENGTH};
use std::collections::VecDeque;
use std::io::{Error, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Closed in forked children, by which the VM would take this process for one that lives.
static SOCKET: AtomicI32 = AtomicI32::new(-1);

/// One frame after the other.
static WRITING: Mutex<()> = Mutex::new(());

/// How many there were.
static SENT: AtomicU64 = AtomicU64::new(0);

/// So much is read at once.
const ROOM: usize = 64 << 10;

/// Frames that are larger leave no room behind.
const KEPT: usize = 1 << 20;

/// Once. The socket stays open as long as the process lives.
pub fn open(socket: OwnedFd) -> std::io::Result<()> {
    // What was tried before, in the process that this one was forked from, has gone nowhere.
    SENT.store(0, Ordering::SeqCst);
    SOCKET.store(socket.as_raw_fd(), Ordering::Release);
    std::mem::forget(socket);
    #[cfg(target_vendor = "apple")]
    // SAFETY: a socket of ours, and an option with a number.
    unsafe {
        let on: libc::c_int = 1;
        libc::setsockopt(
            self::socket(),
            libc::SOL_SOCKET,
            libc::SO_NOSIGPIPE,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        );
    }
    // SAFETY: the function lives as long as the process.
    match unsafe { libc::pthread_atfork(None, None, Some(close_in_child)) } {
        0 => Ok(()),
        error => Err(Error::from_raw_os_error(error)),
    }
}

unsafe extern "C" fn close_in_child() {
    tray::leave();
    slot::leave();
    let socket = SOCKET.swap(-1, Ordering::AcqRel);
    if socket >= 0 {
        // SAFETY: it is ours, and nothing in the child uses it.
        unsafe { libc::close(socket) };
    }
}

fn socket() -> RawFd {
    SOCKET.load(Ordering::Acquire)
}

/// Sends a frame. False if it is too large, or the VM is gone.
pub fn send(frame: Writer) -> bool {
    let Some(bytes) = frame.finish() else {
        return false;
    };
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    SENT.fetch_add(1, Ordering::SeqCst);
    write(&bytes)
}

/// Rings for what is in the memory that both share.
pub fn ring() {
    if let Some(bytes) = Writer::frame(to_vm::BELL).finish() {
        let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        write(&bytes);
    }
}

/// How many frames were sent, or are being sent.
pub fn sent() -> u64 {
    SENT.load(Ordering::SeqCst)
}

fn write(mut bytes: &[u8]) -> bool {
    #[cfg(target_os = "linux")]
    const FLAGS: i32 = libc::MSG_NOSIGNAL;
    #[cfg(not(target_os = "linux"))]
    const FLAGS: i32 = 0;
    while !bytes.is_empty() {
        // SAFETY: so many bytes.
        let sent = unsafe { libc::send(socket(), bytes.as_ptr().cast(), bytes.len(), FLAGS) };
        match usize::try_from(sent) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(_) if Error::last_os_error().kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}

/// What has come.
#[derive(Default)]
pub struct Incoming {
    bytes: Vec<u8>,
    /// How much of it has been handled.
    handled: usize,
    /// The frame that is being handled, if large binaries may be in it: they are not copied.
    large: Option<Shared>,
    /// Those that no frame has claimed.
    descriptors: VecDeque<OwnedFd>,
}

/// The kind of a frame, its fields, what they are in if large binaries may be among them, and the descriptor that
/// came with it.
pub type Frame<'f> = (u8, Reader<'f>, Option<&'f Shared>, Option<OwnedFd>);

impl Incoming {
    /// None when the VM is gone, or does not speak our language.
    pub fn next(&mut self) -> Option<Frame<'_>> {
        self.large = None;
        let length = loop {
            match self.complete()? {
                Some(length) => break length,
                None => self.read()?,
            }
        };
        let begin = self.handled + LENGTH;
        self.handled = begin + length;
        if length > KEPT {
            let rest = self.bytes.split_off(self.handled);
            let frame = std::mem::replace(&mut self.bytes, rest);
            self.handled = 0;
            self.large = Some(Shared::new(frame));
        }
        let mut fields = match &self.large {
            Some(large) => Reader::new(&large.bytes()[begin..]),
            None => Reader::new(&self.bytes[begin..self.handled]),
        };
        let kind = fields.u8().ok()?;
        let descriptor = match kind {
            to_worker::MEMORY | to_worker::TRAY | to_worker::SEGMENT => {
                Some(self.descriptors.pop_front()?)
            }
            _ => None,
        };
        Some((kind, fields, self.large.as_ref(), descriptor))
    }

    /// Leaves no room behind that frames have needed which do not come again.
    pub fn shrink(&mut self) {
        self.bytes.drain(..self.handled);
        self.handled = 0;
        self.bytes.shrink_to_fit();
    }

    /// The length of the next frame, if all of it is there. None if it cannot be a frame.
    fn complete(&self) -> Option<Option<usize>> {
        let left = &self.bytes[self.handled..];
        let Some((length, rest)) = left.split_first_chunk::<LENGTH>() else {
            return Some(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length == 0 || length > MAX_FRAME {
            return None;
        }
        Some((rest.len() >= length).then_some(length))
    }

    /// None at the end.
    fn read(&mut self) -> Option<()> {
        self.bytes.drain(..self.handled);
        self.handled = 0;
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
        let missing = self
            .bytes
            .first_chunk::<LENGTH>()
            .map_or(0, |length| u32::from_le_bytes(*length) as usize + LENGTH)
            .saturating_sub(self.bytes.len());
        self.bytes.reserve(missing.max(ROOM));
        wait();
        let room = self.bytes.spare_capacity_mut();
        match receive(socket(), room, &mut self.descriptors) {
            Ok(0) => None,
            Ok(read) => {
                // SAFETY: so many have been written behind the others.
                unsafe { self.bytes.set_len(self.bytes.len() + read) };
                Some(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Some(()),
            Err(_) => None,
        }
    }
}

/// Waits until there is something to be read. In `recvmsg` it would be woken each time when the VM has read, too.
fn wait() {
    let mut look = libc::pollfd {
        fd: socket(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one descriptor to look at.
    unsafe { libc::poll(&mut look, 1, -1) };
}
