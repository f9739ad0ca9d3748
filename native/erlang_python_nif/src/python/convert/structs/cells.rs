//! The cells of a column on their way into a data frame: `%Python.Table.Cells{}`. Numbers and texts of one kind go in one
//! piece of memory, in Arrow's layout, from which a library has a column without objects in between.

use super::Result;
use super::shape::{field, of_kind};
use crate::base::atoms;
use crate::python::convert::terms::{Cells, bytes, small_integer};
use crate::python::convert::{Encoder, copy};
use pyo3::prelude::*;
use rustler::{Term, TermType};

/// `(letter, length, missing, present, data, places)`: which cells are present, a bit each, or nothing if none is missing; their
/// data; and of texts where each begins. A `list` if they are of several kinds, or of others.
pub fn to_python<'py, 'a>(
    encoder: &mut Encoder<'py, 'a>,
    term: Term<'a>,
) -> Result<Bound<'py, PyAny>> {
    let list = of_kind(term, atoms::list(), TermType::List)?;
    let texts: bool = field(term, atoms::texts())?;
    if let Some(column) = Column::of(Cells::of(list)?, texts) {
        return column.into_python(encoder.py());
    }
    encoder.value(list)
}

struct Column {
    items: Items,
    length: usize,
    missing: usize,
    /// A bit for each cell, the first in the lowest.
    present: Vec<u8>,
}

enum Items {
    /// Nothing but what is missing so far.
    Unknown,
    Integers(Vec<i64>),
    Floats(Vec<f64>),
    Bools(Vec<u8>),
    Texts {
        data: Vec<u8>,
        places: Vec<i64>,
    },
}

impl Column {
    /// None for cells of several kinds, and for others.
    fn of(cells: Cells<'_>, texts: bool) -> Option<Self> {
        let room = cells.length as usize;
        let mut column = Column {
            items: Items::Unknown,
            length: 0,
            missing: 0,
            present: Vec::with_capacity(room / 8 + 1),
        };
        for cell in cells {
            let is_there = column.add(cell, room, texts)?;
            let at = column.length;
            if at.is_multiple_of(8) {
                column.present.push(0);
            }
            *column.present.last_mut()? |= u8::from(is_there) << (at % 8);
            column.length += 1;
            column.missing += usize::from(!is_there);
        }
        match column.items {
            Items::Unknown => None,
            _ => Some(column),
        }
    }

    /// Whether the cell is there, and not nil. None if it does not fit.
    fn add(&mut self, cell: Term<'_>, room: usize, texts: bool) -> Option<bool> {
        match cell.get_type() {
            TermType::Integer => {
                let value = small_integer(cell)?;
                match &mut self.items {
                    Items::Integers(items) => items.push(value),
                    Items::Unknown => {
                        self.items = Items::Integers(begun(room, self.length, value));
                    }
                    _ => return None,
                }
            }
            TermType::Float => self.float(cell.decode().ok()?, room)?,
            TermType::Binary if texts => {
                let text = std::str::from_utf8(bytes(cell).ok()?).ok()?;
                if let Items::Unknown = self.items {
                    let mut places = Vec::with_capacity(room + 1);
                    places.resize(self.length + 1, 0);
                    let data = Vec::with_capacity(room.saturating_mul(text.len()).min(1 << 20));
                    self.items = Items::Texts { data, places };
                }
                let Items::Texts { data, places } = &mut self.items else {
                    return None;
                };
                data.extend_from_slice(text.as_bytes());
                places.push(i64::try_from(data.len()).ok()?);
            }
            TermType::Atom if atoms::nil() == cell => {
                match &mut self.items {
                    Items::Unknown => {}
                    Items::Integers(items) => items.push(0),
                    Items::Floats(items) => items.push(f64::NAN),
                    Items::Bools(items) => items.push(0),
                    Items::Texts { data, places } => places.push(data.len() as i64),
                }
                return Some(false);
            }
            TermType::Atom if atoms::true_() == cell || atoms::false_() == cell => {
                let value = u8::from(atoms::true_() == cell);
                match &mut self.items {
                    Items::Bools(items) => items.push(value),
                    Items::Unknown => {
                        self.items = Items::Bools(begun(room, self.length, value));
                    }
                    _ => return None,
                }
            }
            TermType::Atom if atoms::nan() == cell => self.float(f64::NAN, room)?,
            TermType::Atom if atoms::infinity() == cell => self.float(f64::INFINITY, room)?,
            TermType::Atom if atoms::neg_infinity() == cell => {
                self.float(f64::NEG_INFINITY, room)?;
            }
            _ => return None,
        }
        Some(true)
    }

    fn float(&mut self, value: f64, room: usize) -> Option<()> {
        match &mut self.items {
            Items::Floats(items) => items.push(value),
            Items::Unknown => {
                let mut items = Vec::with_capacity(room);
                items.resize(self.length, f64::NAN);
                items.push(value);
                self.items = Items::Floats(items);
            }
            _ => return None,
        }
        Some(())
    }

    fn into_python(self, py: Python<'_>) -> Result<Bound<'_, PyAny>> {
        let (letter, data, places) = match &self.items {
            Items::Unknown => ('n', &[][..], None),
            Items::Integers(items) => ('i', raw(items), None),
            Items::Floats(items) => ('f', raw(items), None),
            Items::Bools(items) => ('b', &items[..], None),
            Items::Texts { data, places } => ('u', &data[..], Some(raw(places))),
        };
        // Arrays over them can be written to, as those of a library's own can.
        let places = places.map(|places| copy::into_bytearray(py, places));
        let present = match self.missing {
            0 => None,
            _ => Some(copy::into_bytearray(py, &self.present)?),
        };
        let data = copy::into_bytearray(py, data)?;
        let parts = (
            letter,
            self.length,
            self.missing,
            present,
            data,
            places.transpose()?,
        );
        Ok(parts.into_pyobject(py)?.into_any())
    }
}

/// Items of which the first ones are missing.
fn begun<T: Clone + Default>(room: usize, missing: usize, value: T) -> Vec<T> {
    let mut items = Vec::with_capacity(room);
    items.resize(missing, T::default());
    items.push(value);
    items
}

/// The bytes of numbers.
fn raw<T: Copy>(items: &[T]) -> &[u8] {
    // SAFETY: numbers have no gaps between them, and any byte is a byte.
    unsafe { std::slice::from_raw_parts(items.as_ptr().cast(), size_of_val(items)) }
}
