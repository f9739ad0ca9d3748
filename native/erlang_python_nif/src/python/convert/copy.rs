//! The bytes of buffers and of large binaries, copied once. What is large is copied without the GIL:
//! other threads of Python go on meanwhile.

use super::buffer::PyBuffer;
use super::{Failure, Unconvertible, layout};
use crate::base::copies;
use crate::python::interpreter::symbol;
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{CStr, c_char, c_int};
use std::sync::OnceLock;

/// From this many bytes on the GIL is let go of. Less is copied in the time that it takes to get it
/// back.
pub const LARGE: usize = 1 << 20;

/// `PyBUF_FULL_RO`
const FULL_RO: c_int = 0x0100 | 0x0018 | 0x0004;

/// `PyBUF_STRIDES`
const STRIDES: c_int = 0x0010 | 0x0008;

// In the limited API since 3.11, exported by every supported libpython.
unsafe extern "C" {
    fn PyObject_GetBuffer(object: *mut ffi::PyObject, view: *mut PyBuffer, flags: c_int) -> c_int;
    fn PyBuffer_Release(view: *mut PyBuffer);
    fn PyBuffer_IsContiguous(view: *const PyBuffer, order: c_char) -> c_int;
}

/// The one copy of a buffer (a `memoryview`, a `bytearray`) that becomes a binary: `write` is given
/// the size and gives memory of that size back. The items are laid out in C order, whatever the
/// buffer's strides are.
pub fn out(
    py: Python<'_>,
    object: &Bound<'_, PyAny>,
    write: impl FnOnce(usize) -> Result<*mut u8, Failure>,
) -> Result<(), Failure> {
    // SAFETY: pointers and numbers only.
    let mut view: PyBuffer = unsafe { std::mem::zeroed() };
    get(object, &mut view, FULL_RO)?;
    let copied = plain(&view)
        .and_then(|()| write(view.len as usize))
        .map(|target| {
            // SAFETY: the GIL is held, and a view that was just got.
            let contiguous = unsafe { PyBuffer_IsContiguous(&view, b'C' as c_char) } != 0;
            let copy = Copy {
                view: &view,
                target,
                contiguous,
            };
            if view.len as usize >= LARGE {
                py.detach(move || copy.run());
            } else {
                copy.run();
            }
        });
    // SAFETY: got above, released once.
    unsafe { PyBuffer_Release(&mut view) };
    copied
}

/// A view of an object's memory, as long as this lives. With shape and strides, and without pointers to follow.
// In a box, as the structure may have pointers into itself.
pub struct View(Box<PyBuffer>);

impl View {
    pub fn of(object: &Bound<'_, PyAny>) -> Result<Self, Failure> {
        // SAFETY: pointers and numbers only.
        let mut view: Box<PyBuffer> = Box::new(unsafe { std::mem::zeroed() });
        get(object, &mut view, STRIDES)?;
        Ok(View(view))
    }

    pub fn get(&self) -> &PyBuffer {
        &self.0
    }

    /// Whether it has the bytes from one place to another, seen from `first`.
    pub fn has(&self, first: *const u8, (low, high): (isize, isize)) -> bool {
        let (from, to) = self.span();
        let first = first as isize;
        low == high
            || first.checked_add(low).is_some_and(|low| low >= from)
                && first.checked_add(high).is_some_and(|high| high <= to)
    }

    /// From where to where its items lie.
    fn span(&self) -> (isize, isize) {
        let view = self.get();
        let first = view.buf as isize;
        if view.strides.is_null() || view.shape.is_null() {
            return (first, first + view.len);
        }
        let (mut from, mut to) = (first, first + view.itemsize);
        for at in 0..view.ndim as usize {
            // SAFETY: a number for each dimension.
            let reach = unsafe { (*view.shape.add(at) - 1) * *view.strides.add(at) };
            from += reach.min(0);
            to += reach.max(0);
        }
        (from, to)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: got once, and the GIL is held: it lives in functions that have it.
        unsafe { PyBuffer_Release(&mut *self.0) };
    }
}

/// Asks for a buffer, to be released by who asks. What refuses is a `memoryview` that was released, for instance.
fn get(object: &Bound<'_, PyAny>, view: &mut PyBuffer, flags: c_int) -> Result<(), Failure> {
    let py = object.py();
    // SAFETY: the GIL is held; the structure is written on success.
    if unsafe { PyObject_GetBuffer(object.as_ptr(), view, flags) } == 0 {
        return Ok(());
    }
    let error = PyErr::fetch(py);
    if error.is_instance_of::<PyValueError>(py) || error.is_instance_of::<PyBufferError>(py) {
        let text = format!("this buffer cannot be read: {}", error.value(py));
        Err(Unconvertible::new(text).into())
    } else {
        Err(error.into())
    }
}

/// Items that are something else than numbers or bytes, such as pointers, are no data.
fn plain(view: &PyBuffer) -> Result<(), Failure> {
    if view.format.is_null() {
        return Ok(());
    }
    // SAFETY: a format is a null-terminated string that lives as long as the view.
    let format = unsafe { CStr::from_ptr(view.format) };
    if is_plain(format.to_bytes(), view.itemsize as usize) {
        return Ok(());
    }
    const SHOWN: usize = 60;
    let format: String = format.to_string_lossy().chars().take(SHOWN).collect();
    Err(Unconvertible::new(format!(
        "expected a buffer of numbers or bytes, got: items of the format {format:?} with {} bytes \
         each, which have no counterpart as a binary; convert it in Python, for example with \
         `.tolist()`",
        view.itemsize
    ))
    .into())
}

/// Formats of `struct`, of one kind of item, and of complex numbers: a byte order, a count, a kind. An item
/// of another size is something else: unions and packed structs of ctypes say that they are bytes.
fn is_plain(format: &[u8], itemsize: usize) -> bool {
    let order = format
        .first()
        .is_some_and(|first| b"@=<>!^".contains(first));
    let format = &format[usize::from(order)..];
    let digits = format
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (count, kind) = format.split_at(digits);
    let count = match std::str::from_utf8(count) {
        Ok("") => Some(1),
        Ok(digits) => digits.parse::<usize>().ok(),
        Err(_) => None,
    };
    let sizes: &[usize] = match kind {
        [b'c' | b'b' | b'B' | b'?' | b's' | b'p' | b'x'] => &[1],
        [b'h' | b'H' | b'e'] => &[2],
        [b'i' | b'I' | b'f'] | [b'Z', b'e'] => &[4],
        [b'q' | b'Q' | b'n' | b'N' | b'd'] | [b'Z', b'f'] => &[8],
        // With a byte order they are smaller.
        [b'l' | b'L'] => &[4, 8],
        [b'Z', b'd'] => &[16],
        // As wide as the platform has it.
        [b'g'] => &[8, 10, 12, 16],
        [b'Z', b'g'] => &[16, 20, 24, 32],
        _ => &[],
    };
    count.is_some_and(|count| {
        sizes
            .iter()
            .any(|size| size.checked_mul(count) == Some(itemsize))
    })
}

/// A copy that needs no GIL.
struct Copy<'v> {
    view: &'v PyBuffer,
    target: *mut u8,
    contiguous: bool,
}

// SAFETY: it is run by the thread that has made it. The exporter keeps memory and description in
// place until the view is released. Should another thread write to the memory meanwhile, the copy has
// some of the old bytes and some of the new ones, as with any copy of Python's own without the GIL.
unsafe impl Send for Copy<'_> {}

impl Copy<'_> {
    fn run(&self) {
        let view = self.view;
        if view.len == 0 {
            return;
        }
        // SAFETY: `target` has room for the bytes of the view. One that is contiguous has them in
        // one piece; of others all have shape and strides, which was asked for.
        unsafe {
            if self.contiguous || view.ndim == 0 {
                self.target
                    .copy_from_nonoverlapping(view.buf.cast(), view.len as usize);
            } else {
                self.dimension(0, view.buf.cast(), self.target);
            }
        }
    }

    /// Copies the items from dimension `at` on, and gives the place behind them.
    ///
    /// # Safety
    ///
    /// `source` is where that dimension begins, and `target` has room for its items.
    unsafe fn dimension(&self, at: usize, source: *const u8, target: *mut u8) -> *mut u8 {
        let view = self.view;
        // SAFETY: shape and strides have a number for each dimension, suboffsets too if there are
        // any: then a negative one says that there is no pointer to follow.
        unsafe {
            let (count, stride) = (*view.shape.add(at), *view.strides.add(at));
            let suboffset = match view.suboffsets.is_null() {
                true => -1,
                false => *view.suboffsets.add(at),
            };
            if at + 1 == view.ndim as usize && suboffset < 0 {
                return items(source, target, count, stride, view.itemsize as usize);
            }
            let mut target = target;
            for index in 0..count {
                let mut item = source.offset(index * stride);
                if suboffset >= 0 {
                    item = item.cast::<*const u8>().read_unaligned().offset(suboffset);
                }
                target = if at + 1 == view.ndim as usize {
                    target.copy_from_nonoverlapping(item, view.itemsize as usize);
                    target.add(view.itemsize as usize)
                } else {
                    self.dimension(at + 1, item, target)
                };
            }
            target
        }
    }
}

/// Copies items that lie `stride` bytes apart, and gives the place behind them.
///
/// # Safety
///
/// There are `count` items there, and `target` has room for them.
unsafe fn items(
    source: *const u8,
    target: *mut u8,
    count: isize,
    stride: isize,
    size: usize,
) -> *mut u8 {
    /// The same for a size that is known when this is compiled.
    unsafe fn sized<const SIZE: usize>(s: *const u8, t: *mut u8, count: isize, stride: isize) {
        for index in 0..count {
            // SAFETY: as the function around it demands.
            unsafe {
                t.offset(index * SIZE as isize)
                    .copy_from_nonoverlapping(s.offset(index * stride), SIZE);
            }
        }
    }
    // SAFETY: as this function demands.
    unsafe {
        match size {
            1 => sized::<1>(source, target, count, stride),
            2 => sized::<2>(source, target, count, stride),
            4 => sized::<4>(source, target, count, stride),
            8 => sized::<8>(source, target, count, stride),
            _ => {
                for index in 0..count {
                    target
                        .offset(index * size as isize)
                        .copy_from_nonoverlapping(source.offset(index * stride), size);
                }
            }
        }
        target.offset(count * size as isize)
    }
}

/// Memory that only this thread knows of, to be written without the GIL.
struct Room(*mut u8);

// SAFETY: it stays with the thread that has made it.
unsafe impl Send for Room {}

impl Room {
    /// # Safety
    ///
    /// There is room for the bytes.
    unsafe fn fill(self, bytes: &[u8]) {
        // SAFETY: as this function demands.
        unsafe { copies::copy(bytes.as_ptr(), self.0, bytes.len()) }
    }

    /// The same for memory that was just allocated.
    ///
    /// # Safety
    ///
    /// As above.
    unsafe fn fill_new(self, bytes: &[u8]) {
        // SAFETY: as this function demands.
        unsafe {
            copies::is_new(self.0, bytes.len());
            self.fill(bytes)
        }
    }
}

/// The `bytes` of a large binary.
pub fn into_bytes<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the GIL is held. New bytes are nobody else's, and are given what they are before
    // anybody sees them.
    unsafe {
        let object = ffi::PyBytes_FromStringAndSize(std::ptr::null(), bytes.len() as isize);
        let object = Bound::from_owned_ptr_or_err(py, object)?;
        let room = Room(ffi::PyBytes_AsString(object.as_ptr()).cast());
        py.detach(move || room.fill_new(bytes));
        Ok(object)
    }
}

/// A `bytearray` of the bytes.
pub fn into_bytearray<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: as in `into_bytes`.
    unsafe {
        let object = ffi::PyByteArray_FromStringAndSize(std::ptr::null(), bytes.len() as isize);
        let object = Bound::from_owned_ptr_or_err(py, object)?;
        let room = Room(ffi::PyByteArray_AsString(object.as_ptr()).cast());
        if bytes.len() >= LARGE {
            py.detach(move || room.fill_new(bytes));
        } else {
            room.fill(bytes);
        }
        Ok(object)
    }
}

/// The `str` of a large binary that is UTF-8, the `bytes` of another.
pub fn into_python<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    match py.detach(|| Text::of(bytes)) {
        None => into_bytes(py, bytes),
        Some(text) if text.largest.is_ascii() => match into_ascii(py, bytes) {
            Some(made) => made,
            None => text.into_str(py),
        },
        Some(text) => text.into_str(py),
    }
}

/// The `str` of bytes that are ASCII. None if it is unknown where they are to be written.
fn into_ascii<'py>(py: Python<'py>, bytes: &[u8]) -> Option<PyResult<Bound<'py, PyAny>>> {
    // SAFETY: the GIL is held, and a new str is nobody else's.
    unsafe {
        let (object, characters) = layout::ascii_room(bytes.len())?;
        let object = Bound::from_owned_ptr_or_err(py, object);
        if object.is_ok() {
            let room = Room(characters);
            py.detach(move || room.fill(bytes));
        }
        Some(object)
    }
}

/// UTF-8, and what has to be known of it to make room for it.
struct Text<'b> {
    text: &'b str,
    length: usize,
    largest: char,
}

/// So many bytes are decoded at a time, which takes a part of the time that a thread of Python keeps
/// the GIL.
const CHUNK: usize = 64 << 10;

type New = unsafe extern "C" fn(ffi::Py_ssize_t, u32) -> *mut ffi::PyObject;
type CopyCharacters = unsafe extern "C" fn(
    *mut ffi::PyObject,
    ffi::Py_ssize_t,
    *mut ffi::PyObject,
    ffi::Py_ssize_t,
    ffi::Py_ssize_t,
) -> ffi::Py_ssize_t;

impl<'b> Text<'b> {
    fn of(bytes: &'b [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        if text.is_ascii() {
            return Some(Text {
                text,
                length: bytes.len(),
                largest: '\0',
            });
        }
        let (mut length, mut largest) = (0, '\0');
        for character in text.chars() {
            length += 1;
            largest = largest.max(character);
        }
        Some(Text {
            text,
            length,
            largest,
        })
    }

    fn into_str<'py>(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        static FUNCTIONS: OnceLock<Option<(New, CopyCharacters)>> = OnceLock::new();
        // SAFETY: they have had these types since 3.3.
        let functions = FUNCTIONS.get_or_init(|| unsafe {
            Some((
                symbol(c"PyUnicode_New")?,
                symbol(c"PyUnicode_CopyCharacters")?,
            ))
        });
        let Some((new, copy)) = functions else {
            return decoded(py, self.text);
        };
        // SAFETY: the GIL is held. A new str is nobody else's, and has room for the characters.
        unsafe {
            let whole = new(self.length as isize, self.largest.into());
            let whole = Bound::from_owned_ptr_or_err(py, whole)?;
            let (mut rest, mut at) = (self.text, 0);
            while !rest.is_empty() {
                let (chunk, left) = rest.split_at(boundary(rest));
                let part = decoded(py, chunk)?;
                let length = part.len()? as isize;
                if copy(whole.as_ptr(), at, part.as_ptr(), 0, length) != length {
                    return Err(PyErr::fetch(py));
                }
                at += length;
                rest = left;
                py.detach(|| {});
            }
            Ok(whole)
        }
    }
}

/// Where a chunk of a text that is not empty ends.
fn boundary(text: &str) -> usize {
    let mut end = text.len().min(CHUNK);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

fn decoded<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the GIL is held; Python copies the bytes.
    unsafe {
        let text = ffi::PyUnicode_FromStringAndSize(text.as_ptr().cast(), text.len() as isize);
        Bound::from_owned_ptr_or_err(py, text)
    }
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn numbers_and_bytes_are_plain() {
        for (format, size) in [
            ("B", 1),
            ("b", 1),
            ("?", 1),
            ("<i", 4),
            (">q", 8),
            ("@n", 8),
            ("<l", 4),
            ("l", 8),
            ("e", 2),
            ("g", 16),
            ("Zd", 16),
            ("<Zf", 8),
            ("3s", 3),
            ("4x", 4),
            ("=12B", 12),
            ("2d", 16),
        ] {
            assert!(is_plain(format.as_bytes(), size), "{format}");
        }
    }

    #[test]
    fn all_else_is_not() {
        for format in [
            "", "O", "P", "w", "3w", "u", "&<i", "T{<i:x:}", "X{}", "z", "Z", "ZO", "if", "2i4f",
            "(2)i", "<", "3", "OO",
        ] {
            for size in [1, 2, 4, 8, 16] {
                assert!(!is_plain(format.as_bytes(), size), "{format}");
            }
        }
    }

    #[test]
    fn items_of_another_size_than_their_format_are_not() {
        for (format, size) in [("B", 8), ("<i", 8), ("3s", 4), ("99999999999999999999B", 8)] {
            assert!(!is_plain(format.as_bytes(), size), "{format}");
        }
    }
}
