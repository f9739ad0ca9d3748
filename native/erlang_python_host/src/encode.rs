//! Writes terms as bytes: those of the wire, and the external term format.

use crate::binary::{self, RawBinary};
use crate::env::{self, HostEnv};
use crate::kept;
use crate::map;
use crate::number;
use crate::word::{self, Kind, View, Word};
use crate::{atom, objects, pid, reference, vm};
use erlang_python_wire::{BESIDE, MAX_DEPTH, Writer, tag};
use rustler::Term;
use std::ffi::c_int;
use std::fmt;

/// A term cannot leave the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwritable {
    /// It is nested deeper than `MAX_DEPTH`.
    TooDeep,
    /// It has more elements or bytes than the format can say.
    TooLarge,
    /// It is a reference that stands for a request, or none at all.
    NoTerm,
}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unwritable::TooDeep => "the term is nested too deeply",
            Unwritable::TooLarge => "the term is too large",
            Unwritable::NoTerm => "the term exists only in this process",
        })
    }
}

impl std::error::Error for Unwritable {}

type Result<T> = std::result::Result<T, Unwritable>;

/// What is still to be written.
enum Rest {
    Words(*const Word, usize),
    /// Cells, and then the tail. How many of them have been written, and where their number belongs.
    List {
        list: Word,
        count: usize,
        at: usize,
    },
}

struct Encoder<'w> {
    writer: &'w mut Writer,
    for_wire: bool,
    stack: Vec<Rest>,
    /// To be taken back if it cannot be written after all.
    exported: Vec<u64>,
}

/// Writes a term that is to be sent. Resources in it are exported (`objects`), unless it fails: then what has been
/// written is to be dropped.
pub fn encode(writer: &mut Writer, term: Term<'_>) -> Result<()> {
    // SAFETY: a valid term.
    unsafe { write(writer, env::word_of(term), true) }
}

/// `for_wire`: or else the external term format.
pub unsafe fn write(writer: &mut Writer, term: Word, for_wire: bool) -> Result<()> {
    let mut encoder = Encoder {
        writer,
        for_wire,
        stack: Vec::new(),
        exported: Vec::new(),
    };
    let done = encoder.all(term);
    if done.is_err() {
        objects::release(&encoder.exported);
    }
    done
}

fn count(count: usize) -> Result<u32> {
    u32::try_from(count).map_err(|_| Unwritable::TooLarge)
}

#[inline]
fn small(writer: &mut Writer, value: i64) {
    if let Ok(value) = u8::try_from(value) {
        writer.bytes(&[tag::SMALL_INTEGER, value]);
    } else if let Ok(value) = i32::try_from(value) {
        let [a, b, c, d] = value.to_be_bytes();
        writer.bytes(&[tag::INTEGER, a, b, c, d]);
    } else {
        // Not as an `INT64`: the VM itself reads terms fastest that have nothing of ours in them.
        digits(writer, value < 0, &value.unsigned_abs().to_le_bytes());
    }
}

/// A big integer: the bytes of its magnitude, the lowest first.
fn digits(writer: &mut Writer, negative: bool, bytes: &[u8]) {
    let length = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    match u8::try_from(length) {
        Ok(length) => writer.bytes(&[tag::SMALL_BIG, length]),
        Err(_) => {
            writer.u8(tag::LARGE_BIG);
            // There are none of 2^32 bytes.
            writer.u32_be(length as u32);
        }
    }
    writer.u8(negative.into());
    writer.bytes(&bytes[..length]);
}

impl Encoder<'_> {
    unsafe fn all(&mut self, term: Word) -> Result<()> {
        self.one(term)?;
        while let Some(rest) = self.stack.last_mut() {
            let next = match rest {
                Rest::Words(_, 0) => {
                    self.stack.pop();
                    continue;
                }
                Rest::Words(words, left) => {
                    let next = **words;
                    *words = words.add(1);
                    *left -= 1;
                    next
                }
                Rest::List {
                    list,
                    count: written,
                    at,
                } => loop {
                    if !word::is_cell(*list) {
                        let (tail, at) = (*list, *at);
                        let count = count(*written)?.to_be_bytes();
                        self.writer.bytes[at..at + 4].copy_from_slice(&count);
                        self.stack.pop();
                        break tail;
                    }
                    let cell = word::pointer(*list);
                    let head = *cell;
                    *list = *cell.add(1);
                    *written += 1;
                    if !word::is_small(head) {
                        break head;
                    }
                    small(self.writer, word::value(head));
                },
            };
            self.one(next)?;
        }
        Ok(())
    }

    fn open(&mut self, rest: Rest) -> Result<()> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(Unwritable::TooDeep);
        }
        self.stack.push(rest);
        Ok(())
    }

    /// Writes a term without its elements.
    #[inline]
    unsafe fn one(&mut self, term: Word) -> Result<()> {
        match word::view(term) {
            View::Small(value) => small(self.writer, value),
            View::Atom(index) => return self.atom(atom::name(index)),
            View::Nil => self.writer.u8(tag::NIL),
            View::Pid(word) => pid::encode(self.writer, word),
            View::Cell => {
                self.writer.bytes(&[tag::LIST, 0, 0, 0, 0]);
                return self.open(Rest::List {
                    list: term,
                    count: 0,
                    at: self.writer.bytes.len() - 4,
                });
            }
            View::Boxed(kind, boxed) => return self.boxed(kind, boxed),
            View::None => return Err(Unwritable::NoTerm),
        }
        Ok(())
    }

    fn atom(&mut self, name: &str) -> Result<()> {
        match u8::try_from(name.len()) {
            Ok(length) => self.writer.bytes(&[tag::SMALL_ATOM_UTF8, length]),
            Err(_) => {
                self.writer.u8(tag::ATOM_UTF8);
                self.writer
                    .u16_be(name.len().try_into().map_err(|_| Unwritable::TooLarge)?);
            }
        }
        self.writer.bytes(name.as_bytes());
        Ok(())
    }

    unsafe fn boxed(&mut self, kind: Kind, boxed: *const Word) -> Result<()> {
        let size = word::size(boxed);
        match kind {
            Kind::Tuple => {
                match u8::try_from(size) {
                    Ok(size) => self.writer.bytes(&[tag::SMALL_TUPLE, size]),
                    Err(_) => {
                        self.writer.u8(tag::LARGE_TUPLE);
                        self.writer.u32_be(count(size)?);
                    }
                }
                return self.open(Rest::Words(boxed.add(1), size));
            }
            Kind::Map => {
                self.writer.u8(tag::MAP);
                self.writer.u32_be(count(size)?);
                let pairs = map::pairs(boxed).as_ptr().cast();
                return self.open(Rest::Words(pairs, 2 * size));
            }
            Kind::Float => {
                let [a, b, c, d, e, f, g, h] = number::float(boxed).to_be_bytes();
                self.writer.bytes(&[tag::NEW_FLOAT, a, b, c, d, e, f, g, h]);
            }
            Kind::Big => {
                let big = number::big(boxed);
                let bytes: Vec<u8> = big
                    .limbs
                    .iter()
                    .flat_map(|limb| limb.to_le_bytes())
                    .collect();
                digits(self.writer, big.negative, &bytes);
            }
            Kind::Shared
                if self.for_wire
                    && size >= BESIDE
                    && let Some((memory, at)) = vm::put_beside(binary::bits_of(boxed).0) =>
            {
                self.writer.u8(tag::BLOB);
                self.writer.u64(memory);
                self.writer.u64(at);
                self.writer.u64(size as u64);
            }
            Kind::Binary | Kind::Shared => {
                let [a, b, c, d] = count(size)?.to_be_bytes();
                self.writer.bytes.reserve(5 + size);
                self.writer.bytes(&[tag::BINARY, a, b, c, d]);
                self.writer.bytes(binary::bits_of(boxed).0);
            }
            Kind::Bits => {
                let (bytes, used) = binary::bits_of(boxed);
                self.writer.u8(tag::BIT_BINARY);
                self.writer.u32_be(count(size)?);
                self.writer.u8(used);
                self.writer.bytes(bytes);
            }
            // They begin with their tag.
            Kind::Pid | Kind::Port | Kind::Reference => self.writer.bytes(word::bytes(boxed)),
            Kind::Resource if self.for_wire => {
                let object = objects::export(*boxed.add(1) as *const _);
                self.exported.push(object.number);
                self.writer.bytes(&[tag::OBJECT, object.kind]);
                self.writer.u64(object.number);
                self.writer.u64(object.extra);
            }
            Kind::Request if self.for_wire => return Err(Unwritable::NoTerm),
            Kind::Kept if self.for_wire => {
                let kept = kept::of(boxed);
                self.writer.bytes(&[tag::KEPT, kept.kind]);
                self.writer.u64(kept.number);
                self.writer.u32(0);
            }
            Kind::Resource | Kind::Request | Kind::Kept => {
                let external = reference::external(boxed);
                if external.is_empty() {
                    return Err(Unwritable::NoTerm);
                }
                self.writer.bytes(&external);
            }
        }
        Ok(())
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_term_to_binary(
    _env: *mut HostEnv,
    term: Word,
    binary: *mut RawBinary,
) -> c_int {
    let mut writer = Writer {
        bytes: vec![tag::VERSION],
    };
    if write(&mut writer, term, false).is_err() {
        return 0;
    }
    binary.write(RawBinary::of_bytes(&writer.bytes));
    1
}
