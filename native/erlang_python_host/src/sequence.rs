//! Lists and tuples.

use crate::env::HostEnv;
use crate::word::{self, Kind, NIL, Word};
use std::ffi::{c_char, c_int, c_uint};
use std::slice;

/// A tuple whose elements are to be written: where they are, and the term.
#[inline]
pub fn tuple(env: &mut HostEnv, arity: usize) -> (*mut Word, Word) {
    let boxed = env.boxed(Kind::Tuple, arity, arity);
    (boxed.wrapping_add(1), word::boxed(boxed))
}

/// A list of so many elements, at least one, and its tail: heads and tails by turns. All tails but the last are
/// written, the rest is to be.
#[inline]
pub fn cells(env: &mut HostEnv, count: usize) -> *mut Word {
    let cells = env.arena.words(2 * count);
    for index in 1..count {
        // SAFETY: so many words were given.
        unsafe { *cells.add(2 * index - 1) = word::cell(cells.add(2 * index)) };
    }
    cells
}

/// A proper list.
pub fn list(env: &mut HostEnv, elements: impl ExactSizeIterator<Item = Word>) -> Word {
    let count = elements.len();
    if count == 0 {
        return NIL;
    }
    let cells = env.arena.words(2 * count);
    // SAFETY: as many cells were given.
    unsafe {
        for (index, element) in elements.enumerate().take(count) {
            let cell = cells.add(2 * index);
            *cell = element;
            *cell.add(1) = word::cell(cell.wrapping_add(2));
        }
        *cells.add(2 * count - 1) = NIL;
    }
    word::cell(cells)
}

/// How many cells a list has, and what follows the last.
pub unsafe fn measure(mut list: Word) -> (usize, Word) {
    let mut count = 0;
    while word::is_cell(list) {
        count += 1;
        list = *word::pointer(list).add(1);
    }
    (count, list)
}

/// The elements of a proper list, up to its end.
pub struct Elements(pub Word);

impl Iterator for Elements {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        if !word::is_cell(self.0) {
            return None;
        }
        // SAFETY: a cell is two words.
        unsafe {
            let cell = word::pointer(self.0);
            self.0 = *cell.add(1);
            Some(*cell)
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_is_list(_env: *mut HostEnv, term: Word) -> c_int {
    c_int::from(word::is_cell(term) || term == NIL)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_is_empty_list(_env: *mut HostEnv, term: Word) -> c_int {
    c_int::from(term == NIL)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_get_list_cell(
    _env: *mut HostEnv,
    term: Word,
    head: *mut Word,
    tail: *mut Word,
) -> c_int {
    if !word::is_cell(term) {
        return 0;
    }
    let cell = word::pointer(term);
    *head = *cell;
    *tail = *cell.add(1);
    1
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_get_list_length(
    _env: *mut HostEnv,
    term: Word,
    length: *mut c_uint,
) -> c_int {
    let (count, NIL) = measure(term) else {
        return 0;
    };
    let Ok(count) = c_uint::try_from(count) else {
        return 0;
    };
    *length = count;
    1
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_list_cell(env: *mut HostEnv, head: Word, tail: Word) -> Word {
    let cell = (*env).arena.words(2);
    *cell = head;
    *cell.add(1) = tail;
    word::cell(cell)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_list_from_array(
    env: *mut HostEnv,
    elements: *const Word,
    count: c_uint,
) -> Word {
    list(&mut *env, array(elements, count as usize).iter().copied())
}

/// An array of C's, which may be null when it is empty.
pub unsafe fn array<'a>(elements: *const Word, count: usize) -> &'a [Word] {
    if count == 0 {
        return &[];
    }
    slice::from_raw_parts(elements, count)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_reverse_list(
    env: *mut HostEnv,
    term: Word,
    reversed: *mut Word,
) -> c_int {
    let (_, NIL) = measure(term) else {
        return 0;
    };
    *reversed = Elements(term).fold(NIL, |tail, head| enif_make_list_cell(env, head, tail));
    1
}

/// A list of the characters, which are of Latin-1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_string_len(
    env: *mut HostEnv,
    string: *const c_char,
    length: usize,
    _encoding: c_int,
) -> Word {
    let bytes: &[u8] = if length == 0 {
        &[]
    } else {
        slice::from_raw_parts(string.cast(), length)
    };
    list(
        &mut *env,
        bytes.iter().map(|&byte| word::small_of(byte.into())),
    )
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_string(
    env: *mut HostEnv,
    string: *const c_char,
    encoding: c_int,
) -> Word {
    let length = std::ffi::CStr::from_ptr(string).count_bytes();
    enif_make_string_len(env, string, length, encoding)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_is_tuple(_env: *mut HostEnv, term: Word) -> c_int {
    c_int::from(word::of_kind(term, Kind::Tuple).is_some())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_get_tuple(
    _env: *mut HostEnv,
    term: Word,
    arity: *mut c_int,
    elements: *mut *const Word,
) -> c_int {
    let Some(boxed) = word::of_kind(term, Kind::Tuple) else {
        return 0;
    };
    *arity = word::size(boxed) as c_int;
    *elements = boxed.add(1);
    1
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_tuple_from_array(
    env: *mut HostEnv,
    elements: *const Word,
    count: c_uint,
) -> Word {
    let elements = array(elements, count as usize);
    let (slots, tuple) = tuple(&mut *env, elements.len());
    slots.copy_from_nonoverlapping(elements.as_ptr(), elements.len());
    tuple
}
