//! What is to be written to a worker process, in its order, by whatever thread comes. Nobody waits for a process that
//! does not read: what it does not take at once is left to the link's thread.

use super::passing;
use crate::base::lock::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::fs::File;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What is larger is written by the link's thread: schedulers copy no more at once.
pub const LARGE: usize = 64 << 10;

/// How many bytes a scheduler writes before it leaves the rest to the link's thread.
const TURN: usize = 256 << 10;

#[derive(Default)]
pub struct Outbox {
    socket: OnceLock<UnixStream>,
    /// How many frames were added.
    sent: AtomicU64,
    /// Held for a move.
    waiting: Mutex<Waiting>,
}

struct Frame {
    bytes: Vec<u8>,
    /// Goes along with the first of them.
    with: Option<Arc<File>>,
}

#[derive(Default)]
struct Waiting {
    frames: VecDeque<Frame>,
    /// How much of the first one has been written.
    written: usize,
    /// Somebody is writing, and will write what comes meanwhile.
    busy: bool,
    closed: bool,
}

impl Outbox {
    /// Where it is written to, from now on.
    pub fn open(&self, socket: UnixStream) {
        let _ = self.socket.set(socket);
    }

    /// Adds a frame, behind all others. True if it is left to the link's thread.
    #[must_use]
    pub fn send(&self, frame: Vec<u8>) -> bool {
        self.add(frame, None) && self.write()
    }

    /// The same with a descriptor, or without one, which is not written by this. False if nothing is taken any more.
    pub fn add(&self, bytes: Vec<u8>, with: Option<Arc<File>>) -> bool {
        let mut waiting = self.lock();
        if !waiting.closed {
            waiting.frames.push_back(Frame { bytes, with });
            self.sent.fetch_add(1, Ordering::Release);
        }
        !waiting.closed
    }

    /// How many frames were sent, or will be.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// Writes what can be written at once. True if something is left, and nobody writes it.
    pub fn write(&self) -> bool {
        let Some(socket) = self.socket.get() else {
            return false;
        };
        let Some((mut frame, mut at)) = self.begin() else {
            return false;
        };
        let mut turn = 0;
        loop {
            let with = frame.with.as_ref().filter(|_| at == 0);
            match passing::write(
                socket,
                &frame.bytes[at..],
                with.map(|file| file.as_raw_fd()),
            ) {
                Ok(count) => {
                    at += count;
                    turn += count;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return self.leave(frame, at);
                }
                Err(_gone) => {
                    self.close();
                    return false;
                }
            }
            if at == frame.bytes.len() {
                match self.next() {
                    Some(next) => (frame, at) = (next, 0),
                    None => return false,
                }
            }
            if turn >= TURN {
                return self.leave(frame, at);
            }
        }
    }

    fn begin(&self) -> Option<(Frame, usize)> {
        let mut waiting = self.lock();
        if waiting.busy {
            return None;
        }
        let frame = waiting.frames.pop_front()?;
        waiting.busy = true;
        Some((frame, std::mem::take(&mut waiting.written)))
    }

    fn next(&self) -> Option<Frame> {
        let mut waiting = self.lock();
        let next = waiting.frames.pop_front();
        waiting.busy = next.is_some();
        next
    }

    fn leave(&self, frame: Frame, at: usize) -> bool {
        let mut waiting = self.lock();
        waiting.busy = false;
        if !waiting.closed {
            waiting.frames.push_front(frame);
            waiting.written = at;
        }
        !waiting.closed
    }

    /// Nothing is written any more.
    pub fn close(&self) {
        let _left = {
            let mut waiting = self.lock();
            waiting.closed = true;
            waiting.busy = false;
            std::mem::take(&mut waiting.frames)
        };
        // A process that has outlived its guard ends by that, whoever has the link still.
        if let Some(socket) = self.socket.get() {
            let _ = socket.shutdown(Shutdown::Write);
        }
    }

    /// Whether something waits for the process to read.
    pub fn is_blocked(&self) -> bool {
        let waiting = self.lock();
        !waiting.frames.is_empty() && !waiting.busy
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn pair() -> (Outbox, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let outbox = Outbox::default();
        outbox.open(ours);
        (outbox, theirs)
    }

    #[test]
    fn what_is_not_read_is_left_and_comes_in_its_order() {
        let (outbox, mut theirs) = pair();
        let frames: Vec<Vec<u8>> = (0..200u8).map(|n| vec![n; 10_000]).collect();
        let left = frames.iter().filter(|frame| outbox.send((*frame).clone()));
        assert!(left.count() > 0);
        assert!(outbox.is_blocked());
        let mut read = vec![0; 2_000_000];
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| theirs.read_exact(&mut read).unwrap());
            while !reader.is_finished() {
                outbox.write();
                std::thread::yield_now();
            }
        });
        assert_eq!(read, frames.concat());
        assert!(!outbox.is_blocked() && !outbox.write());
    }

    #[test]
    fn threads_that_send_at_once_write_whole_frames() {
        let (outbox, mut theirs) = pair();
        let mut read = vec![0; 4 * 100 * 1_000];
        std::thread::scope(|scope| {
            for n in 0..4u8 {
                let outbox = &outbox;
                scope.spawn(move || {
                    for _ in 0..100 {
                        let _ = outbox.send(vec![n; 1_000]);
                    }
                });
            }
            let reader = scope.spawn(|| theirs.read_exact(&mut read).unwrap());
            while !reader.is_finished() {
                outbox.write();
                std::thread::yield_now();
            }
        });
        for frame in read.chunks(1_000) {
            assert!(frame.iter().all(|byte| *byte == frame[0]));
        }
    }

    #[test]
    fn nothing_is_kept_for_one_that_has_gone() {
        let (outbox, theirs) = pair();
        drop(theirs);
        assert!(!outbox.send(vec![1]));
        assert!(!outbox.send(vec![2; 1 << 20]));
        assert!(!outbox.is_blocked());
    }
}
