//! Lists of numbers or bytes that the VM makes itself, of its external term format: all cells in one piece of memory, where
//! a function of the VM for each takes three times as long.

use super::arrow::Array;
use super::columns::{Cells, Present, offset, places, slice, viewed};
use super::types::{Kind, Type};
use crate::python::convert::Failure;
use erlang_python_wire::tag::{BINARY, INTEGER, LIST, NEW_FLOAT, NIL, SMALL_INTEGER, VERSION};
use rustler::Env;
use rustler::sys::ErlNifTerm;
use std::ops::Range;

type Result<T> = std::result::Result<T, Failure>;

/// How many bytes a cell has beside its own, at most.
const HEAD: usize = 5;

/// A list that is being written.
pub struct External(Vec<u8>);

impl External {
    /// With so many cells, of about so many bytes. None if there are none, or more than a list can have.
    pub fn begin(count: usize, bytes: usize) -> Option<Self> {
        let length = u32::try_from(count).ok().filter(|&length| length > 0)?;
        let room = count.checked_mul(HEAD)?.checked_add(bytes)?;
        let mut written = Vec::new();
        written.try_reserve(room.checked_add(8)?).ok()?;
        written.extend([VERSION, LIST]);
        written.extend(length.to_be_bytes());
        Some(External(written))
    }

    /// None for one of more than 4 bytes.
    #[inline]
    pub fn integer(&mut self, value: i64) -> Option<()> {
        if let Ok(value) = u8::try_from(value) {
            self.0.extend_from_slice(&[SMALL_INTEGER, value]);
        } else {
            let [a, b, c, d] = i32::try_from(value).ok()?.to_be_bytes();
            self.0.extend_from_slice(&[INTEGER, a, b, c, d]);
        }
        Some(())
    }

    /// None for what is no number in Erlang.
    #[inline]
    pub fn float(&mut self, value: f64) -> Option<()> {
        if !value.is_finite() {
            return None;
        }
        let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
        self.0
            .extend_from_slice(&[NEW_FLOAT, a, b, c, d, e, f, g, h]);
        Some(())
    }

    /// None for more than a binary can have.
    #[inline]
    pub fn binary(&mut self, bytes: &[u8]) -> Option<()> {
        let [a, b, c, d] = u32::try_from(bytes.len()).ok()?.to_be_bytes();
        self.0.extend_from_slice(&[BINARY, a, b, c, d]);
        self.0.extend_from_slice(bytes);
        Some(())
    }

    pub fn term(mut self, env: Env<'_>) -> Option<ErlNifTerm> {
        self.0.push(NIL);
        let (term, _) = env.binary_to_term(&self.0)?;
        Some(term.as_c_arg())
    }
}

impl Cells<'_, '_> {
    /// The list of some items of a column, if they are numbers or bytes, and none is missing.
    ///
    /// # Safety
    ///
    /// As for `column`.
    pub unsafe fn whole_list(
        &mut self,
        of: &Type,
        array: &Array,
        items: Range<usize>,
    ) -> Result<Option<ErlNifTerm>> {
        let places = places(array, &items);
        if of.dictionary.is_some()
            || items.is_empty()
            || items.end > array.length.max(0) as usize
            || Present::of(array).has_gaps()
            || self.is_full(items.len())
        {
            return Ok(None);
        }
        // SAFETY: as this function demands: what is read of a buffer are the items that it has.
        let list = unsafe {
            match of.kind {
                Kind::Signed(8) => integers::<i64>(array, places),
                Kind::Signed(4) => integers::<i32>(array, places),
                Kind::Float(8) => floats::<f64>(array, places),
                Kind::Float(4) => floats::<f32>(array, places),
                Kind::Data(width) => {
                    let data: *const u8 = array.buffer(2);
                    let place = |at| offset(array, width, at);
                    let size = place(places.end).saturating_sub(place(places.start));
                    self.binaries(places, size, |at| {
                        slice(data, place(at), place(at + 1) - place(at))
                    })?
                }
                Kind::DataView => {
                    let size = places.clone().map(|at| viewed(array, at).len()).sum();
                    self.binaries(places, size, |at| viewed(array, at))?
                }
                _ => None,
            }
        };
        let Some(list) = list else { return Ok(None) };
        self.count(items.len())?;
        Ok(list.term(self.env()))
    }

    /// None if the VM has to have them one by one: larger ones would be copied twice.
    fn binaries<'b>(
        &mut self,
        places: Range<usize>,
        size: usize,
        bytes: impl Fn(usize) -> &'b [u8],
    ) -> Result<Option<External>> {
        const LARGE: usize = 256;
        if size / LARGE > places.len() {
            return Ok(None);
        }
        self.count_bytes(size)?;
        let list = External::begin(places.len(), size);
        Ok(list.and_then(|mut list| {
            for at in places {
                list.binary(bytes(at))?;
            }
            Some(list)
        }))
    }
}

/// None if there is one that takes longer than others.
///
/// # Safety
///
/// The array has these items, of this type.
unsafe fn integers<T: Copy + Into<i64>>(array: &Array, places: Range<usize>) -> Option<External> {
    let values: *const T = array.buffer(1);
    let mut list = External::begin(places.len(), 0)?;
    for at in places {
        // SAFETY: as this function demands.
        list.integer(unsafe { values.add(at).read_unaligned() }.into())?;
    }
    Some(list)
}

/// None if there is one that is no number in Erlang.
///
/// # Safety
///
/// The array has these items, of this type.
unsafe fn floats<T: Copy + Into<f64>>(array: &Array, places: Range<usize>) -> Option<External> {
    let values: *const T = array.buffer(1);
    let mut list = External::begin(places.len(), places.len() * size_of::<f64>())?;
    for at in places {
        // SAFETY: as this function demands.
        list.float(unsafe { values.add(at).read_unaligned() }.into())?;
    }
    Some(list)
}
