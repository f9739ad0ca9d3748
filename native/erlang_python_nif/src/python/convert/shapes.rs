//! The dicts of maps that have the same keys as one before, in one value: documents repeat them. A copy of that one's dict
//! has the keys in their places, and needs no more than other values.

use crate::base::boxed::{self, Boxed};
use pyo3::prelude::*;
use rustler::sys::ErlNifTerm;

/// How many dicts are kept: each has one place, by its keys, and gives way to the next that has the same.
const PLACES: usize = 8;

/// The last dicts that were made. None but for as long as no code of Python's can run, which could change them.
#[derive(Default)]
pub struct Shapes<'py, 'a> {
    places: Vec<Option<Shape<'py, 'a>>>,
}

/// The keys of a map, and its dict.
type Shape<'py, 'a> = (&'a [ErlNifTerm], Bound<'py, PyAny>);

impl<'py, 'a> Shapes<'py, 'a> {
    /// The dict of a map with these keys, in this order.
    pub fn get(&self, keys: &'a [ErlNifTerm]) -> Option<&Bound<'py, PyAny>> {
        if self.places.is_empty() {
            return None;
        }
        let (kept, dict) = self.places.get(place(keys)?)?.as_ref()?;
        let same = kept.len() == keys.len() && kept.iter().zip(keys).all(|(a, b)| are_same(*a, *b));
        same.then_some(dict)
    }

    pub fn keep(&mut self, keys: &'a [ErlNifTerm], dict: &Bound<'py, PyAny>) {
        let Some(place) = place(keys) else { return };
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        self.places[place] = Some((keys, dict.clone()));
    }

    pub fn clear(&mut self) {
        self.places.clear();
    }
}

/// Where the dict of a map is kept. Nowhere if it is empty.
fn place(keys: &[ErlNifTerm]) -> Option<usize> {
    let first = match text(keys.first()?) {
        Some(text) => text.len() + usize::from(text.first().copied().unwrap_or(0)),
        None => 0,
    };
    Some((keys.len() + first) % PLACES)
}

fn are_same(one: ErlNifTerm, other: ErlNifTerm) -> bool {
    one == other || text(&one).is_some_and(|one| text(&other) == Some(one))
}

/// The bytes of a key, if they are read in place.
#[inline]
fn text(key: &ErlNifTerm) -> Option<&[u8]> {
    // SAFETY: a term of an environment that lives while the map is converted.
    match unsafe { boxed::of(*key) } {
        Some(Boxed::Binary(bytes)) => Some(bytes),
        _ => None,
    }
}
