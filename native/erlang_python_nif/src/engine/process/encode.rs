//! Terms to bytes for a worker process, in one walk. In the NIF of the caller: on a normal scheduler.

use super::encoded::{self, Encoded, Object, Unsendable};
use super::leaf::{external, identity};
use super::names::{self, Names};
use super::pid;
use crate::base::atoms;
use crate::base::boxed::{self, Boxed};
use crate::base::pairs::Pairs;
use crate::base::words;
use erlang_python_wire::{MAX_DEPTH, MAX_FRAME, tag};
use rustler::sys::{self, ErlNifTerm};
use rustler::{Atom, Env, Term, TermType};
use std::iter::Zip;
use std::mem::MaybeUninit;
use std::slice::Iter;

type Result<T> = std::result::Result<T, Unsendable>;

/// Binaries of so many bytes are not copied until they are sent.
pub const LARGE: usize = 64 << 10;

/// Deeper than all that can be converted, with some room for what is around that.
const DEEPEST: usize = MAX_DEPTH - 10;

/// Terms in the making of bytes.
pub struct Encoder<F> {
    encoded: Encoded,
    /// The object that a reference stands for, if it is a resource of ours. Also said is whether it is that of a
    /// handle: any other reference comes back as itself.
    find: F,
    /// The reference in the handle that was met last, or of the call's target.
    handle: Option<ErlNifTerm>,
    /// The data of the buffer that was met last: it may be sent again.
    buffer: Option<ErlNifTerm>,
}

/// What is begun and has not ended, the innermost last.
enum Level<'a> {
    /// `count` elements were written, and `at` is where their number belongs.
    List {
        rest: ErlNifTerm,
        count: u32,
        at: usize,
    },
    Tuple(Iter<'a, ErlNifTerm>),
    /// The value of the key that was written last, unless that was, too.
    Map(Option<ErlNifTerm>),
    /// One whose keys and values are read in place.
    Flat(
        Zip<Iter<'a, ErlNifTerm>, Iter<'a, ErlNifTerm>>,
        Option<ErlNifTerm>,
    ),
}

/// All that is begun.
struct Levels<'a> {
    all: Vec<Level<'a>>,
    /// Those of the maps among them.
    pairs: Vec<Pairs<'a>>,
}

impl<F: Fn(Term<'_>, bool) -> Option<Object>> Encoder<F> {
    /// `target`: what the operation is about, if that is an object.
    pub fn new(find: F, target: Option<Term<'_>>) -> Self {
        Encoder {
            encoded: Encoded::default(),
            find,
            handle: target.map(|target| target.as_c_arg()),
            buffer: None,
        }
    }

    /// The terms that were added.
    pub fn finish(self) -> Result<Encoded> {
        if self.encoded.len() > MAX_FRAME {
            return Err(Unsendable::TooLarge);
        }
        Ok(self.encoded)
    }

    /// Adds a term.
    pub fn add(&mut self, term: Term<'_>) -> Result<()> {
        names::with(|names| self.walk(names, term))
    }

    fn walk(&mut self, names: &mut Names, term: Term<'_>) -> Result<()> {
        let env = term.get_env();
        // As much as a small call needs.
        self.encoded.bytes.reserve(128);
        let mut levels = Levels {
            all: Vec::with_capacity(8),
            pairs: Vec::new(),
        };
        let mut next = term.as_c_arg();
        loop {
            self.begin(names, env, next, &mut levels)?;
            next = loop {
                let Some(level) = levels.all.last_mut() else {
                    return Ok(());
                };
                if let Some(next) = self.next(env, level, &mut levels.pairs) {
                    // What is behind the last cell of a list.
                    if let Level::List { at: ENDED, .. } = level {
                        levels.all.pop();
                    }
                    break next;
                }
                if let Some(Level::Map(_)) = levels.all.pop() {
                    levels.pairs.pop();
                }
            };
        }
    }

    /// Writes a term that has no parts, and begins one that has.
    #[inline]
    fn begin<'a>(
        &mut self,
        names: &mut Names,
        env: Env<'a>,
        raw: ErlNifTerm,
        levels: &mut Levels<'a>,
    ) -> Result<()> {
        let bytes = &mut self.encoded.bytes;
        if let Some(value) = words::small(raw) {
            integer(bytes, value);
            return Ok(());
        }
        // SAFETY: a valid term of this environment.
        if let Some(boxed) = unsafe { boxed::of::<'a>(raw) } {
            self.boxed(boxed, levels);
            return Ok(());
        }
        if names.write_known(raw, bytes) {
            return Ok(());
        }
        // SAFETY: a term of this environment: what was given, or a part of it.
        let term = unsafe { Term::new(env, raw) };
        match term.get_type() {
            TermType::List => self.list(term, levels),
            TermType::Tuple => self.tuple(items(term), levels),
            TermType::Map => self.map(term, levels),
            TermType::Atom => names.write(term, bytes),
            TermType::Binary => self.binary(term)?,
            TermType::Integer => self.integer(term),
            TermType::Float => self.float(term),
            TermType::Pid => pid::write(bytes, term),
            TermType::Ref => self.reference(term)?,
            TermType::Fun => self.function(term),
            TermType::Port => self.keep(tag::kept::PORT, term, &identity(term)),
            _ => self.keep(tag::kept::OTHER, term, &external(term)),
        }
        Ok(())
    }

    /// The next part. None if all were written. `pairs`: of the innermost map last.
    #[inline]
    fn next<'a>(
        &mut self,
        env: Env<'a>,
        level: &mut Level<'a>,
        pairs: &mut [Pairs<'a>],
    ) -> Option<ErlNifTerm> {
        match level {
            Level::List { rest, count, at } => {
                let bytes = &mut self.encoded.bytes;
                while let Some((head, tail)) = words::cell_of(env, *rest) {
                    *rest = tail;
                    *count += 1;
                    match words::small(head) {
                        Some(value) => integer(bytes, value),
                        None => return Some(head),
                    }
                }
                bytes[*at..*at + 4].copy_from_slice(&count.to_be_bytes());
                // SAFETY: a term of this environment.
                if unsafe { sys::enif_is_empty_list(env.as_c_arg(), *rest) } != 0 {
                    bytes.push(tag::NIL);
                    return None;
                }
                *at = ENDED;
                Some(*rest)
            }
            Level::Tuple(items) => items.next().copied(),
            Level::Flat(pairs, value) => value.take().or_else(|| {
                let (key, next) = pairs.next()?;
                *value = Some(*next);
                Some(*key)
            }),
            Level::Map(value) => value.take().or_else(|| {
                let (key, next) = pairs.last_mut()?.next()?;
                *value = Some(next.as_c_arg());
                Some(key.as_c_arg())
            }),
        }
    }

    fn boxed<'a>(&mut self, boxed: Boxed<'a>, levels: &mut Levels<'a>) {
        let bytes = &mut self.encoded.bytes;
        match boxed {
            Boxed::Tuple(items) => self.tuple(items, levels),
            Boxed::Float(value) => float(bytes, value),
            Boxed::Binary(data) => {
                begin(bytes, tag::BINARY, data.len() as u32);
                bytes.extend_from_slice(data);
            }
            Boxed::Map(_, _) if levels.all.len() >= DEEPEST => too_deep(bytes),
            Boxed::Map(keys, values) => {
                if matches!(keys.len(), 3 | 4) {
                    self.buffer = buffer(keys, values).or(self.buffer);
                }
                // One without its home is a handle, too.
                if matches!(keys.len(), 2 | 3) {
                    self.handle = handle(keys, values).or(self.handle);
                }
                let bytes = &mut self.encoded.bytes;
                begin(bytes, tag::MAP, keys.len() as u32);
                let pairs = keys.iter().zip(values);
                levels.all.push(Level::Flat(pairs, None));
            }
        }
    }

    fn list<'a>(&mut self, term: Term<'a>, levels: &mut Levels<'a>) {
        let bytes = &mut self.encoded.bytes;
        if term.is_empty_list() {
            return bytes.push(tag::NIL);
        }
        if levels.all.len() >= DEEPEST {
            return too_deep(bytes);
        }
        bytes.extend([tag::LIST, 0, 0, 0, 0]);
        levels.all.push(Level::List {
            rest: term.as_c_arg(),
            count: 0,
            at: bytes.len() - 4,
        });
    }

    fn tuple<'a>(&mut self, items: &'a [ErlNifTerm], levels: &mut Levels<'a>) {
        let bytes = &mut self.encoded.bytes;
        if levels.all.len() >= DEEPEST {
            return too_deep(bytes);
        }
        match u8::try_from(items.len()) {
            Ok(count) => bytes.extend([tag::SMALL_TUPLE, count]),
            // There are no tuples of more than 24 bits.
            Err(_) => begin(bytes, tag::LARGE_TUPLE, items.len() as u32),
        }
        levels.all.push(Level::Tuple(items.iter()));
    }

    fn map<'a>(&mut self, term: Term<'a>, levels: &mut Levels<'a>) {
        let bytes = &mut self.encoded.bytes;
        if levels.all.len() >= DEEPEST {
            return too_deep(bytes);
        }
        self.handle = handle_of(term).or(self.handle);
        // A map with as many keys would have more bytes than memory has.
        begin(bytes, tag::MAP, term.map_size().unwrap_or(0) as u32);
        levels.all.push(Level::Map(None));
        levels.pairs.push(Pairs::new(term));
    }

    fn binary(&mut self, term: Term<'_>) -> Result<()> {
        let Some(data) = encoded::data(term) else {
            // Its last byte is not a whole one.
            let bytes = external(term);
            self.encoded.bytes.extend_from_slice(&bytes);
            return Ok(());
        };
        let size = u32::try_from(data.len()).map_err(|_| Unsendable::TooLarge)?;
        begin(&mut self.encoded.bytes, tag::BINARY, size);
        if data.len() >= LARGE {
            let again = self.buffer == Some(term.as_c_arg());
            self.encoded.add_blob(term, data.len(), again);
        } else {
            self.encoded.bytes.extend_from_slice(data);
        }
        Ok(())
    }

    fn integer(&mut self, term: Term<'_>) {
        let mut value = 0;
        // SAFETY: a valid term of a valid environment; the value is written on success.
        let fits = unsafe {
            sys::enif_get_int64(term.get_env().as_c_arg(), term.as_c_arg(), &mut value) != 0
        };
        let bytes = &mut self.encoded.bytes;
        if fits {
            integer(bytes, value);
        } else {
            bytes.extend_from_slice(&external(term));
        }
    }

    fn float(&mut self, term: Term<'_>) {
        let mut value = 0f64;
        // SAFETY: a valid term of a valid environment, known to be a float.
        unsafe { sys::enif_get_double(term.get_env().as_c_arg(), term.as_c_arg(), &mut value) };
        float(&mut self.encoded.bytes, value);
    }

    fn reference(&mut self, term: Term<'_>) -> Result<()> {
        let is_handle = self.handle == Some(term.as_c_arg());
        let Some(object) = (self.find)(term, is_handle) else {
            self.keep(tag::kept::REFERENCE, term, &identity(term));
            return Ok(());
        };
        self.encoded.pin(object.worker, term)?;
        let bytes = &mut self.encoded.bytes;
        bytes.extend([tag::OBJECT, object.kind]);
        bytes.extend(object.number.to_le_bytes());
        bytes.extend(object.extra.to_le_bytes());
        Ok(())
    }

    /// A function is told from others by its text, which is that of all closures of one place, and by hashes of
    /// what it holds: that itself may be large.
    fn function(&mut self, term: Term<'_>) {
        let mut identity = format!("{term:?}").into_bytes();
        identity.push(0);
        for salt in 0..4 {
            identity.extend((term.hash_internal(salt) as u32).to_le_bytes());
        }
        self.keep(tag::kept::FUNCTION, term, &identity);
    }

    fn keep(&mut self, kind: u8, term: Term<'_>, identity: &[u8]) {
        let number = self.encoded.keep(term);
        let bytes = &mut self.encoded.bytes;
        bytes.extend([tag::KEPT, kind]);
        bytes.extend(number.to_le_bytes());
        bytes.extend((identity.len() as u32).to_le_bytes());
        bytes.extend_from_slice(identity);
    }
}

/// The data of a `%Python.Buffer{}` or a `%Python.Array{}` that Python sees as it is.
#[inline]
fn buffer(keys: &[ErlNifTerm], values: &[ErlNifTerm]) -> Option<ErlNifTerm> {
    let shares = if is_struct(atoms::buffer(), keys, values) {
        value(atoms::copy(), keys, values) == Some(atoms::false_().as_c_arg())
    } else {
        is_struct(atoms::array(), keys, values)
    };
    let data = value(atoms::data(), keys, values);
    data.filter(|_| shares)
}

/// The reference of a `%Python.Object{}`.
#[inline]
fn handle(keys: &[ErlNifTerm], values: &[ErlNifTerm]) -> Option<ErlNifTerm> {
    if is_struct(atoms::object(), keys, values) {
        value(atoms::reference(), keys, values)
    } else {
        None
    }
}

/// The same where maps are not read in place.
fn handle_of(map: Term<'_>) -> Option<ErlNifTerm> {
    let name = map.map_get(atoms::__struct__()).ok()?;
    if name.as_c_arg() != atoms::object().as_c_arg() {
        return None;
    }
    let reference = map.map_get(atoms::reference()).ok()?;
    Some(reference.as_c_arg())
}

#[inline]
fn is_struct(name: Atom, keys: &[ErlNifTerm], values: &[ErlNifTerm]) -> bool {
    let name = name.as_c_arg();
    values.contains(&name) && value(atoms::__struct__(), keys, values) == Some(name)
}

#[inline]
fn value(key: Atom, keys: &[ErlNifTerm], values: &[ErlNifTerm]) -> Option<ErlNifTerm> {
    let at = keys.iter().position(|&found| found == key.as_c_arg())?;
    values.get(at).copied()
}

/// The place of a list's length, once that was written.
const ENDED: usize = usize::MAX;

#[inline]
fn integer(bytes: &mut Vec<u8>, value: i64) {
    if let Ok(value) = u8::try_from(value) {
        bytes.extend_from_slice(&[tag::SMALL_INTEGER, value]);
    } else if let Ok(value) = i32::try_from(value) {
        let [a, b, c, d] = value.to_be_bytes();
        bytes.extend_from_slice(&[tag::INTEGER, a, b, c, d]);
    } else {
        let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
        bytes.extend_from_slice(&[tag::INT64, a, b, c, d, e, f, g, h]);
    }
}

#[inline]
fn float(bytes: &mut Vec<u8>, value: f64) {
    let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
    bytes.extend_from_slice(&[tag::NEW_FLOAT, a, b, c, d, e, f, g, h]);
}

#[inline]
fn begin(bytes: &mut Vec<u8>, tag: u8, count: u32) {
    let [a, b, c, d] = count.to_be_bytes();
    bytes.extend_from_slice(&[tag, a, b, c, d]);
}

/// In the place of what nobody can convert, for it is too deep: an improper list, which nobody can convert either.
/// The worker comes to the level that is too deep before it comes here, and says where that is.
#[cold]
fn too_deep(bytes: &mut Vec<u8>) {
    begin(bytes, tag::LIST, 1);
    bytes.extend([tag::NIL, tag::SMALL_INTEGER, 0]);
}

/// The elements of a tuple.
fn items<'a>(tuple: Term<'a>) -> &'a [ErlNifTerm] {
    let (mut count, mut items) = (0, MaybeUninit::uninit());
    // SAFETY: a valid term of a valid environment; the address is written for a tuple, and its elements live as long
    // as the environment, which is 'a.
    unsafe {
        let env = tuple.get_env().as_c_arg();
        if sys::enif_get_tuple(env, tuple.as_c_arg(), &mut count, items.as_mut_ptr()) == 0
            || count <= 0
        {
            return &[];
        }
        std::slice::from_raw_parts(items.assume_init(), count as usize)
    }
}
