//! Bytes of a socket, cut into frames.

use erlang_python_wire::{Broken, MAX_FRAME};
use std::io::{ErrorKind, Read};

/// How much is read at once, at least.
const PIECE: usize = 64 << 10;

/// What is kept of memory for frames.
const KEPT: usize = 1 << 20;

const LENGTH: usize = 4;

#[derive(Default)]
pub struct Frames {
    bytes: Vec<u8>,
    /// How many of them were read.
    filled: usize,
}

impl Frames {
    /// Reads once, and handles all frames that are there. False at the end.
    pub fn read(
        &mut self,
        from: &mut impl Read,
        mut handle: impl FnMut(&[u8]) -> Result<(), Broken>,
    ) -> Result<bool, Broken> {
        // As it comes, and not as the frame says: that is not to be trusted with memory.
        let room = PIECE.max(self.filled / 2);
        if self.bytes.len() < self.filled + room {
            self.bytes.resize(self.filled + room, 0);
        }
        match from.read(&mut self.bytes[self.filled..]) {
            Ok(0) => return Ok(false),
            Ok(count) => self.filled += count,
            Err(error) => {
                return Ok(matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::Interrupted
                ));
            }
        }
        let mut at = 0;
        while let Some(length) = self.length(at)? {
            let start = at + LENGTH;
            if self.filled - start < length {
                break;
            }
            at = start + length;
            handle(&self.bytes[start..at])?;
        }
        self.bytes.copy_within(at..self.filled, 0);
        self.filled -= at;
        if self.filled == 0 && self.bytes.len() > KEPT {
            self.bytes = Vec::new();
        }
        Ok(true)
    }

    /// The length of the next frame, if that has been read.
    fn length(&self, at: usize) -> Result<Option<usize>, Broken> {
        let bytes = &self.bytes[at..self.filled];
        let Some((length, _)) = bytes.split_first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length == 0 || length > MAX_FRAME {
            return Err(Broken("a frame has an impossible length"));
        }
        Ok(Some(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads so many bytes at most at once.
    struct Slow<'b>(&'b [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            let most = to.len().min(self.1);
            self.0.read(&mut to[..most])
        }
    }

    fn frame(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_le_bytes(), bytes].concat()
    }

    #[test]
    fn frames_are_whole_however_they_come() {
        let frames: Vec<Vec<u8>> = (1..=200usize).map(|n| vec![n as u8; n * n]).collect();
        let bytes: Vec<u8> = frames.iter().flat_map(|bytes| frame(bytes)).collect();
        for most in [1, 3, 1000, 1 << 20] {
            let mut read = Vec::new();
            let mut own = Frames::default();
            let mut from = Slow(&bytes, most);
            while own
                .read(&mut from, |frame| {
                    read.push(frame.to_vec());
                    Ok(())
                })
                .unwrap()
            {}
            assert_eq!(read, frames);
        }
    }

    #[test]
    fn impossible_lengths_are_broken_and_cost_no_memory() {
        for length in [0u32, u32::MAX] {
            let bytes = length.to_le_bytes();
            let mut own = Frames::default();
            assert!(own.read(&mut &bytes[..], |_| Ok(())).is_err());
        }
        let mut own = Frames::default();
        let bytes = (MAX_FRAME as u32).to_le_bytes();
        assert_eq!(own.read(&mut &bytes[..], |_| Ok(())), Ok(true));
        assert!(own.bytes.len() <= PIECE);
    }
}
