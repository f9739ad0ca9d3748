//! Ints, lists and strings, as Python lays them out.
//!
//! The functions of the limited API cost more than what they do for an int of one digit or an element
//! of a list. The layouts are no part of that API and have changed, so none is assumed: when the
//! interpreter has started, objects that it has made are compared with what each layout says of them.
//! Should none fit, or `native_layouts` be off, the functions are used.

use crate::python::interpreter::{layouts, symbol};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyList, PyString};
use std::ffi::c_char;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// How ints are laid out.
static INTS: AtomicU8 = AtomicU8::new(UNKNOWN);
/// Lists are laid out as `List` says.
static LISTS: AtomicBool = AtomicBool::new(false);

/// `PyUnicode_New`, and where in a str of ASCII its characters begin.
static NEW_STR: OnceLock<(NewStr, usize)> = OnceLock::new();

type NewStr = unsafe extern "C" fn(ffi::Py_ssize_t, u32) -> *mut ffi::PyObject;

const UNKNOWN: u8 = 0;
/// Up to 3.11: the number of digits, negative for negative ints.
const SIGNED_SIZE: u8 = 1;
/// From 3.12 on: the number of digits above three bits, the lowest two of which tell the sign.
const TAGGED_SIZE: u8 = 2;

/// An int of at most two digits.
#[repr(C)]
struct Int {
    base: ffi::PyObject,
    size: isize,
    digits: [u32; 2],
}

const DIGIT: u32 = 30;

#[repr(C)]
struct List {
    base: ffi::PyObject,
    size: ffi::Py_ssize_t,
    items: *mut *mut ffi::PyObject,
}

/// Looks how the interpreter lays objects out. When it has started.
pub fn look(py: Python<'_>) -> PyResult<()> {
    if cfg!(not(target_pointer_width = "64")) || !layouts::are_read() {
        return Ok(());
    }
    if ints_are(py, signed_size)? {
        INTS.store(SIGNED_SIZE, Ordering::Release);
    } else if ints_are(py, tagged_size)? {
        INTS.store(TAGGED_SIZE, Ordering::Release);
    }
    LISTS.store(lists_are(py)?, Ordering::Release);
    look_at_strings(py);
    Ok(())
}

/// The names of those that are laid out as expected.
pub fn found() -> impl Iterator<Item = &'static str> {
    let all = [
        ("int", INTS.load(Ordering::Relaxed) != UNKNOWN),
        ("list", LISTS.load(Ordering::Relaxed)),
        ("str", NEW_STR.get().is_some()),
    ];
    all.into_iter()
        .filter_map(|(name, found)| found.then_some(name))
}

/// Before 3.12 the characters come 48 bytes behind the beginning, from then on 40.
fn look_at_strings(py: Python<'_>) {
    const TEXT: &str = "a text that is long enough to be like no other memory";
    let text = PyString::new(py, TEXT);
    let is_at = |offset: &usize| {
        // SAFETY: a str of ASCII has at most 48 bytes before its characters, and at least 40, so that
        // this many are within it.
        let found = unsafe {
            std::slice::from_raw_parts(text.as_ptr().cast::<u8>().add(*offset), TEXT.len() - 8)
        };
        found == &TEXT.as_bytes()[..found.len()]
    };
    let Some(characters) = [40, 48].into_iter().find(is_at) else {
        return;
    };
    // SAFETY: it has had this type since 3.3.
    if let Some(new) = unsafe { symbol(c"PyUnicode_New") } {
        let _ = NEW_STR.set((new, characters));
    }
}

/// A new `str`, or null with an exception set.
///
/// # Safety
///
/// The bytes are ASCII, and the GIL is held.
#[inline]
pub unsafe fn new_ascii(bytes: &[u8]) -> *mut ffi::PyObject {
    let length = bytes.len() as ffi::Py_ssize_t;
    // Python has the shortest ones already.
    let room = if length > 1 {
        // SAFETY: as this function demands.
        unsafe { ascii_room(bytes.len()) }
    } else {
        None
    };
    let Some((text, characters)) = room else {
        // SAFETY: the GIL is held; Python copies the bytes.
        return unsafe {
            ffi::PyUnicode_FromStringAndSize(bytes.as_ptr().cast::<c_char>(), length)
        };
    };
    if !text.is_null() {
        // SAFETY: the new str is not shared yet, and has room for so many bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), characters, bytes.len()) };
    }
    text
}

/// A new `str` for so many characters of ASCII, or null with an exception set, and where they are to
/// be written. None if that is unknown.
///
/// # Safety
///
/// The GIL is held, and there is more than one character.
#[inline]
pub unsafe fn ascii_room(length: usize) -> Option<(*mut ffi::PyObject, *mut u8)> {
    let (new, characters) = NEW_STR.get()?;
    // SAFETY: the GIL is held. Where there is a str, its characters begin where `look_at_strings` has
    // found them; otherwise the place is not used.
    unsafe {
        let text = new(length as ffi::Py_ssize_t, 127);
        Some((text, text.cast::<u8>().wrapping_add(*characters)))
    }
}

type Read = unsafe fn(*const Int) -> Option<i64>;

fn ints_are(py: Python<'_>, read: Read) -> PyResult<bool> {
    let borders = [8, 29, 30, 31, 45, 59, 60].map(|bits| 1i64 << bits);
    let near = borders
        .iter()
        .flat_map(|border| [border - 1, *border, border + 1]);
    for value in near.chain(0..=300) {
        for value in [value, -value] {
            // A new object also where Python has one already.
            let int = value.into_pyobject(py)?;
            // SAFETY: an int, which has room for one digit at least; a second one is read only if
            // its size says that it is there.
            let found = unsafe { read(int.as_ptr().cast()) };
            let expected = (value.unsigned_abs() < 1 << 60).then_some(value);
            if found != expected {
                return Ok(false);
            }
        }
    }
    // Others that must not be taken for small ones.
    let big = py.get_type::<PyInt>().call1(("9".repeat(100),))?;
    // SAFETY: as above.
    Ok(unsafe { read(big.as_ptr().cast()) }.is_none())
}

fn lists_are(py: Python<'_>) -> PyResult<bool> {
    for length in [1, 2, 5, 100] {
        let list = PyList::new(py, (0..length).map(|item| item * 1_000))?;
        let found = list.as_ptr().cast::<List>();
        // SAFETY: a list has at least these fields. Where they are something else the size differs,
        // and then nothing behind it is looked at.
        let same = unsafe {
            (*found).size == list.len() as ffi::Py_ssize_t
                && !(*found).items.is_null()
                && (*found).items.is_aligned()
                && list
                    .iter()
                    .enumerate()
                    .all(|(at, item)| *(*found).items.add(at) == item.as_ptr())
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The value of an int of at most two digits. None for others, and if it has to be asked for.
///
/// # Safety
///
/// `int` is of the class `int` itself, alive, and the GIL is held.
#[inline]
pub unsafe fn small(int: *mut ffi::PyObject) -> Option<i64> {
    // SAFETY: as this function demands.
    unsafe {
        match INTS.load(Ordering::Relaxed) {
            SIGNED_SIZE => signed_size(int.cast()),
            TAGGED_SIZE => tagged_size(int.cast()),
            _ => None,
        }
    }
}

/// # Safety
///
/// An int that is laid out so.
#[inline]
unsafe fn signed_size(int: *const Int) -> Option<i64> {
    // SAFETY: as this function demands.
    unsafe {
        let size = (*int).size;
        let magnitude = magnitude(int, size.unsigned_abs())?;
        Some(if size < 0 { -magnitude } else { magnitude })
    }
}

/// # Safety
///
/// An int that is laid out so.
#[inline]
unsafe fn tagged_size(int: *const Int) -> Option<i64> {
    // SAFETY: as this function demands.
    unsafe {
        let tag = (*int).size as usize;
        let magnitude = magnitude(int, tag >> 3)?;
        Some(if tag & 3 == 2 { -magnitude } else { magnitude })
    }
}

/// # Safety
///
/// An int with so many digits.
#[inline]
unsafe fn magnitude(int: *const Int, digits: usize) -> Option<i64> {
    let digit = |at: usize| {
        // SAFETY: the int has more than `at` digits.
        i64::from(unsafe { (&raw const (*int).digits).cast::<u32>().add(at).read() })
    };
    match digits {
        0 => Some(0),
        1 => Some(digit(0)),
        2 => Some(digit(0) | digit(1) << DIGIT),
        _ => None,
    }
}

/// The elements of a list as they are this moment. None if they have to be asked for.
///
/// # Safety
///
/// `list` is a list, alive, and the GIL is held as long as the result is used. No Python code runs
/// meanwhile.
#[inline]
pub unsafe fn items<'l>(list: *mut ffi::PyObject) -> Option<&'l mut [*mut ffi::PyObject]> {
    if !LISTS.load(Ordering::Relaxed) {
        return None;
    }
    // SAFETY: as this function demands. An empty list may have no items at all.
    unsafe {
        let list = list.cast::<List>();
        if (*list).size == 0 {
            return Some(&mut []);
        }
        Some(std::slice::from_raw_parts_mut(
            (*list).items,
            (*list).size as usize,
        ))
    }
}
