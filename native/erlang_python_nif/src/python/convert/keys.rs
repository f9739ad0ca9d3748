//! Python strings for the keys of maps, and terms for the keys of dicts, made once per conversion: documents repeat
//! them.

use pyo3::ffi;
use pyo3::prelude::*;
use rustler::sys::ErlNifTerm;

/// Keys of more bytes than this are not kept.
const LONGEST: usize = 64;

/// How many keys are kept: each has one place, by its bytes, and gives way to the next that has the
/// same. So there is nothing to grow, whatever the keys are.
const PLACES: usize = 256;

/// The keys of the maps of one value, from its second map on: those of one map differ.
#[derive(Default)]
pub struct Keys<'py, 'a> {
    maps: usize,
    places: Vec<Option<(&'a [u8], Bound<'py, PyAny>)>>,
}

impl<'py, 'a> Keys<'py, 'a> {
    /// Another map begins.
    pub fn next_map(&mut self) {
        self.maps += 1;
    }

    pub fn get(&self, key: &[u8]) -> Option<Bound<'py, PyAny>> {
        if self.places.is_empty() {
            return None;
        }
        let (kept, object) = self.places.get(place(key))?.as_ref()?;
        (*kept == key).then(|| object.clone())
    }

    pub fn keep(&mut self, key: &'a [u8], object: &Bound<'py, PyAny>) {
        if self.maps < 2 || key.len() > LONGEST {
            return;
        }
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        self.places[place(key)] = Some((key, object.clone()));
    }
}

/// The terms for keys of the dicts of one value, from its second dict on.
#[derive(Default)]
pub struct Terms<'py> {
    dicts: usize,
    /// By the object, which is held, so that no other one comes to be where it is.
    places: Vec<Option<(Bound<'py, PyAny>, ErlNifTerm)>>,
}

impl<'py> Terms<'py> {
    /// Another dict begins.
    pub fn next_dict(&mut self) {
        self.dicts += 1;
    }

    #[inline]
    pub fn get(&self, key: &Bound<'py, PyAny>) -> Option<ErlNifTerm> {
        let (kept, term) = self.places.get(place_of(key))?.as_ref()?;
        (kept.as_ptr() == key.as_ptr()).then_some(*term)
    }

    /// Keeps the term for a key that is a `str`, and no other.
    pub fn keep(&mut self, key: &Bound<'py, PyAny>, term: ErlNifTerm) {
        if self.dicts < 2 {
            return;
        }
        // SAFETY: an object, and the GIL is held; the length is asked of a str.
        let is_short = unsafe {
            ffi::PyUnicode_CheckExact(key.as_ptr()) != 0
                && ffi::PyUnicode_GetLength(key.as_ptr()) <= LONGEST as ffi::Py_ssize_t
        };
        if !is_short {
            return;
        }
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        self.places[place_of(key)] = Some((key.clone(), term));
    }
}

/// Where the term for an object is kept. Objects lie 16 bytes apart, at least.
#[inline]
fn place_of(object: &Bound<'_, PyAny>) -> usize {
    let mixed = (object.as_ptr() as u64 >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 56) as usize % PLACES
}

/// Where a key is kept, by its length, its first and its last bytes.
fn place(key: &[u8]) -> usize {
    let head = word(&key[..key.len().min(8)]);
    let tail = word(&key[key.len().saturating_sub(8)..]);
    let mixed =
        (head ^ tail.rotate_left(29) ^ key.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 56) as usize % PLACES
}

/// At most eight bytes as a number.
fn word(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |word, &byte| word << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_any_length_have_places_that_differ() {
        let keys: Vec<String> = (0..100).map(|n| format!("{}{n}", "k".repeat(n))).collect();
        let mut places: Vec<_> = keys.iter().map(|key| place(key.as_bytes())).collect();
        assert!(places.iter().all(|&place| place < PLACES));
        places.sort_unstable();
        places.dedup();
        assert!(places.len() > 50);
        assert_eq!(place(b""), place(b""));
    }
}
