//! Reads terms from bytes, which may be broken: those of the wire, and the external term format.

use crate::binary;
use crate::env::{self, HostEnv};
use crate::map::Unfinished;
use crate::number;
use crate::sequence;
use crate::word::{self, Kind, NIL, Word};
use crate::{atom, kept, objects, pid, shared, vm};
use erlang_python_wire::{Broken, MAX_DEPTH, Reader, node, tag};
use rustler::{Env, Term};
use std::ffi::c_uint;
use std::slice;

type Result<T> = std::result::Result<T, Broken>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Wire,
    /// `safe`: it makes no atoms.
    External {
        safe: bool,
    },
}

/// A term whose elements are being read.
struct Open {
    /// Where the next goes.
    to: *mut Word,
    left: usize,
    then: Then,
}

enum Then {
    /// They are one behind the other.
    Words,
    /// The last element is the tail.
    List,
    /// Keys may be there twice.
    Map(Unfinished, *mut Word),
}

struct Decoder<'r, 'b> {
    env: &'r mut HostEnv,
    reader: &'r mut Reader<'b>,
    format: Format,
    /// How many terms are still to be read: each has a byte at least.
    owed: usize,
    stack: Vec<Open>,
}

/// Reads a term. What it needs is given up with the environment, even if the bytes are broken.
pub fn term(reader: &mut Reader<'_>, env: &mut HostEnv, format: Format) -> Result<Word> {
    let mut decoder = Decoder {
        env,
        reader,
        format,
        owed: 1,
        stack: Vec::new(),
    };
    let mut found = NIL;
    // SAFETY: slots are those of terms being made, in the arena, or `found`.
    unsafe { decoder.all(&mut found)? };
    Ok(found)
}

/// Reads a term that was sent. What it needs is given up with the environment, even if the bytes are broken.
pub fn decode<'a>(reader: &mut Reader<'_>, env: Env<'a>) -> Result<Term<'a>> {
    // SAFETY: rustler's environment is one of ours.
    unsafe {
        let word = term(reader, &mut *env::of(env), Format::Wire)?;
        Ok(env::term(env, word))
    }
}

impl Decoder<'_, '_> {
    unsafe fn all(&mut self, found: *mut Word) -> Result<()> {
        // What is around the term.
        let mut open = Open {
            to: found,
            left: 1,
            then: Then::Words,
        };
        loop {
            while open.left > 0 {
                let slot = open.to;
                open.left -= 1;
                self.owed -= 1;
                open.to = slot.wrapping_add(1);
                if matches!(open.then, Then::List) && open.left > 1 {
                    let next = slot.wrapping_add(2);
                    *slot.add(1) = word::cell(next);
                    open.to = next;
                }
                if let Some(inner) = self.one(slot)? {
                    if self.stack.len() >= MAX_DEPTH {
                        return Err(Broken("a term is nested too deeply"));
                    }
                    self.owed += inner.left;
                    self.stack.push(std::mem::replace(&mut open, inner));
                }
            }
            if let Then::Map(map, slot) = open.then {
                *slot = map
                    .finish(self.env)
                    .ok_or(Broken("a key is twice in a map"))?;
            }
            let Some(outer) = self.stack.pop() else {
                return Ok(());
            };
            open = outer;
        }
    }

    /// Reads a term. What it gives are elements that are still to be read.
    #[inline]
    unsafe fn one(&mut self, slot: *mut Word) -> Result<Option<Open>> {
        *slot = match self.reader.u8()? {
            tag::SMALL_INTEGER => word::small_of(self.reader.u8()?.into()),
            tag::INTEGER => word::small_of(self.reader.i32_be()?),
            tag::INT64 if self.format == Format::Wire => {
                number::of_i64(self.env, self.reader.i64()?)
            }
            tag::NEW_FLOAT => {
                let value = self.reader.f64_be()?;
                number::of_f64(self.env, value).ok_or(Broken("a float is not finite"))?
            }
            tag::SMALL_ATOM_UTF8 => {
                let length = self.reader.u8()?;
                self.atom(length.into())?
            }
            tag::BINARY => {
                let length = self.reader.u32_be()? as usize;
                shared::binary(self.env, self.reader.bytes(length)?)
            }
            tag::NIL => NIL,
            tag::SMALL_TUPLE => {
                let count = self.reader.u8()?.into();
                return self.tuple(slot, count);
            }
            tag::LARGE_TUPLE => {
                let count = self.reader.u32_be()? as usize;
                return self.tuple(slot, count);
            }
            tag::LIST => return self.list(slot),
            tag::MAP => return self.map(slot),
            tag => self.rare(tag)?,
        };
        Ok(None)
    }

    unsafe fn rare(&mut self, tag: u8) -> Result<Word> {
        match tag {
            tag::ATOM_UTF8 => {
                let length = self.reader.u16_be()?;
                self.atom(length.into())
            }
            tag::SMALL_BIG => {
                let length = self.reader.u8()?;
                self.big(length.into())
            }
            tag::LARGE_BIG => {
                let length = self.reader.u32_be()? as usize;
                self.big(length)
            }
            tag::STRING => {
                let length = self.reader.u16_be()?;
                let bytes = self.reader.bytes(length.into())?;
                let elements = bytes.iter().map(|&byte| word::small_of(byte.into()));
                Ok(sequence::list(self.env, elements))
            }
            tag::BIT_BINARY => self.bits(),
            tag::NEW_PID => pid::decode(self.reader, self.env),
            tag::NEWER_REFERENCE | tag::NEW_PORT | tag::V4_PORT => self.opaque(tag),
            tag::OBJECT if self.format == Format::Wire => {
                let _kind = self.reader.u8()?;
                let number = self.reader.u64()?;
                let _extra = self.reader.u64()?;
                objects::term(self.env, number).ok_or(Broken("an object is not there"))
            }
            tag::KEPT if self.format == Format::Wire => {
                let kind = self.reader.u8()?;
                let number = self.reader.u64()?;
                let length = self.reader.u32()? as usize;
                let identity = self.reader.bytes(length)?;
                Ok(kept::receive(self.env, kind, number, identity))
            }
            tag::BLOB if self.format == Format::Wire => {
                let (memory, at) = (self.reader.u64()?, self.reader.u64()?);
                let beside = vm::beside(memory, at, self.reader.u64()?);
                let beside = beside.ok_or(Broken("a large binary is not there"))?;
                Ok(binary::beside(self.env, beside))
            }
            // Latin-1, as old libraries write it into the external format.
            100 if self.format != Format::Wire => {
                let length = self.reader.u16_be()?;
                self.latin1(length.into())
            }
            115 if self.format != Format::Wire => {
                let length = self.reader.u8()?;
                self.latin1(length.into())
            }
            _ => Err(Broken("a term has an unknown tag")),
        }
    }

    fn atom(&mut self, length: usize) -> Result<Word> {
        let bytes = self.reader.bytes(length)?;
        let name = std::str::from_utf8(bytes).map_err(|_| Broken("an atom is no text"))?;
        self.atom_of(name)
    }

    fn latin1(&mut self, length: usize) -> Result<Word> {
        let bytes = self.reader.bytes(length)?;
        let name: String = bytes.iter().map(|&byte| char::from(byte)).collect();
        self.atom_of(&name)
    }

    fn atom_of(&self, name: &str) -> Result<Word> {
        if self.format == (Format::External { safe: true }) {
            atom::existing(name).ok_or(Broken("there is no such atom"))
        } else {
            atom::intern(name).ok_or(Broken("an atom is too long"))
        }
    }

    /// Checked before memory is taken for so many elements, each of a byte at least.
    fn check(&self, count: usize) -> Result<()> {
        if count > self.reader.len().saturating_sub(self.owed) {
            return Err(Broken("it has fewer elements than it says"));
        }
        Ok(())
    }

    unsafe fn tuple(&mut self, slot: *mut Word, count: usize) -> Result<Option<Open>> {
        self.check(count)?;
        let (to, tuple) = sequence::tuple(self.env, count);
        *slot = tuple;
        Ok(Some(Open {
            to,
            left: count,
            then: Then::Words,
        }))
    }

    unsafe fn list(&mut self, slot: *mut Word) -> Result<Option<Open>> {
        let count = self.reader.u32_be()? as usize;
        self.check(count.saturating_add(1))?;
        if count == 0 {
            // The VM takes it for its tail. Nobody writes that.
            return Err(Broken("a list has no elements"));
        }
        let cells = self.env.arena.words(2 * count);
        *slot = word::cell(cells);
        let read = self.integers(cells, count);
        Ok(Some(Open {
            to: cells.wrapping_add(2 * read - usize::from(read == count)),
            left: count + 1 - read,
            then: Then::List,
        }))
    }

    /// The integers that a list of so many elements begins with: how many.
    unsafe fn integers(&mut self, cells: *mut Word, count: usize) -> usize {
        let bytes = self.reader.rest();
        let mut rest = bytes;
        let mut read = 0;
        while read < count {
            let value = match rest {
                [tag::SMALL_INTEGER, value, after @ ..] => {
                    rest = after;
                    i32::from(*value)
                }
                [tag::INTEGER, a, b, c, d, after @ ..] => {
                    rest = after;
                    i32::from_be_bytes([*a, *b, *c, *d])
                }
                _ => break,
            };
            let cell = cells.add(2 * read);
            *cell = word::small_of(value);
            // Of the last one the tail is read.
            *cell.add(1) = word::cell(cell.wrapping_add(2));
            read += 1;
        }
        let _ = self.reader.bytes(bytes.len() - rest.len());
        read
    }

    unsafe fn map(&mut self, slot: *mut Word) -> Result<Option<Open>> {
        let count = self.reader.u32_be()? as usize;
        self.check(count.saturating_mul(2))?;
        let map = Unfinished::new(self.env, count).ok_or(Broken("a map is too large"))?;
        let then = if self.format == Format::Wire {
            // One of the VM's.
            *slot = map.finish_different(self.env);
            Then::Words
        } else {
            Then::Map(map, slot)
        };
        Ok(Some(Open {
            to: map.slots(),
            left: 2 * count,
            then,
        }))
    }

    fn big(&mut self, length: usize) -> Result<Word> {
        let negative = self.reader.u8()? != 0;
        let bytes = self.reader.bytes(length)?;
        number::of_bytes(self.env, negative, bytes).ok_or(Broken("an integer is too large"))
    }

    fn bits(&mut self) -> Result<Word> {
        let length = self.reader.u32_be()? as usize;
        let used = self.reader.u8()?;
        let bytes = self.reader.bytes(length)?;
        match used {
            8 => Ok(binary::of(self.env, bytes)),
            1..=7 if length > 0 => {
                let mut bytes = bytes.to_vec();
                // The other bits of the last byte are nobody's.
                bytes[length - 1] &= 0xFF << (8 - used);
                Ok(binary::bits(self.env, &bytes, used))
            }
            _ => Err(Broken("a bitstring has no such size")),
        }
    }

    /// A reference or a port, as it is.
    fn opaque(&mut self, tag: u8) -> Result<Word> {
        let before = self.reader.rest();
        let numbers = match tag {
            tag::NEWER_REFERENCE => match self.reader.u16_be()? {
                count @ 1..=5 => 4 + 4 * usize::from(count),
                _ => return Err(Broken("a reference has no such size")),
            },
            tag::NEW_PORT => 8,
            _ => 12,
        };
        node::read(self.reader)?;
        self.reader.bytes(numbers)?;
        let after = &before[..before.len() - self.reader.len()];
        let external: Vec<u8> = std::iter::once(tag).chain(after.iter().copied()).collect();
        let external = node::in_utf8(&external).unwrap_or(external);
        let kind = if tag == tag::NEWER_REFERENCE {
            Kind::Reference
        } else {
            Kind::Port
        };
        Ok(self.env.boxed_bytes(kind, &external))
    }
}

const SAFE: c_uint = 0x2000_0000;

/// Returns how many bytes were read, 0 if they are no term.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_binary_to_term(
    env: *mut HostEnv,
    data: *const u8,
    size: usize,
    found: *mut Word,
    options: c_uint,
) -> usize {
    let bytes = if size == 0 {
        return 0;
    } else {
        slice::from_raw_parts(data, size)
    };
    let mut reader = Reader::new(bytes);
    if reader.u8() != Ok(tag::VERSION) {
        return 0;
    }
    let safe = options & SAFE != 0;
    match term(&mut reader, &mut *env, Format::External { safe }) {
        Ok(word) => {
            *found = word;
            size - reader.len()
        }
        Err(_) => 0,
    }
}
