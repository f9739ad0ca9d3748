//! Small integers and list cells, as the VM lays them out.
//!
//! A call of a function of the VM for each element of a list costs as much as all else that is done
//! with it. How terms look is no part of the NIF interface, so it is not assumed: when the library is
//! loaded, terms that the VM has made are compared with what is expected here. Should any look
//! different, or `native_layouts` be off, the functions are used after all.

use rustler::Env;
use rustler::sys::{
    ErlNifTerm, enif_get_int64, enif_get_list_cell, enif_make_atom, enif_make_int64,
    enif_make_list_cell,
};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

static AS_EXPECTED: AtomicBool = AtomicBool::new(false);

const SMALL_TAG: usize = 0xF;
const SMALL_SHIFT: u32 = 4;
const LARGEST_SMALL: i64 = (1 << 59) - 1;
const SMALLEST_SMALL: i64 = -(1 << 59);

const CELL_TAG: usize = 1;
const CELL_MASK: usize = 3;
/// With it, a term in an area of literals may be marked.
const POINTER_MASK: usize = !7;

/// Looks how the VM lays terms out. When the library is loaded.
pub fn look(env: Env<'_>) {
    AS_EXPECTED.store(
        cfg!(target_pointer_width = "64") && smalls_are(env) && cells_are(env),
        Ordering::Release,
    );
}

/// Uses the functions from now on: the setting `native_layouts` is known after the library was loaded.
pub fn forget() {
    AS_EXPECTED.store(false, Ordering::Release);
}

fn smalls_are(env: Env<'_>) -> bool {
    let env = env.as_c_arg();
    // SAFETY: a valid environment.
    let make = |value| unsafe { enif_make_int64(env, value) };
    let samples = [0, 1, -1, 15, 16, -16, 123_456_789_012, LARGEST_SMALL];
    let both = samples.into_iter().flat_map(|value| [value, !value]);
    let same = |value: i64| {
        let mut read = 0;
        let term = make(value);
        // SAFETY: an integer of the environment.
        let fits = unsafe { enif_get_int64(env, term, &mut read) } != 0;
        fits && read == value && term == small_of(value) && value_of(term) == Some(value)
    };
    both.into_iter().all(same)
        && value_of(make(LARGEST_SMALL + 1)).is_none()
        && value_of(make(SMALLEST_SMALL - 1)).is_none()
}

fn cells_are(env: Env<'_>) -> bool {
    let env = env.as_c_arg();
    // SAFETY: a valid environment, and a null-terminated name.
    let (head, tail) = unsafe {
        (
            enif_make_atom(env, c"ok".as_ptr()),
            enif_make_atom(env, c"error".as_ptr()),
        )
    };
    // SAFETY: terms of the environment.
    let cell = unsafe { enif_make_list_cell(env, head, tail) };
    // SAFETY: a list cell of the environment, if it looks like one.
    unsafe { parts_of(cell) == Some((head, tail)) && parts_of(head).is_none() }
}

/// Whether terms are read in place.
pub fn as_expected() -> bool {
    AS_EXPECTED.load(Ordering::Relaxed)
}

/// The value of a small integer. None for other terms, and if it has to be asked for.
#[inline]
pub fn small(term: ErlNifTerm) -> Option<i64> {
    if as_expected() { value_of(term) } else { None }
}

/// A small integer. None if it is a bigger one, or has to be made by the VM.
#[inline]
pub fn make_small(value: i64) -> Option<ErlNifTerm> {
    let is_small = (SMALLEST_SMALL..=LARGEST_SMALL).contains(&value);
    (is_small && as_expected()).then(|| small_of(value))
}

/// Whether `cell` may be asked.
pub fn has_cells() -> bool {
    as_expected()
}

/// Head and tail of a list cell. None for other terms.
///
/// # Safety
///
/// A valid term, and `has_cells`.
#[inline]
pub unsafe fn cell(term: ErlNifTerm) -> Option<(ErlNifTerm, ErlNifTerm)> {
    // SAFETY: as this function demands.
    unsafe { parts_of(term) }
}

/// The same, however the VM lays them out.
#[inline]
pub fn cell_of(env: Env<'_>, term: ErlNifTerm) -> Option<(ErlNifTerm, ErlNifTerm)> {
    if has_cells() {
        // SAFETY: a valid term.
        return unsafe { parts_of(term) };
    }
    let (mut head, mut tail) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: a valid term of a valid environment; head and tail are written when it is a cell, and read only then.
    unsafe {
        let found = enif_get_list_cell(env.as_c_arg(), term, head.as_mut_ptr(), tail.as_mut_ptr());
        (found != 0).then(|| (head.assume_init(), tail.assume_init()))
    }
}

#[inline]
fn word(term: ErlNifTerm) -> usize {
    // SAFETY: a transparent structure around a word.
    unsafe { std::mem::transmute(term) }
}

#[inline]
fn value_of(term: ErlNifTerm) -> Option<i64> {
    let word = word(term);
    (word & SMALL_TAG == SMALL_TAG).then_some(word as i64 >> SMALL_SHIFT)
}

#[inline]
fn small_of(value: i64) -> ErlNifTerm {
    let word = (value << SMALL_SHIFT) as usize | SMALL_TAG;
    // SAFETY: a transparent structure around a word.
    unsafe { std::mem::transmute(word) }
}

/// # Safety
///
/// A valid term; list cells are laid out as expected.
#[inline]
unsafe fn parts_of(term: ErlNifTerm) -> Option<(ErlNifTerm, ErlNifTerm)> {
    let word = word(term);
    if word & CELL_MASK != CELL_TAG {
        return None;
    }
    let parts = (word & POINTER_MASK) as *const ErlNifTerm;
    // SAFETY: as this function demands: a cell is two words.
    Some(unsafe { (*parts, *parts.add(1)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_integer_is_read_as_it_was_made() {
        for value in [0, 1, -1, 7, LARGEST_SMALL, SMALLEST_SMALL] {
            assert_eq!(value_of(small_of(value)), Some(value));
        }
    }

    #[test]
    fn nothing_is_read_before_the_vm_was_looked_at() {
        assert_eq!(small(small_of(5)), None);
        assert_eq!(make_small(5), None);
        assert!(!has_cells());
    }

    #[test]
    fn what_is_no_cell_is_not_read() {
        // SAFETY: no cell.
        assert_eq!(unsafe { parts_of(small_of(3)) }, None);
    }

    #[test]
    fn a_cell_is_two_words() {
        let words = [small_of(11), small_of(22)];
        let cell = words.as_ptr() as usize | CELL_TAG;
        // SAFETY: looks like a cell, and the words live.
        let parts = unsafe { parts_of(std::mem::transmute::<usize, ErlNifTerm>(cell)) };
        assert_eq!(parts, Some((words[0], words[1])));
    }
}
