//! The items of a column of Arrow's as terms.

use super::arrow::Array;
use super::cells;
use super::half::half;
use super::types::{Kind, Type, Unit};
use crate::base::binaries::Binaries;
use crate::base::{atoms, map, words};
use crate::python::convert::to_term::Immediate;
use crate::python::convert::{Failure, MAX_COPIED, MAX_ITEMS, Unconvertible};
use rustler::Env;
use rustler::sys::{ErlNifTerm, enif_make_list_from_array, enif_make_uint64};
use rustler::types::atom::Atom;
use std::ops::Range;

type Result<T> = std::result::Result<T, Failure>;

/// How cells are to be written.
#[derive(Clone, Copy)]
pub struct Style {
    pub nan_is_nil: bool,
    /// Of durations, which are integers.
    pub span: Unit,
}

/// One conversion of columns.
pub struct Cells<'a, 'w> {
    env: Env<'a>,
    style: Style,
    items: usize,
    copied: usize,
    binaries: Binaries,
    wanted: &'w dyn Fn() -> bool,
}

impl<'a, 'w> Cells<'a, 'w> {
    pub fn new(env: Env<'a>, style: Style, wanted: &'w dyn Fn() -> bool) -> Self {
        Cells {
            env,
            style,
            items: 0,
            copied: 0,
            binaries: Binaries::default(),
            wanted,
        }
    }

    pub fn env(&self) -> Env<'a> {
        self.env
    }

    pub fn nil(&self) -> ErlNifTerm {
        atoms::nil().as_c_arg()
    }

    pub fn float(&self, value: f64) -> ErlNifTerm {
        if value.is_nan() && self.style.nan_is_nil {
            return self.nil();
        }
        Immediate::new(self.env, false).float(value).as_c_arg()
    }

    pub fn integer(&self, value: i64) -> ErlNifTerm {
        Immediate::new(self.env, false).integer(value).as_c_arg()
    }

    pub fn unsigned(&self, value: u64) -> ErlNifTerm {
        match i64::try_from(value) {
            Ok(value) => self.integer(value),
            // SAFETY: a valid environment.
            Err(_) => unsafe { enif_make_uint64(self.env.as_c_arg(), value) },
        }
    }

    pub fn boolean(&self, value: bool) -> ErlNifTerm {
        let atom: Atom = if value {
            atoms::true_()
        } else {
            atoms::false_()
        };
        atom.as_c_arg()
    }

    pub fn span(&self, value: i64, unit: Unit) -> Result<ErlNifTerm> {
        let value = cells::span(value, unit, self.style.span)
            .ok_or_else(|| Unconvertible::new("this duration is too long"))?;
        Ok(self.integer(value))
    }

    pub fn moment(&self, value: i64, unit: Unit, utc: bool) -> Result<ErlNifTerm> {
        Ok(cells::moment(self.env, value, unit, utc)?.as_c_arg())
    }

    pub fn list(&self, items: &[ErlNifTerm]) -> ErlNifTerm {
        // SAFETY: terms of this environment. The size was limited.
        unsafe {
            enif_make_list_from_array(self.env.as_c_arg(), items.as_ptr(), items.len() as u32)
        }
    }

    /// The items of a list of this environment.
    pub fn items(&self, list: ErlNifTerm) -> Vec<ErlNifTerm> {
        let mut items = Vec::new();
        let mut rest = list;
        while let Some((item, tail)) = words::cell_of(self.env, rest) {
            items.push(item);
            rest = tail;
        }
        items
    }

    /// A map of these. None if two keys are the same.
    pub fn map(&self, keys: &[ErlNifTerm], values: &[ErlNifTerm]) -> Option<ErlNifTerm> {
        // SAFETY: terms of this environment.
        unsafe { map::from_arrays(self.env, keys, values) }.map(|map| map.as_c_arg())
    }

    pub fn text(&mut self, text: &str) -> Result<ErlNifTerm> {
        self.data(text.as_bytes())
    }

    /// Counts cells before they are converted, and looks whether anybody still waits for them.
    pub fn count(&mut self, items: usize) -> Result<()> {
        self.items = self.items.saturating_add(items);
        if self.items > MAX_ITEMS {
            return Err(Unconvertible::new(format!(
                "a table with more than {MAX_ITEMS} cells cannot be converted; take it in parts"
            ))
            .into());
        }
        if !(self.wanted)() {
            return Err(Unconvertible::new("the caller no longer waits for it").into());
        }
        Ok(())
    }

    /// Whether so many items more would be too many.
    pub(super) fn is_full(&self, items: usize) -> bool {
        self.items.saturating_add(items) > MAX_ITEMS
    }

    fn data(&mut self, bytes: &[u8]) -> Result<ErlNifTerm> {
        self.count_bytes(bytes.len())?;
        Ok(self.binaries.make(self.env, bytes))
    }

    pub(super) fn count_bytes(&mut self, bytes: usize) -> Result<()> {
        self.copied = self.copied.saturating_add(bytes);
        if self.copied > MAX_COPIED {
            return Err(Unconvertible::new(format!(
                "a table with more than {} GiB of text and data cannot be converted; take it in parts",
                MAX_COPIED >> 30
            ))
            .into());
        }
        Ok(())
    }

    /// The terms of some items of a column.
    ///
    /// # Safety
    ///
    /// The array is of this type, as Arrow has it, and has these items.
    pub unsafe fn column(
        &mut self,
        of: &Type,
        array: &Array,
        items: Range<usize>,
    ) -> Result<Vec<ErlNifTerm>> {
        self.count(items.len())?;
        // Older versions of polars say so of parts of columns of arrays and of structs.
        if items.end > array.length.max(0) as usize {
            return Err(incomplete().into());
        }
        if let Some(dictionary) = &of.dictionary {
            // SAFETY: as this function demands, here and below: what is read of a buffer are the items that it has.
            return unsafe { self.categories(of, dictionary, array, items) };
        }
        let (places, present) = (places(array, &items), Present::of(array));
        let mut terms = Vec::with_capacity(items.len());
        macro_rules! each {
            ($type:ty, $term:expr) => {{
                let values: *const $type = array.buffer(1);
                for at in places.clone() {
                    terms.push(match present.has(at) {
                        // SAFETY: as above.
                        true => $term(unsafe { values.add(at).read_unaligned() }),
                        false => self.nil(),
                    });
                }
            }};
        }
        macro_rules! try_each {
            ($type:ty, $term:expr) => {{
                let values: *const $type = array.buffer(1);
                for at in places.clone() {
                    terms.push(match present.has(at) {
                        // SAFETY: as above.
                        true => $term(unsafe { values.add(at).read_unaligned() })?,
                        false => self.nil(),
                    });
                }
            }};
        }
        let env = self.env;
        match of.kind {
            Kind::Null => terms.resize(items.len(), self.nil()),
            Kind::Bool => {
                let bits: *const u8 = array.buffer(1);
                for at in places {
                    terms.push(match present.has(at) {
                        // SAFETY: as above.
                        true => self.boolean(unsafe { bit(bits, at) }),
                        false => self.nil(),
                    });
                }
            }
            Kind::Signed(1) => each!(i8, |value: i8| self.integer(value.into())),
            Kind::Signed(2) => each!(i16, |value: i16| self.integer(value.into())),
            Kind::Signed(4) => each!(i32, |value: i32| self.integer(value.into())),
            Kind::Signed(_) => each!(i64, |value| self.integer(value)),
            Kind::Unsigned(1) => each!(u8, |value: u8| self.integer(value.into())),
            Kind::Unsigned(2) => each!(u16, |value: u16| self.integer(value.into())),
            Kind::Unsigned(4) => each!(u32, |value: u32| self.integer(value.into())),
            Kind::Unsigned(_) => each!(u64, |value| self.unsigned(value)),
            Kind::Float(2) => each!(u16, |value| self.float(half(value))),
            Kind::Float(4) => each!(f32, |value: f32| self.float(value.into())),
            Kind::Float(_) => each!(f64, |value| self.float(value)),
            Kind::Date { days: true } => try_each!(i32, |value: i32| {
                cells::date(env, value.into()).map(|date| date.as_c_arg())
            }),
            Kind::Date { days: false } => try_each!(i64, |value: i64| {
                cells::date(env, value.div_euclid(86_400_000)).map(|date| date.as_c_arg())
            }),
            Kind::Time { bytes: 4, unit } => try_each!(i32, |value: i32| {
                cells::time(env, value.into(), unit).map(|time| time.as_c_arg())
            }),
            Kind::Time { unit, .. } => try_each!(i64, |value| {
                cells::time(env, value, unit).map(|time| time.as_c_arg())
            }),
            Kind::Moment { unit, utc } => {
                try_each!(i64, |value| self.moment(value, unit, utc));
            }
            Kind::Span(unit) => try_each!(i64, |value| self.span(value, unit)),
            Kind::Interval => try_each!([i64; 2], |[date, rest]: [i64; 2]| {
                self.span(cells::interval(date, rest)?, Unit(1_000_000_000))
            }),
            Kind::Decimal { bytes, scale } => {
                let values: *const u8 = array.buffer(1);
                for at in places {
                    terms.push(match present.has(at) {
                        // SAFETY: as above.
                        true => unsafe {
                            let value = std::slice::from_raw_parts(values.add(at * bytes), bytes);
                            cells::decimal(env, value, scale)?.as_c_arg()
                        },
                        false => self.nil(),
                    });
                }
            }
            Kind::Fixed(bytes) => {
                let values: *const u8 = array.buffer(1);
                for at in places {
                    terms.push(match present.has(at) {
                        // SAFETY: as above.
                        true => self.data(unsafe { slice(values, at * bytes, bytes) })?,
                        false => self.nil(),
                    });
                }
            }
            Kind::Data(width) => {
                let data: *const u8 = array.buffer(2);
                for at in places {
                    terms.push(match present.has(at) {
                        // SAFETY: as above.
                        true => unsafe {
                            let (from, to) =
                                (offset(array, width, at), offset(array, width, at + 1));
                            self.data(slice(data, from, to - from))?
                        },
                        false => self.nil(),
                    });
                }
            }
            Kind::DataView => {
                for at in places {
                    terms.push(match present.has(at) {
                        // SAFETY: as above.
                        true => self.data(unsafe { viewed(array, at) })?,
                        false => self.nil(),
                    });
                }
            }
            Kind::List(_) | Kind::ListView(_) | Kind::FixedList(_) | Kind::Map => {
                // SAFETY: as above.
                unsafe { self.lists(of, array, places, &present, &mut terms)? }
            }
            // SAFETY: as above.
            Kind::Struct => unsafe { self.structs(of, array, places, &present, &mut terms)? },
        }
        Ok(terms)
    }

    unsafe fn categories(
        &mut self,
        of: &Type,
        dictionary: &Type,
        array: &Array,
        items: Range<usize>,
    ) -> Result<Vec<ErlNifTerm>> {
        let values = array.dictionary().ok_or_else(incomplete)?;
        let all = 0..values.length.max(0) as usize;
        // SAFETY: as `column` demands.
        let known = unsafe { self.column(dictionary, values, all)? };
        let (places, present) = (places(array, &items), Present::of(array));
        let mut terms = Vec::with_capacity(items.len());
        for at in places {
            let number = match present.has(at) {
                // SAFETY: as `column` demands.
                true => Some(unsafe { number(of.kind, array, at) }.ok_or_else(incomplete)?),
                false => None,
            };
            terms.push(match number {
                Some(number) => *known.get(number).ok_or_else(incomplete)?,
                None => self.nil(),
            });
        }
        Ok(terms)
    }

    unsafe fn lists(
        &mut self,
        of: &Type,
        array: &Array,
        places: Range<usize>,
        present: &Present,
        terms: &mut Vec<ErlNifTerm>,
    ) -> Result<()> {
        let child = array.child(0).ok_or_else(incomplete)?;
        let kind = of.children.first().ok_or_else(incomplete)?;
        for at in places {
            if !present.has(at) {
                terms.push(self.nil());
                continue;
            }
            // SAFETY: as `column` demands.
            let term = unsafe {
                let within = match of.kind {
                    Kind::List(width) => offset(array, width, at)..offset(array, width, at + 1),
                    Kind::Map => offset(array, 4, at)..offset(array, 4, at + 1),
                    Kind::FixedList(size) => at * size..(at + 1) * size,
                    Kind::ListView(4) => {
                        let (starts, sizes): (*const i32, *const i32) =
                            (array.buffer(1), array.buffer(2));
                        let start = *starts.add(at) as usize;
                        start..start + *sizes.add(at) as usize
                    }
                    _ => {
                        let (starts, sizes): (*const i64, *const i64) =
                            (array.buffer(1), array.buffer(2));
                        let start = *starts.add(at) as usize;
                        start..start + *sizes.add(at) as usize
                    }
                };
                if of.kind == Kind::Map {
                    self.pairs(kind, child, within)?
                } else {
                    let items = self.column(kind, child, within)?;
                    self.list(&items)
                }
            };
            terms.push(term);
        }
        Ok(())
    }

    /// A map, of structs of a key and a value.
    unsafe fn pairs(
        &mut self,
        of: &Type,
        array: &Array,
        items: Range<usize>,
    ) -> Result<ErlNifTerm> {
        let [keys, values] = &of.children[..] else {
            return Err(incomplete().into());
        };
        let (Some(key), Some(value)) = (array.child(0), array.child(1)) else {
            return Err(incomplete().into());
        };
        let items = places(array, &items);
        // SAFETY: as `column` demands.
        let (keys, values) = unsafe {
            (
                self.column(keys, key, items.clone())?,
                self.column(values, value, items)?,
            )
        };
        self.map(&keys, &values).ok_or_else(|| {
            Unconvertible::new(
                "a map of this column has a key twice, and one of the values would be lost",
            )
            .into()
        })
    }

    unsafe fn structs(
        &mut self,
        of: &Type,
        array: &Array,
        places: Range<usize>,
        present: &Present,
        terms: &mut Vec<ErlNifTerm>,
    ) -> Result<()> {
        let mut fields = Vec::with_capacity(of.children.len());
        let mut keys = Vec::with_capacity(of.children.len());
        for (number, kind) in of.children.iter().enumerate() {
            let child = array.child(number).ok_or_else(incomplete)?;
            keys.push(self.text(&kind.name)?);
            // SAFETY: as `column` demands.
            fields.push(unsafe { self.column(kind, child, places.clone())? });
        }
        let mut values = vec![self.nil(); keys.len()];
        for (row, at) in places.enumerate() {
            if !present.has(at) {
                terms.push(self.nil());
                continue;
            }
            for (value, field) in values.iter_mut().zip(&fields) {
                *value = field[row];
            }
            let map = self.map(&keys, &values).ok_or_else(|| {
                Unconvertible::new(format!(
                    "the struct {:?} has two fields of the same name",
                    of.name
                ))
            })?;
            terms.push(map);
        }
        Ok(())
    }
}

fn incomplete() -> Unconvertible {
    Unconvertible::new(
        "this column has fewer items in Arrow's memory than its library says, which is a fault of that library; use a \
         newer version of it, or make lists in Python",
    )
}

/// Where items are in the buffers of their array.
pub(super) fn places(array: &Array, items: &Range<usize>) -> Range<usize> {
    let first = array.offset.max(0) as usize;
    first + items.start..first + items.end
}

/// Which items there are.
pub(super) struct Present(*const u8);

impl Present {
    pub(super) fn of(array: &Array) -> Self {
        if array.null_count == 0 {
            return Present(std::ptr::null());
        }
        Present(array.buffer(0))
    }

    pub(super) fn has_gaps(&self) -> bool {
        !self.0.is_null()
    }

    fn has(&self, at: usize) -> bool {
        // SAFETY: a bit for each item, if there are bits.
        self.0.is_null() || unsafe { bit(self.0, at) }
    }
}

unsafe fn bit(bits: *const u8, at: usize) -> bool {
    // SAFETY: as the caller vouches.
    unsafe { *bits.add(at / 8) >> (at % 8) & 1 == 1 }
}

pub(super) unsafe fn slice<'b>(bytes: *const u8, from: usize, size: usize) -> &'b [u8] {
    if size == 0 {
        return &[];
    }
    // SAFETY: as the caller vouches.
    unsafe { std::slice::from_raw_parts(bytes.add(from), size) }
}

/// A number of the second buffer, of 4 or 8 bytes.
pub(super) unsafe fn offset(array: &Array, width: usize, at: usize) -> usize {
    // SAFETY: as the caller vouches.
    unsafe {
        match width {
            4 => array.buffer::<i32>(1).add(at).read_unaligned() as usize,
            _ => array.buffer::<i64>(1).add(at).read_unaligned() as usize,
        }
    }
}

/// The number of a category.
unsafe fn number(kind: Kind, array: &Array, at: usize) -> Option<usize> {
    // SAFETY: as the caller vouches.
    unsafe {
        Some(match kind {
            Kind::Signed(1) => usize::try_from(*array.buffer::<i8>(1).add(at)).ok()?,
            Kind::Signed(2) => {
                usize::try_from(array.buffer::<i16>(1).add(at).read_unaligned()).ok()?
            }
            Kind::Signed(4) => {
                usize::try_from(array.buffer::<i32>(1).add(at).read_unaligned()).ok()?
            }
            Kind::Signed(8) => {
                usize::try_from(array.buffer::<i64>(1).add(at).read_unaligned()).ok()?
            }
            Kind::Unsigned(1) => (*array.buffer::<u8>(1).add(at)).into(),
            Kind::Unsigned(2) => array.buffer::<u16>(1).add(at).read_unaligned().into(),
            Kind::Unsigned(4) => array.buffer::<u32>(1).add(at).read_unaligned() as usize,
            Kind::Unsigned(8) => array.buffer::<u64>(1).add(at).read_unaligned() as usize,
            _ => return None,
        })
    }
}

/// The bytes of an item: up to 12 are in its view, more are elsewhere.
pub(super) unsafe fn viewed<'b>(array: &Array, at: usize) -> &'b [u8] {
    const WITHIN: usize = 12;
    // SAFETY: as the caller vouches.
    unsafe {
        let view = array.buffer::<u8>(1).add(at * 16);
        let size = view.cast::<i32>().read_unaligned().max(0) as usize;
        if size <= WITHIN {
            return slice(view, 4, size);
        }
        let buffer = view.add(8).cast::<i32>().read_unaligned() as usize;
        let from = view.add(12).cast::<i32>().read_unaligned() as usize;
        slice(array.buffer(2 + buffer), from, size)
    }
}
