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
    Tuple,
    /// The last element is the tail.
    List,
    Map(Unfinished, *mut Word),
}

struct Decoder<'r, 'b> {
    env: &'r mut HostEnv,
    reader: &'r mut Reader<'b>,
    format: Format,
    /// How many elements the open terms still have: each has a byte at least.
    owed: usize,
    stack: Vec<Open>,
}

/// Reads a term. What it needs is given up with the environment, even if the bytes are broken.
pub fn term(reader: &mut Reader<'_>, env: &mut HostEnv, format: Format) -> Result<Word> {
    let mut decoder = Decoder {
        env,
        reader,
        format,
        owed: 0,
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
        self.one(found)?;
        while let Some(open) = self.stack.last_mut() {
            if open.left == 0 {
                let then = self.stack.pop().map(|open| open.then);
                if let Some(Then::Map(map, slot)) = then {
                    *slot = map
                        .finish(self.env)
                        .ok_or(Broken("a key is twice in a map"))?;
                }
                continue;
            }
            let slot = open.to;
            open.left -= 1;
            let tail_is_next = open.left == 1;
            open.to = match open.then {
                Then::List if !tail_is_next => slot.wrapping_add(2),
                _ => slot.wrapping_add(1),
            };
            self.owed -= 1;
            self.one(slot)?;
        }
        Ok(())
    }

    /// Reads a term without its elements.
    #[inline]
    unsafe fn one(&mut self, slot: *mut Word) -> Result<()> {
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
                self.tuple(count)?
            }
            tag::LIST => self.list()?,
            tag::MAP => self.map(slot)?,
            tag => self.rare(tag)?,
        };
        Ok(())
    }

    unsafe fn rare(&mut self, tag: u8) -> Result<Word> {
        match tag {
            tag::ATOM_UTF8 => {
                let length = self.reader.u16_be()?;
                self.atom(length.into())
            }
            tag::LARGE_TUPLE => {
                let count = self.reader.u32_be()? as usize;
                self.tuple(count)
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

    /// A term that has so many elements, each of a byte at least, begins.
    fn open(&mut self, to: *mut Word, count: usize, then: Then) -> Result<()> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(Broken("a term is nested too deeply"));
        }
        self.owed += count;
        self.stack.push(Open {
            to,
            left: count,
            then,
        });
        Ok(())
    }

    /// Checked before memory is taken for them.
    fn check(&self, count: usize) -> Result<()> {
        if count > self.reader.len().saturating_sub(self.owed) {
            return Err(Broken("it has fewer elements than it says"));
        }
        Ok(())
    }

    fn tuple(&mut self, count: usize) -> Result<Word> {
        self.check(count)?;
        let (slots, tuple) = sequence::tuple(self.env, count);
        self.open(slots, count, Then::Tuple)?;
        Ok(tuple)
    }

    fn list(&mut self) -> Result<Word> {
        let count = self.reader.u32_be()? as usize;
        self.check(count.saturating_add(1))?;
        if count == 0 {
            // The VM takes it for its tail. Nobody writes that.
            return Err(Broken("a list has no elements"));
        }
        let cells = sequence::cells(self.env, count);
        let list = word::cell(cells);
        self.open(cells, count + 1, Then::List)?;
        Ok(list)
    }

    fn map(&mut self, slot: *mut Word) -> Result<Word> {
        let count = self.reader.u32_be()? as usize;
        self.check(count.saturating_mul(2))?;
        let map = Unfinished::new(self.env, count).ok_or(Broken("a map is too large"))?;
        self.open(map.slots(), 2 * count, Then::Map(map, slot))?;
        Ok(NIL)
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

const VERSION: u8 = 131;
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
    if reader.u8() != Ok(VERSION) {
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
