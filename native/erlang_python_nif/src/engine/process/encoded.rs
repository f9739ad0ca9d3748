//! Terms as bytes for a worker process, and what has to live until the bytes have been sent.

use crate::base::segment::LIGHT;
use crate::base::term_env::{SavedTerm, TermEnv};
use erlang_python_wire::{BESIDE, Writer, tag};
use rustler::{Term, sys};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};

/// The tag of a binary and its length.
const HEAD: usize = 5;

/// As much as comes before the operation in a frame, with the names of nodes of a usual length.
const HEADER: usize = 256;

/// An object in a worker process, as a resource of ours stands for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Object {
    /// A number which no other worker of this VM has, or had.
    pub worker: u64,
    /// One of `erlang_python_wire::tag::object`.
    pub kind: u8,
    pub number: u64,
    /// 0 if there is none.
    pub extra: u64,
}

/// Where a binary is that is beside the frame.
#[derive(Clone, Copy)]
pub struct Place {
    pub memory: u64,
    pub at: u64,
}

/// Why terms cannot be sent to a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsendable {
    /// There are objects of two workers in them.
    TwoWorkers,
    /// They have more bytes than a frame may have.
    TooLarge,
}

/// Terms as bytes. The environment holds what they refer to: large binaries, the resources of objects (which
/// would be released before the worker sees them), and terms that only the VM can keep.
#[derive(Default)]
pub struct Encoded {
    pub(super) bytes: Vec<u8>,
    env: Option<TermEnv>,
    blobs: Vec<Blob>,
    kept: Vec<(u64, SavedTerm)>,
    worker: Option<u64>,
    /// How many bytes the blobs have.
    beside: usize,
}

// SAFETY: who has no more than a reference reads terms of the environment, and adds none.
unsafe impl Sync for Encoded {}

/// A large binary.
struct Blob {
    /// Where its bytes belong: behind so many of the others, of which the last ones are its tag and its length.
    at: usize,
    binary: SavedTerm,
    size: usize,
    again: bool,
}

/// A binary that can cross beside the frame.
pub struct Large<'e> {
    pub term: Term<'e>,
    pub data: &'e [u8],
    /// It may well be sent again.
    pub again: bool,
}

impl Encoded {
    /// The worker that the objects in it are in, if there are any.
    pub fn worker(&self) -> Option<u64> {
        self.worker
    }

    /// Whether it is small, and refers to nothing.
    pub fn is_light(&self) -> bool {
        self.env.is_none() && self.worker.is_none() && self.bytes.len() <= LIGHT - HEADER
    }

    /// How many bytes are to be sent.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.beside
    }

    /// The terms that the VM has to keep for the worker, by their numbers, which no others have.
    pub fn kept(&self) -> impl Iterator<Item = (u64, Term<'_>)> {
        let env = self.env.as_ref();
        self.kept
            .iter()
            .filter_map(move |&(number, term)| Some((number, env?.term(term))))
    }

    /// All bytes in their order, in pieces: large binaries are where they are in the VM.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.blobs.iter().map(|blob| blob.at);
        let starts = std::iter::once(0).chain(ends.clone());
        let between = starts
            .zip(ends.chain([self.bytes.len()]))
            .map(|(start, end)| &self.bytes[start..end]);
        let blobs = self.blobs.iter().map(|blob| self.data(blob));
        let blobs = blobs.map(Some).chain([None]);
        between
            .zip(blobs)
            .flat_map(|(bytes, blob)| [Some(bytes), blob])
            .flatten()
    }

    /// Adds all bytes to a frame.
    pub fn write(&self, frame: &mut Writer) {
        frame.bytes.reserve(self.len());
        for piece in self.pieces() {
            frame.bytes(piece);
        }
    }

    /// What can cross beside the frame.
    pub fn large(&self) -> impl Iterator<Item = Large<'_>> {
        let large = self.blobs.iter().filter(|blob| blob.size >= BESIDE);
        large.filter_map(|blob| {
            Some(Large {
                term: self.env.as_ref()?.term(blob.binary),
                data: self.data(blob),
                again: blob.again,
            })
        })
    }

    /// Adds all bytes to a frame but those of large binaries that are in memory of their own. `places`: of each that
    /// is large.
    pub fn write_beside(&self, frame: &mut Writer, places: &[Option<Place>]) {
        let mut places = places.iter();
        let mut done = 0;
        for blob in &self.blobs {
            let place = (blob.size >= BESIDE).then(|| *places.next()?).flatten();
            match place {
                Some(Place { memory, at }) => {
                    frame.bytes(&self.bytes[done..blob.at - HEAD]);
                    frame.u8(tag::BLOB);
                    frame.u64(memory);
                    frame.u64(at);
                    frame.u64(blob.size as u64);
                }
                None => {
                    frame.bytes(&self.bytes[done..blob.at]);
                    frame.bytes(self.data(blob));
                }
            }
            done = blob.at;
        }
        frame.bytes(&self.bytes[done..]);
    }

    fn data(&self, blob: &Blob) -> &[u8] {
        let Some(env) = &self.env else { return &[] };
        data(env.term(blob.binary)).unwrap_or_default()
    }

    /// Copies a term, which lives as long as this.
    fn hold(&mut self, term: Term<'_>) -> SavedTerm {
        self.env.get_or_insert_default().copy(term)
    }

    /// The bytes of a binary belong here. They are not copied.
    pub(super) fn add_blob(&mut self, binary: Term<'_>, size: usize, again: bool) {
        let binary = self.hold(binary);
        self.beside += size;
        self.blobs.push(Blob {
            at: self.bytes.len(),
            binary,
            size,
            again,
        });
    }

    /// The number of a term that the VM keeps.
    pub(super) fn keep(&mut self, term: Term<'_>) -> u64 {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        let term = self.hold(term);
        self.kept.push((number, term));
        number
    }

    /// Holds the resource of an object, for which the bytes are to be sent to that worker alone.
    pub(super) fn pin(&mut self, worker: u64, resource: Term<'_>) -> Result<(), Unsendable> {
        if *self.worker.get_or_insert(worker) != worker {
            return Err(Unsendable::TwoWorkers);
        }
        self.hold(resource);
        Ok(())
    }
}

/// The bytes of a binary. None for a bitstring.
pub(super) fn data<'a>(binary: Term<'a>) -> Option<&'a [u8]> {
    let mut data = MaybeUninit::uninit();
    // SAFETY: a valid term of a valid environment; the structure is written on success. The data lives as long
    // as the environment of the term, which is 'a.
    unsafe {
        let env = binary.get_env().as_c_arg();
        if sys::enif_inspect_binary(env, binary.as_c_arg(), data.as_mut_ptr()) == 0 {
            return None;
        }
        let data = data.assume_init();
        if data.size == 0 {
            return Some(&[]);
        }
        Some(std::slice::from_raw_parts(data.data, data.size))
    }
}
