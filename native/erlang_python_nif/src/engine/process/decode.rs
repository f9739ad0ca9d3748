//! Bytes of a worker process to terms. The worker is not trusted: whatever the bytes are, they become terms, or are
//! found to be broken.
//!
//! On any thread. Where that is none of the VM's, `enif_binary_to_term` falls over maps (of 200 keys and more, OTP 25),
//! so only terms without parts are left to it.

use super::pid;
use crate::base::{map, name, words};
use erlang_python_wire::{Broken, MAX_DEPTH, Reader, tag};
use rustler::sys::{self, ErlNifTerm};
use rustler::{Env, Term};
use std::mem::MaybeUninit;

type Result<T> = std::result::Result<T, Broken>;

/// What a worker can name by a number.
pub trait Objects {
    /// The resource that stands for an object. `kind`: one of `erlang_python_wire::tag::object`, or anything.
    fn object<'a>(&self, env: Env<'a>, kind: u8, number: u64, extra: u64) -> Result<Term<'a>>;

    /// A term that the VM keeps for the worker.
    fn kept<'a>(&self, env: Env<'a>, number: u64) -> Result<Term<'a>>;
}

/// The next term.
pub fn decode<'a>(
    env: Env<'a>,
    reader: &mut Reader<'_>,
    objects: &impl Objects,
) -> Result<Term<'a>> {
    let mut decoder = Decoder {
        env,
        objects,
        terms: Vec::new(),
        levels: Vec::new(),
        scratch: (Vec::new(), Vec::new()),
    };
    let term = decoder.term(reader)?;
    // SAFETY: made in this environment.
    Ok(unsafe { Term::new(env, term) })
}

struct Decoder<'a, 'o, O> {
    env: Env<'a>,
    objects: &'o O,
    /// Parts of what is begun.
    terms: Vec<ErlNifTerm>,
    levels: Vec<Level>,
    /// Keys and values of a map.
    scratch: (Vec<ErlNifTerm>, Vec<ErlNifTerm>),
}

/// What is begun, the innermost last.
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
    fn term(&mut self, reader: &mut Reader<'_>) -> Result<ErlNifTerm> {
        loop {
            let mut term = match self.begin(reader)? {
                Begun::Term(term) => term,
                Begun::Level(kind, left) => {
                    if self.levels.len() == MAX_DEPTH {
                        return Err(Broken("a term is nested too deep"));
                    }
                    self.levels.push(Level {
                        kind,
                        left,
                        start: self.terms.len(),
                    });
                    continue;
                }
            };
            loop {
                let Some(level) = self.levels.last_mut() else {
                    return Ok(term);
                };
                self.terms.push(term);
                level.left -= 1;
                if level.left > 0 {
                    break;
                }
                let (kind, start) = (level.kind, level.start);
                self.levels.pop();
                term = self.end(kind, start)?;
                self.terms.truncate(start);
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
                atom(self.env, reader.bytes(length)?)?
            }
            tag::ATOM_UTF8 => {
                let length = reader.u16_be()?.into();
                atom(self.env, reader.bytes(length)?)?
            }
            // SAFETY: a valid environment.
            tag::NIL => unsafe { sys::enif_make_list_from_array(env, std::ptr::null(), 0) },
            tag::BINARY => {
                let length = reader.u32_be()? as usize;
                binary(self.env, reader.bytes(length)?)
            }
            tag::LIST => {
                // With the tail.
                let count = reader.count_be(1)?;
                return Ok(match count {
                    0 => Begun::Level(Kind::List, 1),
                    _ => Begun::Level(Kind::List, count + 1),
                });
            }
            tag::SMALL_TUPLE => {
                let count = reader.u8()?.into();
                return self.parts(Kind::Tuple, count);
            }
            tag::LARGE_TUPLE => {
                let count = reader.count_be(1)?;
                if count > LARGEST_TUPLE {
                    return Err(Broken("a tuple has too many elements"));
                }
                return self.parts(Kind::Tuple, count);
            }
            tag::MAP => {
                let count = reader.count_be(2)?;
                return self.parts(Kind::Map, 2 * count);
            }
            tag::STRING => {
                let length = reader.u16_be()?.into();
                let codes = reader.bytes(length)?.iter();
                self.terms_of_list(codes.map(|&code| integer(self.env, code.into())))
            }
            tag::OBJECT => {
                let (kind, number, extra) = (reader.u8()?, reader.u64()?, reader.u64()?);
                let object = self.objects.object(self.env, kind, number, extra)?;
                object.as_c_arg()
            }
            tag::KEPT => {
                let (_kind, number) = (reader.u8()?, reader.u64()?);
                let length = reader.u32()? as usize;
                reader.bytes(length)?;
                self.objects.kept(self.env, number)?.as_c_arg()
            }
            tag::NEW_PID => pid::read(self.env, reader)?.as_c_arg(),
            tag => self.leaf(tag, whole, reader)?,
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
                _ => sys::enif_make_tuple_from_array(env, std::ptr::null(), 0),
            }
        }))
    }

    /// What only the VM can make: its size is found, and the bytes are left to it.
    #[cold]
    fn leaf(&self, tag: u8, whole: &[u8], reader: &mut Reader<'_>) -> Result<ErlNifTerm> {
        match tag {
            tag::SMALL_BIG => {
                let length: usize = reader.u8()?.into();
                reader.bytes(1 + length)?;
            }
            tag::LARGE_BIG => {
                let length = reader.u32_be()? as usize;
                reader.bytes(1)?;
                reader.bytes(length)?;
            }
            tag::BIT_BINARY => {
                let length = reader.u32_be()? as usize;
                let bits = reader.u8()?;
                if !(1..=8).contains(&bits) || length == 0 {
                    return Err(Broken("a bitstring has an impossible number of bits"));
                }
                reader.bytes(length)?;
            }
            tag::NEWER_REFERENCE => {
                let words: usize = reader.u16_be()?.into();
                pid::node(reader)?;
                reader.bytes(4 + 4 * words)?;
            }
            tag::NEW_PORT => {
                pid::node(reader)?;
                reader.bytes(4 + 4)?;
            }
            tag::V4_PORT => {
                pid::node(reader)?;
                reader.bytes(8 + 4)?;
            }
            _ => return Err(Broken("a term has an unknown tag")),
        }
        let external = &whole[..whole.len() - reader.len()];
        let term = pid::from_external(self.env, external)?;
        Ok(term.as_c_arg())
    }

    fn end(&mut self, kind: Kind, start: usize) -> Result<ErlNifTerm> {
        let env = self.env.as_c_arg();
        let parts = &self.terms[start..];
        match kind {
            // SAFETY: terms of this environment.
            Kind::Tuple => Ok(unsafe {
                sys::enif_make_tuple_from_array(env, parts.as_ptr(), parts.len() as u32)
            }),
            Kind::List => Ok(self.list(parts)),
            Kind::Map => self.map(start),
        }
    }

    /// The last one is the tail.
    fn list(&self, parts: &[ErlNifTerm]) -> ErlNifTerm {
        let env = self.env.as_c_arg();
        let Some((&tail, items)) = parts.split_last() else {
            unreachable!("a list has a tail");
        };
        // SAFETY: terms of this environment.
        unsafe {
            if sys::enif_is_empty_list(env, tail) != 0 {
                return sys::enif_make_list_from_array(env, items.as_ptr(), items.len() as u32);
            }
            let cell = |tail, &head| sys::enif_make_list_cell(env, head, tail);
            items.iter().rev().fold(tail, cell)
        }
    }

    fn terms_of_list(&self, items: impl Iterator<Item = ErlNifTerm>) -> ErlNifTerm {
        let items: Vec<_> = items.collect();
        // SAFETY: terms of this environment.
        unsafe {
            sys::enif_make_list_from_array(self.env.as_c_arg(), items.as_ptr(), items.len() as u32)
        }
    }

    fn map(&mut self, start: usize) -> Result<ErlNifTerm> {
        let (keys, values) = &mut self.scratch;
        keys.clear();
        values.clear();
        for pair in self.terms[start..].chunks_exact(2) {
            keys.push(pair[0]);
            values.push(pair[1]);
        }
        // SAFETY: terms of this environment.
        let map = unsafe { map::from_arrays(self.env, keys, values) };
        map.filter(|map| map.map_size().is_ok_and(|size| size == keys.len()))
            .map(|map| map.as_c_arg())
            .ok_or(Broken("a map has a key twice"))
    }
}

/// What the VM has room for.
const LARGEST_TUPLE: usize = (1 << 24) - 1;

#[inline]
fn integer(env: Env<'_>, value: i64) -> ErlNifTerm {
    match words::make_small(value) {
        Some(term) => term,
        // SAFETY: a valid environment.
        None => unsafe { sys::enif_make_int64(env.as_c_arg(), value) },
    }
}

/// An atom that there is: the table of atoms has an end.
fn atom(env: Env<'_>, name: &[u8]) -> Result<ErlNifTerm> {
    let text = std::str::from_utf8(name).map_err(|_| Broken("the name of an atom is not UTF-8"))?;
    let atom = name::existing_atom(env, text).ok_or(Broken("there is no such atom"))?;
    Ok(atom.as_c_arg())
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
