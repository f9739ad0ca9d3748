//! Files as memory.

use erlang_python::remote;
use std::io::Error;
use std::os::fd::AsRawFd;
use std::ptr;

pub struct Mapping {
    data: *mut u8,
    size: usize,
}

// SAFETY: an address, which is unmapped by whoever has it last.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// The first bytes of a file, which is not made smaller as long as they are used. `writable`: or to be read only.
    pub fn new(file: &impl AsRawFd, size: u64, writable: bool) -> Result<Self, Error> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let write = if writable { libc::PROT_WRITE } else { 0 };
        // SAFETY: a new mapping.
        let data = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | write,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if data == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        Ok(Mapping {
            data: data.cast(),
            size,
        })
    }

    pub fn data(&self) -> *const u8 {
        self.data
    }

    pub fn size(&self) -> usize {
        self.size
    }

    /// To a writable one, where nobody else reads or writes.
    pub fn write(&self, bytes: &[u8], at: usize) {
        assert!(
            at.checked_add(bytes.len())
                .is_some_and(|end| end <= self.size)
        );
        // SAFETY: checked above; the bytes are elsewhere, for nothing is lent from a writable mapping.
        unsafe {
            let to = self.data.add(at);
            remote::copy(bytes.as_ptr(), to, bytes.len());
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped, and nobody uses it any more.
        unsafe { libc::munmap(self.data.cast(), self.size) };
    }
}
