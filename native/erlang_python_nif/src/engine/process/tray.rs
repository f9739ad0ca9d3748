//! Where a worker process writes large binaries to, for the VM to read them: a file, into which the worker alone
//! writes. What it says of it is not trusted: a file that is too short, or becomes so, is an error.

use super::memory;
use crate::base::copies;
use erlang_python_wire::frame::to_worker;
use erlang_python_wire::{Broken, MAX_FRAME, Writer};
use rustler::{Env, Term, sys};
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

#[derive(Default)]
pub struct Tray {
    file: OnceLock<Arc<File>>,
    /// How many binaries were read that the worker has not been told of, and how many bytes they have.
    read: AtomicU32,
    bytes: AtomicU64,
    /// There may be something in it.
    full: AtomicBool,
    /// It was read from since it was looked at.
    used: AtomicBool,
}

impl Tray {
    /// The frame that gives the worker one, where there is such a thing.
    pub fn open(&self) -> Option<(Writer, Arc<File>)> {
        let file = memory::new_file().ok()?;
        let file = self.file.get_or_init(|| Arc::new(file));
        Some((Writer::frame(to_worker::TRAY), Arc::clone(file)))
    }

    /// A copy of a binary that is in it.
    pub fn read<'a>(&self, env: Env<'a>, at: u64, size: u64) -> Result<Term<'a>, Broken> {
        let file = self.file.get().ok_or(Broken("it has no tray"))?;
        let bytes = self.bytes.fetch_add(size, Ordering::Relaxed);
        if bytes.saturating_add(size) > MAX_FRAME as u64 {
            return Err(Broken("a frame has too much beside it"));
        }
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        if at.checked_add(size).is_none_or(|end| end > length) {
            return Err(Broken("a binary ends behind the end of its memory"));
        }
        let size = size as usize;
        let mut term = MaybeUninit::uninit();
        // SAFETY: a valid environment; the term is written, and the memory is as large as was asked for and nobody
        // else's. It is written before it is read.
        let (data, term) = unsafe {
            let data = sys::enif_make_new_binary(env.as_c_arg(), size, term.as_mut_ptr());
            (data, Term::new(env, term.assume_init()))
        };
        // SAFETY: as above. It is only written.
        let filled = unsafe {
            copies::is_new(data, size);
            copies::fill(data, size, |part, from| {
                file.read_exact_at(part, at + from as u64)
            })
        };
        filled.map_err(|_| Broken("a binary cannot be read"))?;
        self.read.fetch_add(1, Ordering::Relaxed);
        Ok(term)
    }

    pub fn was_read(&self) -> bool {
        self.read.load(Ordering::Relaxed) > 0
    }

    /// A frame has been read: the worker may write over what was beside it. The frame that says so.
    pub fn taken(&self) -> Writer {
        let read = self.read.swap(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        self.used.store(true, Ordering::Relaxed);
        self.full.store(true, Ordering::Relaxed);
        let mut frame = Writer::frame(to_worker::TAKEN);
        frame.u32(read);
        frame
    }

    /// The frame that has the worker empty it, if it was not used since the last time.
    pub fn tidy(&self) -> Option<Writer> {
        let idle = !self.used.swap(false, Ordering::Relaxed);
        (idle && self.full.swap(false, Ordering::Relaxed)).then(|| Writer::frame(to_worker::TRIM))
    }

    /// Whether there may be something in it.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }
}
