//! Tuples, floats, small binaries and small maps, as the VM lays them out: for reading without a call for each, as small
//! integers and list cells are (`words`). They are looked at in the same way, and separately.

use crate::base::words;
use rustler::sys::{
    ErlNifTerm, enif_make_double, enif_make_new_binary, enif_make_tuple_from_array,
    enif_make_uint64,
};
use rustler::{Encoder, Env, Term};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

static AS_EXPECTED: AtomicBool = AtomicBool::new(false);
/// Small binaries too: they look different from OTP 27 on.
static BINARIES: AtomicBool = AtomicBool::new(false);

/// A term that is read in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Boxed<'a> {
    Tuple(&'a [ErlNifTerm]),
    Float(f64),
    /// Of up to 64 bytes.
    Binary(&'a [u8]),
    /// Keys and values, up to 32.
    Map(&'a [ErlNifTerm], &'a [ErlNifTerm]),
}

const BOXED_TAG: usize = 2;
const TAG_MASK: usize = 3;
/// With it, a term in an area of literals may be marked.
const POINTER_MASK: usize = !7;

const KIND_MASK: usize = 0x3F;
const SIZE_SHIFT: u32 = 6;
const TUPLE: usize = 0x00;
const FLOAT: usize = 1 << SIZE_SHIFT | 0x18;
const BINARY: usize = 0x24;
const LONGEST_BINARY: usize = 64;
/// Of those that are arrays.
const MAP: usize = 4 << SIZE_SHIFT | 0x3C;
const LARGEST_MAP: usize = 32;

/// Looks how the VM lays such terms out. When the library is loaded, after `words::look`.
pub fn look(env: Env<'_>) {
    let binaries = binaries_are(env);
    let expected = words::as_expected()
        && tuples_are(env)
        && floats_are(env)
        && maps_are(env)
        && others_are_not(env, binaries);
    BINARIES.store(binaries, Ordering::Relaxed);
    AS_EXPECTED.store(expected, Ordering::Release);
}

/// None for other terms, and if it has to be asked for.
///
/// # Safety
///
/// A valid term, whose environment lives as long as 'a.
#[inline]
pub unsafe fn of<'a>(term: ErlNifTerm) -> Option<Boxed<'a>> {
    // `words` forgets what it has looked at if that is not wanted.
    if !AS_EXPECTED.load(Ordering::Relaxed) || !words::as_expected() {
        return None;
    }
    // SAFETY: as this function demands.
    unsafe { parts_of(term, BINARIES.load(Ordering::Relaxed)) }
}

/// # Safety
///
/// A valid term; boxed ones begin with a header.
#[inline]
unsafe fn parts_of<'a>(term: ErlNifTerm, binaries: bool) -> Option<Boxed<'a>> {
    // SAFETY: what looks so is as long as its header says.
    unsafe {
        let place = place(term)?;
        let header = *place;
        let size = header >> SIZE_SHIFT;
        match header & KIND_MASK {
            TUPLE => Some(Boxed::Tuple(terms(place.add(1), size))),
            BINARY if binaries => {
                let length = *place.add(1);
                let fits = length <= LONGEST_BINARY && size == 1 + length.div_ceil(8);
                let bytes = place.add(2).cast();
                fits.then(|| Boxed::Binary(std::slice::from_raw_parts(bytes, length)))
            }
            _ if header == MAP => {
                let count = *place.add(1);
                let keys = self::place(*place.add(2).cast())?;
                let fits = count <= LARGEST_MAP && *keys == count << SIZE_SHIFT | TUPLE;
                fits.then(|| Boxed::Map(terms(keys.add(1), count), terms(place.add(3), count)))
            }
            _ if header == FLOAT => Some(Boxed::Float(f64::from_bits(*place.add(1) as u64))),
            _ => None,
        }
    }
}

#[inline]
fn place(term: ErlNifTerm) -> Option<*const usize> {
    // SAFETY: a transparent structure around a word.
    let word: usize = unsafe { std::mem::transmute(term) };
    (word & TAG_MASK == BOXED_TAG).then_some((word & POINTER_MASK) as *const usize)
}

/// # Safety
///
/// There are so many.
#[inline]
unsafe fn terms<'a>(place: *const usize, count: usize) -> &'a [ErlNifTerm] {
    // SAFETY: as this function demands.
    unsafe { std::slice::from_raw_parts(place.cast(), count) }
}

fn integers(env: Env<'_>, count: usize) -> Vec<ErlNifTerm> {
    // SAFETY: a valid environment.
    let make = |value| unsafe { enif_make_uint64(env.as_c_arg(), value) };
    (1_000..).take(count).map(make).collect()
}

fn tuples_are(env: Env<'_>) -> bool {
    [0, 1, 2, 63, 64, 255, 256, 300].into_iter().all(|count| {
        let items = integers(env, count);
        // SAFETY: terms of the environment, and what is made of them.
        unsafe {
            let tuple =
                enif_make_tuple_from_array(env.as_c_arg(), items.as_ptr(), items.len() as u32);
            parts_of(tuple, false) == Some(Boxed::Tuple(&items))
        }
    })
}

fn floats_are(env: Env<'_>) -> bool {
    let samples = [0.0, -0.0, 1.5, -1e300, 5e-324];
    samples.into_iter().all(|sample| {
        // SAFETY: a valid environment, and a term of it.
        let read = unsafe { parts_of(enif_make_double(env.as_c_arg(), sample), false) };
        matches!(read, Some(Boxed::Float(value)) if value.to_bits() == sample.to_bits())
    })
}

fn binaries_are(env: Env<'_>) -> bool {
    (0..=LONGEST_BINARY + 1).all(|length| {
        let bytes: Vec<u8> = (1..=length as u8).collect();
        let mut term = MaybeUninit::uninit();
        // SAFETY: a valid environment; the term is written, and the memory is as long as was asked for.
        let read = unsafe {
            let data = enif_make_new_binary(env.as_c_arg(), length, term.as_mut_ptr());
            data.copy_from_nonoverlapping(bytes.as_ptr(), length);
            parts_of(term.assume_init(), true)
        };
        match read {
            Some(Boxed::Binary(read)) => read == bytes,
            other => other.is_none() && length > LONGEST_BINARY,
        }
    })
}

fn maps_are(env: Env<'_>) -> bool {
    [0, 1, 2, 31, LARGEST_MAP, LARGEST_MAP + 1, 100]
        .into_iter()
        .all(|count| {
            let keys = integers(env, count);
            let values = integers(env, 2 * count).split_off(count);
            let pairs = keys.iter().zip(&values);
            // SAFETY: terms of the environment.
            let term = |&word: &ErlNifTerm| unsafe { Term::new(env, word) };
            let map = pairs
                .clone()
                .try_fold(Term::map_new(env), |map, (key, value)| {
                    map.map_put(term(key), term(value)).ok()
                });
            let Some(map) = map else { return false };
            // SAFETY: a term of the environment.
            match unsafe { parts_of(map.as_c_arg(), false) } {
                Some(Boxed::Map(read_keys, read_values)) => {
                    let read = read_keys.iter().zip(read_values);
                    read_keys.len() == count
                        && pairs
                            .clone()
                            .all(|pair| read.clone().any(|own| own == pair))
                }
                other => other.is_none() && count > LARGEST_MAP,
            }
        })
}

fn others_are_not(env: Env<'_>, binaries: bool) -> bool {
    let big = |value: i128| value.encode(env).as_c_arg();
    let mut others = vec![
        big(1 << 62),
        big(-(1 << 62)),
        big(1 << 100),
        big(-(1 << 100)),
    ];
    others.push(env.make_ref().encode(env).as_c_arg());
    others.push(env.pid().encode(env).as_c_arg());
    others.push(Vec::<u8>::new().encode(env).as_c_arg());
    others.push(vec![1u8].encode(env).as_c_arg());
    // A part of a binary, and one of no whole bytes.
    let external: [&[u8]; 2] = [
        &[131, 77, 0, 0, 0, 2, 3, 1, 0xE0],
        &[131, 109, 0, 0, 0, 200],
    ];
    let bytes = external[1]
        .iter()
        .copied()
        .chain((0..200).map(|_| 7))
        .collect::<Vec<u8>>();
    let made = [external[0], &bytes].map(|bytes| env.binary_to_term(bytes));
    for (term, _) in made.into_iter().flatten() {
        others.push(term.as_c_arg());
        if let Ok(part) = rustler::Binary::from_term(term).and_then(|all| all.make_subbinary(1, 10))
        {
            others.push(part.to_term(env).as_c_arg());
        }
    }
    // SAFETY: terms of the environment.
    others.len() >= 8
        && others
            .into_iter()
            .all(|other| unsafe { parts_of(other, binaries) }.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(words: &[usize]) -> Option<Boxed<'_>> {
        let term = words.as_ptr() as usize | BOXED_TAG;
        // SAFETY: looks like a boxed term, and the words live.
        unsafe { parts_of(std::mem::transmute::<usize, ErlNifTerm>(term), true) }
    }

    #[test]
    fn what_is_boxed_is_read_as_its_header_says() {
        assert!(matches!(boxed(&[2 << 6, 31, 47]), Some(Boxed::Tuple(items)) if items.len() == 2));
        assert_eq!(
            boxed(&[0x58, 1.5f64.to_bits() as usize]),
            Some(Boxed::Float(1.5))
        );
        let text = usize::from_le_bytes(*b"abc\0\0\0\0\0");
        assert_eq!(
            boxed(&[2 << 6 | 0x24, 3, text]),
            Some(Boxed::Binary(b"abc"))
        );
        assert_eq!(boxed(&[2 << 6 | 0x24, 9, text]), None, "another length");
        let keys = [1_usize << 6, 31];
        let keys_term = keys.as_ptr() as usize | BOXED_TAG;
        assert!(matches!(
            boxed(&[MAP, 1, keys_term, 47]),
            Some(Boxed::Map(keys, values)) if keys.len() == 1 && values.len() == 1
        ));
        assert_eq!(boxed(&[MAP, 2, keys_term, 47, 63]), None, "of one key");
        assert_eq!(boxed(&[3 << 6 | 0x08, 1, 2, 3]), None);
    }

    #[test]
    fn nothing_is_read_before_the_vm_was_looked_at() {
        let words = [0usize];
        let term = words.as_ptr() as usize | BOXED_TAG;
        // SAFETY: a word like any other.
        let term = unsafe { std::mem::transmute::<usize, ErlNifTerm>(term) };
        // SAFETY: looks like an empty tuple, and the words live.
        assert_eq!(unsafe { of(term) }, None);
    }
}
