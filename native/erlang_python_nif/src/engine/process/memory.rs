//! Files without names, which a worker process sees, too.
//!
//! A file that is mapped here has been sealed before anybody else has seen it: nobody can make it smaller, at which
//! the VM would fall. Nothing is ever read through a mapping.

use crate::base::copies;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

pub struct Memory {
    /// Which no other has, or had, in this VM; never 0.
    pub number: u64,
    pub size: u64,
    pub file: File,
    /// Made when it is written to for the second time: pages that are there are filled fastest through it.
    mapping: OnceLock<Option<Mapping>>,
}

struct Mapping {
    data: *mut u8,
    size: usize,
}

// SAFETY: an address, which is unmapped by whoever has it last.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Memory {
    /// So many bytes, of which none costs anything before it is written.
    pub fn new(size: u64) -> io::Result<Self> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let file = new_file()?;
        file.set_len(size)?;
        // Who looks at it is not to be surprised.
        seal(&file, false)?;
        Ok(Memory {
            number: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            size,
            file,
            mapping: OnceLock::new(),
        })
    }

    /// A copy of these bytes that nobody can change.
    pub fn of(bytes: &[u8]) -> io::Result<Self> {
        let memory = Memory::new(bytes.len() as u64)?;
        memory.write(bytes, 0)?;
        seal(&memory.file, true)?;
        Ok(memory)
    }

    pub fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    /// The same where it was written to before. By one thread at a time.
    pub fn write_again(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mapping = self.mapping.get_or_init(|| Mapping::new(self));
        let end = usize::try_from(at)
            .ok()
            .and_then(|at| at.checked_add(bytes.len()));
        match mapping {
            Some(mapping) if end.is_some_and(|end| end <= mapping.size) => {
                // SAFETY: so much is mapped, of a file that cannot become smaller. Others may see what is written
                // there, and may even write: no reference is made to it.
                unsafe {
                    let to = mapping.data.add(at as usize);
                    copies::copy(bytes.as_ptr(), to, bytes.len());
                }
                Ok(())
            }
            _ => self.write(bytes, at),
        }
    }
}

impl Mapping {
    fn new(memory: &Memory) -> Option<Self> {
        let size = usize::try_from(memory.size).ok()?;
        // SAFETY: a new mapping of a file that is as large.
        let data = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                memory.file.as_raw_fd(),
                0,
            )
        };
        (data != libc::MAP_FAILED).then_some(Mapping {
            data: data.cast(),
            size,
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped, and nobody uses it any more.
        unsafe { libc::munmap(self.data.cast(), self.size) };
    }
}

#[cfg(target_os = "linux")]
pub fn new_file() -> io::Result<File> {
    use std::os::fd::FromRawFd;
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: a name that ends with zero; the descriptor is nobody else's.
    unsafe {
        match libc::memfd_create(c"erlang_python".as_ptr(), flags) {
            -1 => Err(io::Error::last_os_error()),
            descriptor => Ok(File::from_raw_fd(descriptor)),
        }
    }
}

/// Its size stays, and what it holds, too, if that is to be.
#[cfg(target_os = "linux")]
fn seal(file: &File, content: bool) -> io::Result<()> {
    let mut seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
    if content {
        seals |= libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;
    }
    // SAFETY: an open descriptor.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Elsewhere all is sent within frames.
#[cfg(not(target_os = "linux"))]
pub fn new_file() -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn seal(_file: &File, _content: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_copy_cannot_be_changed() {
        let memory = Memory::of(b"abc").unwrap();
        assert!(memory.write(b"x", 0).is_err());
        assert!(memory.file.set_len(1).is_err() && memory.file.set_len(9).is_err());
        let mut bytes = [0; 3];
        memory.file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"abc");
    }

    #[test]
    fn what_is_written_again_keeps_its_size() {
        let memory = Memory::new(10).unwrap();
        memory.write(b"abc", 7).unwrap();
        memory.write(b"xyz", 7).unwrap();
        assert!(memory.write_again(b"XYZ", 7).is_ok());
        assert!(memory.write_again(b"abcd", 7).is_err());
        let mut bytes = [0; 3];
        memory.file.read_exact_at(&mut bytes, 7).unwrap();
        assert_eq!(&bytes, b"XYZ");
        assert!(memory.write(b"abcd", 7).is_err());
        assert!(memory.file.set_len(1).is_err());
    }
}
