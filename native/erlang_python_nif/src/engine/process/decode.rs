//! Bytes of a worker process to terms. The worker is not trusted: whatever the bytes are, they become terms, or are
//! found to be broken.
//!
//! First the bytes are read over (`Shape`). What is plain external term format is then made by the VM, which is faster
//! than one of its functions for each part; the rest is made here. On any thread: but on one that is none of the VM's,
//! `enif_binary_to_term` falls over large maps (of 200 keys and more, OTP 25), so they are not plain there.

use super::{leaf, pid};
use crate::base::{map, words};
use erlang_python_wire::shape::{self, Container, FLAT, Limits};
use erlang_python_wire::{Broken, MAX_DEPTH, Reader, Shape, tag};
use rustler::sys::{self, ErlNifTerm};
use rustler::{Env, Term};
use std::cell::Cell;
use std::mem::MaybeUninit;

type Result<T> = std::result::Result<T, Broken>;

/// What a worker can name by a number.
pub trait Objects {
    /// The resource that stands for an object. `kind`: one of `erlang_python_wire::tag::object`, or anything.
    fn object<'a>(&self, env: Env<'a>, kind: u8, number: u64, extra: u64) -> Result<Term<'a>>;

    /// A term that the VM keeps for the worker.
    fn kept<'a>(&self, env: Env<'a>, number: u64) -> Result<Term<'a>>;

    /// A large binary, copied from the memory that it was put into.
    fn beside<'a>(&self, _env: Env<'a>, _memory: u64, _at: u64, _size: u64) -> Result<Term<'a>> {
        Err(Broken("there is nothing beside the frame"))
    }
}

/// The VM's function is not worth its while for less.
const SMALL: usize = 64;

/// Maps of so many keys are worth another thread.
const MANY_KEYS: usize = 1_000;

/// Binaries of so many bytes are not copied on their way to the VM's function.
const LARGE: usize = 16 << 10;

/// How much memory a thread keeps for the next time, in elements of each kind.
const KEPT: usize = 64 << 10;

/// The next term. Nothing is left of what was made if it is broken but garbage in the environment.
pub fn decode<'a>(
    env: Env<'a>,
    reader: &mut Reader<'_>,
    objects: &impl Objects,
) -> Result<Term<'a>> {
    with_memory(env, objects, |mut decoder| decoder.whole(reader, false))?
        .ok_or(Broken("a term was left to others"))
}

/// The same. None, and nothing is read, if another thread would make it much sooner: it is in the external term format,
/// and has large maps.
pub fn decode_or_leave<'a>(
    env: Env<'a>,
    reader: &mut Reader<'_>,
    objects: &impl Objects,
) -> Result<Option<Term<'a>>> {
    with_memory(env, objects, |mut decoder| decoder.whole(reader, true))
}

fn with_memory<'a, O: Objects>(
    env: Env<'a>,
    objects: &O,
    read: impl FnOnce(Decoder<'a, '_, O>) -> Result<Option<ErlNifTerm>>,
) -> Result<Option<Term<'a>>> {
    thread_local! {
        static SPARE: Cell<Option<Box<Memory>>> = const { Cell::new(None) };
    }
    let mut memory = SPARE.take().unwrap_or_default();
    let term = read(Decoder {
        env,
        objects,
        memory: &mut memory,
    });
    memory.shrink();
    SPARE.set(Some(memory));
    // SAFETY: made in this environment.
    term.map(|term| term.map(|term| unsafe { Term::new(env, term) }))
}

#[derive(Default)]
struct Memory {
    shape: Shape,
    /// Parts of what is begun.
    terms: Vec<ErlNifTerm>,
    /// What is begun, the innermost last.
    levels: Vec<Level>,
    keys: Vec<ErlNifTerm>,
    values: Vec<ErlNifTerm>,
    bytes: Vec<u8>,
}

impl Memory {
    fn shrink(&mut self) {
        fn shrink<T>(elements: &mut Vec<T>) {
            elements.clear();
            elements.shrink_to(KEPT);
        }
        self.shape.forget(KEPT);
        shrink(&mut self.terms);
        shrink(&mut self.levels);
        shrink(&mut self.keys);
        shrink(&mut self.values);
        self.bytes.clear();
        self.bytes.shrink_to(16 * KEPT);
    }
}

struct Decoder<'a, 'o, O> {
    env: Env<'a>,
    objects: &'o O,
    memory: &'o mut Memory,
}

struct Level {
    kind: Kind,
    /// How many terms are missing.
    left: usize,
    /// Where its parts begin in `terms`.
    start: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Its last part is the tail.
    List,
    Tuple,
    Map,
}

/// What a tag begins.
enum Begun {
    Term(ErlNifTerm),
    Level(Kind, usize),
}

impl<O: Objects> Decoder<'_, '_, O> {
    /// `leaves`: it may be left to another thread.
    fn whole(&mut self, reader: &mut Reader<'_>, leaves: bool) -> Result<Option<ErlNifTerm>> {
        let all = *reader;
        if all.len() <= SMALL {
            return self.term(all, reader, &[]).map(Some);
        }
        // SAFETY: no preconditions.
        let own_thread = unsafe { sys::enif_thread_type() } == 0;
        let mut shape = std::mem::take(&mut self.memory.shape);
        let term = self.by_shape(&mut shape, reader, own_thread, own_thread && leaves);
        self.memory.shape = shape;
        term
    }

    fn by_shape(
        &mut self,
        shape: &mut Shape,
        reader: &mut Reader<'_>,
        own_thread: bool,
        leaves: bool,
    ) -> Result<Option<ErlNifTerm>> {
        let all = *reader;
        let mut limits = Limits {
            most_keys: usize::MAX,
            most_bytes: LARGE,
        };
        let mut over = all;
        shape.read(&mut over, limits)?;
        if own_thread && shape.largest_map > FLAT {
            if leaves && shape.plain && over.is_empty() && shape.largest_map >= MANY_KEYS {
                return Ok(None);
            }
            limits.most_keys = FLAT;
            shape.read(&mut { all }, limits)?;
        }
        if shape.plain {
            let length = all.len() - over.len();
            self.external(&[], reader.bytes(length)?, &[]).map(Some)
        } else {
            self.term(all, reader, &shape.containers).map(Some)
        }
    }

    /// `all`: where `containers` begin to count. They are those of the term, or none.
    fn term(
        &mut self,
        all: Reader<'_>,
        reader: &mut Reader<'_>,
        containers: &[Container],
    ) -> Result<ErlNifTerm> {
        // Those that come next.
        let mut at = 0;
        loop {
            let here = *reader;
            let mut term = match self.begin(reader)? {
                Begun::Term(term) => term,
                Begun::Level(kind, parts) => match containers.get(at) {
                    Some(container) if let Some(length) = plain(container, all, here) => {
                        at = container.next as usize;
                        *reader = here;
                        self.external(&[], reader.bytes(length)?, &[])?
                    }
                    Some(container) if container.integers => {
                        at = container.next as usize;
                        self.integers(parts - 1, reader)?
                    }
                    Some(container) if matches!(kind, Kind::Map) && container.plain_parts => {
                        at = container.next as usize;
                        let length = container.end as usize - (all.len() - reader.len());
                        self.map_of_plain(parts, reader.bytes(length)?)?
                    }
                    _ => {
                        at += 1;
                        if self.memory.levels.len() == MAX_DEPTH {
                            return Err(Broken("a term is nested too deep"));
                        }
                        self.memory.levels.push(Level {
                            kind,
                            left: parts,
                            start: self.memory.terms.len(),
                        });
                        continue;
                    }
                },
            };
            loop {
                let Some(level) = self.memory.levels.last_mut() else {
                    return Ok(term);
                };
                self.memory.terms.push(term);
                level.left -= 1;
                if level.left > 0 {
                    break;
                }
                let (kind, start) = (level.kind, level.start);
                self.memory.levels.pop();
                term = self.end(kind, start)?;
                self.memory.terms.truncate(start);
            }
        }
    }

    /// Reads a term that has no parts, or how many another one has.
    #[inline]
    fn begin(&mut self, reader: &mut Reader<'_>) -> Result<Begun> {
        let env = self.env.as_c_arg();
        let whole = reader.rest();
        Ok(Begun::Term(match reader.u8()? {
            tag::SMALL_INTEGER => integer(self.env, reader.u8()?.into()),
            tag::INTEGER => integer(self.env, reader.i32_be()?.into()),
            tag::INT64 => integer(self.env, reader.i64()?),
            tag::NEW_FLOAT => {
                let value = reader.f64_be()?;
                if !value.is_finite() {
                    return Err(Broken("a float is not finite"));
                }
                // SAFETY: a valid environment.
                unsafe { sys::enif_make_double(env, value) }
            }
            tag::SMALL_ATOM_UTF8 => {
                let length = reader.u8()?.into();
                leaf::atom(self.env, reader.bytes(length)?)?
            }
            tag::ATOM_UTF8 => {
                let length = reader.u16_be()?.into();
                leaf::atom(self.env, reader.bytes(length)?)?
            }
            tag::NIL => list(self.env, &[]),
            tag::BINARY => {
                let length = reader.u32_be()? as usize;
                binary(self.env, reader.bytes(length)?)
            }
            tag::LIST => return Ok(Begun::Level(Kind::List, reader.count_be(1)? + 1)),
            tag::SMALL_TUPLE => {
                let count = reader.u8()?.into();
                return self.parts(Kind::Tuple, count);
            }
            tag::LARGE_TUPLE => {
                let count = reader.count_be(1)?;
                if count > shape::LARGEST_TUPLE {
                    return Err(Broken("a tuple has too many elements"));
                }
                return self.parts(Kind::Tuple, count);
            }
            tag::MAP => {
                let count = reader.count_be(2)?;
                return self.parts(Kind::Map, 2 * count);
            }
            tag::OBJECT => {
                let (kind, number, extra) = (reader.u8()?, reader.u64()?, reader.u64()?);
                let object = self.objects.object(self.env, kind, number, extra)?;
                object.as_c_arg()
            }
            tag::BLOB => {
                let (memory, at, size) = (reader.u64()?, reader.u64()?, reader.u64()?);
                let binary = self.objects.beside(self.env, memory, at, size)?;
                binary.as_c_arg()
            }
            tag::KEPT => {
                let (_kind, number) = (reader.u8()?, reader.u64()?);
                let length = reader.u32()? as usize;
                reader.bytes(length)?;
                self.objects.kept(self.env, number)?.as_c_arg()
            }
            tag => {
                shape::rest(tag, reader)?;
                let bytes = &whole[..whole.len() - reader.len()];
                if tag == tag::NEW_PID {
                    pid::read(self.env, bytes)?
                } else {
                    self.external(&[], bytes, &[])?
                }
            }
        }))
    }

    fn parts(&self, kind: Kind, count: usize) -> Result<Begun> {
        if count > 0 {
            return Ok(Begun::Level(kind, count));
        }
        let env = self.env.as_c_arg();
        // SAFETY: a valid environment, and no elements.
        Ok(Begun::Term(unsafe {
            match kind {
                Kind::Map => sys::enif_make_new_map(env),
                _ => sys::enif_make_tuple_from_array(env, [].as_ptr(), 0),
            }
        }))
    }

    /// A list of so many small integers, which were counted.
    fn integers(&mut self, count: usize, reader: &mut Reader<'_>) -> Result<ErlNifTerm> {
        let terms = &mut self.memory.terms;
        let start = terms.len();
        terms.reserve(count);
        for _ in 0..count {
            terms.push(match reader.u8()? {
                tag::SMALL_INTEGER => integer(self.env, reader.u8()?.into()),
                tag::INTEGER => integer(self.env, reader.i32_be()?.into()),
                _ => return Err(Broken("a list has other elements than it had")),
            });
        }
        if reader.u8()? != tag::NIL {
            return Err(Broken("a list has another end than it had"));
        }
        let list = list(self.env, &terms[start..]);
        terms.truncate(start);
        Ok(list)
    }

    /// What only the VM can make, or makes sooner, in up to three pieces.
    fn external(&mut self, before: &[u8], bytes: &[u8], after: &[u8]) -> Result<ErlNifTerm> {
        let own = &mut self.memory.bytes;
        own.clear();
        own.reserve(1 + before.len() + bytes.len() + after.len());
        own.push(tag::VERSION);
        own.extend_from_slice(before);
        own.extend_from_slice(bytes);
        own.extend_from_slice(after);
        leaf::from_external(self.env, own)
    }

    fn end(&mut self, kind: Kind, start: usize) -> Result<ErlNifTerm> {
        let env = self.env.as_c_arg();
        let parts = &self.memory.terms[start..];
        match kind {
            // SAFETY: terms of this environment.
            Kind::Tuple => Ok(unsafe {
                sys::enif_make_tuple_from_array(env, parts.as_ptr(), parts.len() as u32)
            }),
            Kind::List => match parts {
                [items @ .., tail] if is_nil(self.env, *tail) => Ok(list(self.env, items)),
                [items @ .., tail] => {
                    // SAFETY: terms of this environment.
                    let cell = |tail, &head| unsafe { sys::enif_make_list_cell(env, head, tail) };
                    Ok(items.iter().rev().fold(*tail, cell))
                }
                [] => Err(Broken("a list has no tail")),
            },
            Kind::Map => {
                let Memory {
                    keys,
                    values,
                    terms,
                    ..
                } = &mut *self.memory;
                keys.clear();
                values.clear();
                for pair in terms[start..].chunks_exact(2) {
                    keys.push(pair[0]);
                    values.push(pair[1]);
                }
                self.map()
            }
        }
    }

    /// A map of the keys and values in memory.
    fn map(&self) -> Result<ErlNifTerm> {
        let (keys, values) = (&self.memory.keys, &self.memory.values);
        // SAFETY: terms of this environment.
        let map = unsafe { map::from_arrays(self.env, keys, values) };
        map.filter(|map| map.map_size().is_ok_and(|size| size == keys.len()))
            .map(|map| map.as_c_arg())
            .ok_or(Broken("a map has a key twice"))
    }

    /// A large map whose parts are plain: the VM makes a list of them, all at once.
    fn map_of_plain(&mut self, parts: usize, bytes: &[u8]) -> Result<ErlNifTerm> {
        let [a, b, c, d] = (parts as u32).to_be_bytes();
        let mut rest = self.external(&[tag::LIST, a, b, c, d], bytes, &[tag::NIL])?;
        self.memory.keys.clear();
        self.memory.values.clear();
        while let Some((key, (value, next))) = words::cell_of(self.env, rest)
            .and_then(|(key, next)| Some((key, words::cell_of(self.env, next)?)))
        {
            self.memory.keys.push(key);
            self.memory.values.push(value);
            rest = next;
        }
        self.map()
    }
}

/// How many bytes a plain container has, if that is worth its while.
#[inline]
fn plain(container: &Container, all: Reader<'_>, here: Reader<'_>) -> Option<usize> {
    let length = container.end as usize - (all.len() - here.len());
    (container.plain && length > SMALL).then_some(length)
}

#[inline]
fn integer(env: Env<'_>, value: i64) -> ErlNifTerm {
    match words::make_small(value) {
        Some(term) => term,
        // SAFETY: a valid environment.
        None => unsafe { sys::enif_make_int64(env.as_c_arg(), value) },
    }
}

fn list(env: Env<'_>, items: &[ErlNifTerm]) -> ErlNifTerm {
    // SAFETY: terms of this environment.
    unsafe { sys::enif_make_list_from_array(env.as_c_arg(), items.as_ptr(), items.len() as u32) }
}

fn is_nil(env: Env<'_>, term: ErlNifTerm) -> bool {
    // SAFETY: a term of this environment.
    unsafe { sys::enif_is_empty_list(env.as_c_arg(), term) != 0 }
}

fn binary(env: Env<'_>, bytes: &[u8]) -> ErlNifTerm {
    let mut term = MaybeUninit::uninit();
    // SAFETY: a valid environment; the term is written, and the memory is as large as was asked for and nobody else's.
    unsafe {
        let data = sys::enif_make_new_binary(env.as_c_arg(), bytes.len(), term.as_mut_ptr());
        if !bytes.is_empty() {
            data.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        term.assume_init()
    }
}
