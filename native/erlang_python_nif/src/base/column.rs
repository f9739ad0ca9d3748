//! The cells of a column that are of one kind, in one piece of memory, in Arrow's layout: a library has a column from it
//! without objects in between.
//!
//! A scheduler reads the cells, some at a time: another one would have to get them from another processor's cache. The memory
//! is the library's own (`allocator`).

use super::boxed::{self, Boxed};
use super::{atoms, words};
use rustler::{Env, Resource, Term, TermType, sys};
use std::sync::Arc;

#[derive(Default)]
pub struct Column {
    pub items: Items,
    pub length: usize,
    pub missing: usize,
    /// A bit for each cell, the first in the lowest. Empty as long as none is missing.
    present: Vec<u8>,
    /// How many cells there will be, most likely.
    room: usize,
    texts: bool,
}

/// A part of a column that is packed. A term refers to it, for code that knows it. To have it as a binary makes the VM collect
/// the process, for so many bytes, with all the lists that were read: that takes as long as to read them.
pub struct Part {
    column: Option<Arc<Column>>,
    read: fn(&Column) -> Option<&[u8]>,
}

impl Resource for Part {}

impl Part {
    /// None if the column has no such part.
    pub fn of(column: &Arc<Column>, read: fn(&Column) -> Option<&[u8]>) -> Option<Self> {
        read(column)?;
        Some(Part {
            column: Some(Arc::clone(column)),
            read,
        })
    }

    /// For `resources::register`.
    pub fn spare() -> Self {
        Part {
            column: None,
            read: Column::data,
        }
    }

    pub fn bytes(&self) -> &[u8] {
        let column = self.column.as_ref();
        column.and_then(|column| (self.read)(column)).unwrap_or(&[])
    }
}

#[cfg(unix)]
impl Drop for Part {
    fn drop(&mut self) {
        drop(self.column.take());
        super::tidiness::see();
    }
}

#[derive(Default)]
pub enum Items {
    /// Nothing but what is missing so far.
    #[default]
    Unknown,
    Integers(Row<i64>),
    Floats(Row<f64>),
    Bools(Row<u8>),
    Texts {
        data: Row<u8>,
        /// Where each begins, and the last one ends.
        places: Row<i64>,
        /// How many bytes are known to be text.
        checked: usize,
    },
}

/// Numbers, one after the other.
pub struct Row<T>(Vec<T>);

impl<T: Copy> Row<T> {
    /// None for more than there can be.
    fn new(room: usize) -> Option<Self> {
        let mut items = Vec::new();
        items.try_reserve_exact(room).ok()?;
        Some(Row(items))
    }

    /// The first ones are what stands for a cell that is missing.
    fn begun(room: usize, missing: usize, gap: T) -> Option<Self> {
        let mut row = Row::new(room)?;
        for _ in 0..missing {
            row.push(gap)?;
        }
        Some(row)
    }

    #[inline]
    fn push(&mut self, item: T) -> Option<()> {
        self.make_room(1)?;
        self.0.push(item);
        Some(())
    }

    /// Rows grow when there is more than was expected.
    #[inline]
    fn make_room(&mut self, count: usize) -> Option<()> {
        if self.0.capacity() - self.0.len() < count {
            self.0.try_reserve(count).ok()?;
        }
        Some(())
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: numbers, all of whose bytes are set.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), size_of_val(&self.0[..])) }
    }
}

impl Row<u8> {
    #[inline]
    fn add(&mut self, bytes: &[u8]) -> Option<()> {
        self.make_room(bytes.len())?;
        self.0.extend_from_slice(bytes);
        Some(())
    }
}

impl Column {
    /// Of about so many cells. `texts`: whether they may be texts.
    pub fn new(room: usize, texts: bool) -> Self {
        Column {
            room,
            texts,
            ..Column::default()
        }
    }

    /// Adds cells of a list, up to so many: what is left of it. None if one does not fit: they are of several kinds, or of
    /// others, a text is none, or the list is improper.
    pub fn fill<'a>(&mut self, list: Term<'a>, most: usize) -> Option<Term<'a>> {
        let env = list.get_env();
        let mut rest = list.as_c_arg();
        for _ in 0..most {
            let Some((cell, tail)) = words::cell_of(env, rest) else {
                // SAFETY: a term of the environment.
                if !unsafe { Term::new(env, rest) }.is_empty_list() {
                    return None;
                }
                break;
            };
            rest = tail;
            let is_there = self.add(env, cell)?;
            if !is_there || self.missing > 0 {
                self.note(is_there);
            }
            self.length += 1;
        }
        self.check()?;
        // SAFETY: the tail of a list of the environment.
        Some(unsafe { Term::new(env, rest) })
    }

    /// Looks whether the texts that were added last are texts. None goes on with what another has begun, so all of
    /// them are if they are together.
    fn check(&mut self) -> Option<()> {
        if let Items::Texts { data, checked, .. } = &mut self.items {
            std::str::from_utf8(&data.bytes()[*checked..]).ok()?;
            *checked = data.0.len();
        }
        Some(())
    }

    /// Which cells are present, a bit for each. None if none is missing.
    pub fn present(&self) -> Option<&[u8]> {
        (self.missing > 0).then_some(&self.present[..])
    }

    /// The cells, or the bytes of all texts.
    pub fn data(&self) -> Option<&[u8]> {
        Some(match &self.items {
            Items::Unknown => return None,
            Items::Integers(items) => items.bytes(),
            Items::Floats(items) => items.bytes(),
            Items::Bools(items) => items.bytes(),
            Items::Texts { data, .. } => data.bytes(),
        })
    }

    /// Where texts begin.
    pub fn places(&self) -> Option<&[u8]> {
        match &self.items {
            Items::Texts { places, .. } => Some(places.bytes()),
            _ => None,
        }
    }

    /// Marks a cell, which comes after all that are marked, or after some that are all there.
    fn note(&mut self, is_there: bool) {
        if self.missing == 0 {
            self.present = Vec::with_capacity(self.room / 8 + 1);
            self.present.resize(self.length / 8, 0xFF);
            if !self.length.is_multiple_of(8) {
                self.present.push((1 << (self.length % 8)) - 1);
            }
        }
        if self.length.is_multiple_of(8) {
            self.present.push(0);
        }
        if let Some(last) = self.present.last_mut() {
            *last |= u8::from(is_there) << (self.length % 8);
        }
        self.missing += usize::from(!is_there);
    }

    /// Whether the cell is there, and not nil. None if it does not fit.
    #[inline]
    fn add(&mut self, env: Env<'_>, cell: sys::ErlNifTerm) -> Option<bool> {
        if let Some(value) = words::small(cell) {
            return self.integer(value);
        }
        // SAFETY: a cell of a list of the environment, which outlives this function.
        match unsafe { boxed::of(cell) } {
            Some(Boxed::Float(value)) => return self.float(value),
            Some(Boxed::Binary(text)) => return self.text(text),
            _ => {}
        }
        // SAFETY: a cell of a list of the environment.
        let cell = unsafe { Term::new(env, cell) };
        match cell.get_type() {
            TermType::Integer => self.integer(cell.decode().ok()?),
            TermType::Float => self.float(cell.decode().ok()?),
            TermType::Binary => {
                // A bitstring is none.
                let text = cell.decode_as_binary().ok()?;
                self.text(text.as_slice())
            }
            TermType::Atom if atoms::nil() == cell => self.gap(),
            TermType::Atom if atoms::true_() == cell => self.bool(true),
            TermType::Atom if atoms::false_() == cell => self.bool(false),
            TermType::Atom if atoms::nan() == cell => self.float(f64::NAN),
            TermType::Atom if atoms::infinity() == cell => self.float(f64::INFINITY),
            TermType::Atom if atoms::neg_infinity() == cell => self.float(f64::NEG_INFINITY),
            _ => None,
        }
    }

    #[inline]
    fn integer(&mut self, value: i64) -> Option<bool> {
        if let Items::Unknown = self.items {
            self.items = Items::Integers(Row::begun(self.room, self.length, 0)?);
        }
        let Items::Integers(items) = &mut self.items else {
            return None;
        };
        items.push(value)?;
        Some(true)
    }

    #[inline]
    fn float(&mut self, value: f64) -> Option<bool> {
        if let Items::Unknown = self.items {
            self.items = Items::Floats(Row::begun(self.room, self.length, f64::NAN)?);
        }
        let Items::Floats(items) = &mut self.items else {
            return None;
        };
        items.push(value)?;
        Some(true)
    }

    fn bool(&mut self, value: bool) -> Option<bool> {
        if let Items::Unknown = self.items {
            self.items = Items::Bools(Row::begun(self.room, self.length, 0)?);
        }
        let Items::Bools(items) = &mut self.items else {
            return None;
        };
        items.push(value.into())?;
        Some(true)
    }

    #[inline]
    fn text(&mut self, text: &[u8]) -> Option<bool> {
        // One that goes on with what another has begun: together they may be a text.
        let is_part = text.first().is_some_and(|first| first & 0xC0 == 0x80);
        if !self.texts || is_part {
            return None;
        }
        if let Items::Unknown = self.items {
            let size = self.room.saturating_mul(text.len()).clamp(64, 1 << 20);
            self.items = Items::Texts {
                data: Row::new(size)?,
                places: Row::begun(self.room.checked_add(1)?, self.length + 1, 0)?,
                checked: 0,
            };
        }
        let Items::Texts { data, places, .. } = &mut self.items else {
            return None;
        };
        data.add(text)?;
        places.push(i64::try_from(data.0.len()).ok()?)?;
        Some(true)
    }

    /// A cell that is missing.
    fn gap(&mut self) -> Option<bool> {
        match &mut self.items {
            Items::Unknown => {}
            Items::Integers(items) => items.push(0)?,
            Items::Floats(items) => items.push(f64::NAN)?,
            Items::Bools(items) => items.push(0)?,
            Items::Texts { data, places, .. } => places.push(data.0.len() as i64)?,
        }
        Some(false)
    }
}
