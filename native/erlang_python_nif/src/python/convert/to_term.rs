//! Python objects to terms.

mod collections;
mod immediate;

pub use immediate::{Immediate, word};

use super::keys::Terms;
use super::level::Level;
use super::to_python::MUCH;
use super::{
    Failure, MAX_COPIED, MAX_DEPTH, MAX_ITEMS, Unconvertible, buffer, copy, integer, opaque,
    replaced, structs,
};
use crate::base::binaries::Binaries;
use crate::base::flags::Flags;
use crate::python::current;
use crate::python::handle::Handle;
use crate::python::object::{self, Watch};
use crate::python::weight;
use pyo3::ffi;
use pyo3::prelude::*;
use rustler::sys;
use rustler::types::atom::Atom;
use rustler::{Env, Term};
use std::cell::RefCell;
use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;
use std::sync::Arc;

type Result<T> = std::result::Result<T, Failure>;

unsafe extern "C" {
    // In the limited API only since 3.10, exported by every supported libpython.
    fn PyUnicode_AsUTF8AndSize(
        unicode: *mut ffi::PyObject,
        size: *mut ffi::Py_ssize_t,
    ) -> *const c_char;
}

/// One conversion of Python objects to terms of an environment.
pub struct Decoder<'py, 'a, 's> {
    py: Python<'py>,
    env: Env<'a>,
    /// The receiver speaks Erlang: `none`, lists for sets, tuples for dates.
    erlang: bool,
    /// What was `bytes` is a `%Python.Bytes{}`.
    bytes: bool,
    /// The option `:decode`.
    settings: u16,
    /// The containers that the current element is in, outermost first.
    path: Vec<*mut ffi::PyObject>,
    /// The elements, or values, of these that are terms already, and the keys: of each container what
    /// lies above those of the one around it.
    terms: Vec<sys::ErlNifTerm>,
    keys: Vec<sys::ErlNifTerm>,
    /// Those of keys, for the next dicts.
    made: Terms<'py>,
    items: usize,
    /// Bytes of text and data that were copied.
    copied: usize,
    binaries: Binaries,
    /// Whether anybody still waits for the term, and how many containers were entered since the last look.
    wanted: Option<&'s dyn Fn() -> bool>,
    entered: usize,
    /// All that was met is plain data, of Python's own classes.
    plain: bool,
    /// What there are handles of is in the hands of Python code, which goes on: these are to be weighed when it
    /// has let go of them.
    watches: Option<RefCell<Vec<Arc<Watch>>>>,
}

/// How many terms there is kept room for, at least and at most: 8 bytes each.
const SMALL_SCRATCH: usize = 1 << 10;
const LARGE_SCRATCH: usize = 1 << 17;

impl Drop for Decoder<'_, '_, '_> {
    fn drop(&mut self) {
        let rooms = [self.terms.capacity(), self.keys.capacity()];
        if rooms.iter().any(|room| *room >= SMALL_SCRATCH)
            && rooms.iter().all(|room| *room <= LARGE_SCRATCH)
        {
            let mut scratch = (
                std::mem::take(&mut self.terms),
                std::mem::take(&mut self.keys),
            );
            scratch.0.clear();
            scratch.1.clear();
            current::get()
                .scratch
                .with(self.py, |kept| *kept = Some(scratch));
        }
    }
}

/// How many containers are entered between two looks.
const LOOK: usize = 1_024;

impl<'py, 'a, 's> Decoder<'py, 'a, 's> {
    pub fn new(py: Python<'py>, env: Env<'a>, erlang: bool) -> Self {
        Decoder {
            py,
            env,
            erlang,
            bytes: false,
            settings: 0,
            path: Vec::new(),
            terms: Vec::new(),
            keys: Vec::new(),
            made: Terms::default(),
            items: 0,
            copied: 0,
            binaries: Binaries::default(),
            wanted: None,
            entered: 0,
            plain: true,
            watches: None,
        }
    }

    /// For code that hands objects out and goes on.
    pub fn handing_out(mut self) -> Self {
        self.watches = Some(RefCell::default());
        self
    }

    /// What it has handed out and has itself.
    pub fn handed_out(&self) -> Vec<Arc<Watch>> {
        self.watches.as_ref().map_or_else(Vec::new, RefCell::take)
    }

    /// As a request wants its answer.
    pub fn with_flags(py: Python<'py>, env: Env<'a>, flags: Flags) -> Self {
        let mut decoder = Self::new(py, env, flags.erlang());
        decoder.bytes = flags.return_bytes();
        decoder.settings = flags.settings();
        decoder
    }

    /// Whether what was converted takes long to free, and nothing is run by that but Python's own
    /// code: then it can wait.
    pub fn leaves_much(&self) -> bool {
        self.plain && self.items >= MUCH
    }

    /// Ends the conversion when nobody waits for it any more. A value that shares its parts
    /// can be small in Python and take seconds, with the GIL held.
    pub fn while_wanted(mut self, wanted: &'s dyn Fn() -> bool) -> Self {
        self.wanted = Some(wanted);
        self
    }

    /// The term for an object: a value if it has a counterpart, else a `%Python.Object{}`.
    pub fn value(&mut self, object: &Bound<'py, PyAny>) -> Result<Term<'a>> {
        let pointer = object.as_ptr();
        // SAFETY: the GIL is held, the object is alive, and each function is given an object of
        // the type that was just checked.
        unsafe {
            let class = ffi::Py_TYPE(pointer);
            if class == &raw mut ffi::PyUnicode_Type {
                return self.text(object);
            }
            if let Some(term) = self.immediate().term_at(pointer) {
                return Ok(term);
            }
            let flags = ffi::PyType_GetFlags(class);
            let is = |kind| flags & kind != 0;
            let plain = class == &raw mut ffi::PyList_Type
                || class == &raw mut ffi::PyDict_Type
                || class == &raw mut ffi::PyTuple_Type
                || class == &raw mut ffi::PyBytes_Type
                || class == &raw mut ffi::PyLong_Type;
            self.plain &= plain;
            if !plain && let Some(term) = self.replaced(object)? {
                return Ok(term);
            }
            if is(ffi::Py_TPFLAGS_LIST_SUBCLASS) {
                self.nested(object, Self::list)
            } else if is(ffi::Py_TPFLAGS_DICT_SUBCLASS) {
                self.nested(object, Self::dict)
            } else if is(ffi::Py_TPFLAGS_TUPLE_SUBCLASS) {
                self.nested(object, Self::tuple)
            } else if is(ffi::Py_TPFLAGS_UNICODE_SUBCLASS) {
                self.text(object)
            } else if is(ffi::Py_TPFLAGS_LONG_SUBCLASS) {
                self.integer(object)
            } else if ffi::PyFloat_Check(pointer) != 0 {
                Ok(self.immediate().float(ffi::PyFloat_AsDouble(pointer)))
            } else if is(ffi::Py_TPFLAGS_BYTES_SUBCLASS) {
                let (mut data, mut size) = (std::ptr::null_mut(), 0);
                if ffi::PyBytes_AsStringAndSize(pointer, &mut data, &mut size) != 0 {
                    return Err(PyErr::fetch(self.py).into());
                }
                let data = self.unchanging(object, data.cast(), size as usize)?;
                Ok(self.marked(data))
            } else if ffi::PyByteArray_Check(pointer) != 0
                || class == &raw mut ffi::PyMemoryView_Type
            {
                let data = self.buffer(object)?;
                Ok(self.marked(data))
            } else if collections::is_set(object) {
                self.nested(object, Self::set)
            } else if let Some(term) = opaque::to_term(self.env, object) {
                Ok(term)
            } else if let Some(term) = structs::to_term(self, object)? {
                Ok(term)
            } else {
                Ok(self.object(object))
            }
        }
    }

    /// The term for what stands for an object: by a decoder of the user's, or on request.
    fn replaced(&mut self, object: &Bound<'py, PyAny>) -> Result<Option<Term<'a>>> {
        if self.settings == 0 && !replaced::decoders_exist() {
            return Ok(None);
        }
        let Some(replaced) = replaced::ask(object, self.settings)? else {
            return Ok(None);
        };
        self.nested(object, |decoder, _| decoder.value(&replaced))
            .map(Some)
    }

    /// Data that was `bytes`, as the request wants it.
    fn marked(&self, data: Term<'a>) -> Term<'a> {
        if self.bytes {
            structs::bytes_to_term(self.env, data)
        } else {
            data
        }
    }

    /// The terms for what needs no more than the environment.
    #[inline]
    fn immediate(&self) -> Immediate<'a> {
        Immediate::new(self.env, self.erlang)
    }

    pub fn env(&self) -> Env<'a> {
        self.env
    }

    pub fn is_erlang(&self) -> bool {
        self.erlang
    }

    pub fn none(&self) -> Atom {
        self.immediate().none()
    }

    /// A handle to the object itself.
    pub fn object(&self, object: &Bound<'py, PyAny>) -> Term<'a> {
        // The caller's, and that of the container which it is in.
        let references = if self.path.is_empty() { 1 } else { 2 };
        let weight = weight::of(object, references);
        let handle = Handle::new(object.clone().unbind());
        match (weight, &self.watches) {
            (None, Some(watches)) => {
                let (term, watch) = object::to_watched_term(self.env, handle);
                watches.borrow_mut().push(watch);
                term
            }
            (weight, _) => {
                object::to_term(self.env, handle, weight.map_or(0, |weight| weight.total(0)))
            }
        }
    }

    /// A handle to an exception that was raised and described.
    pub fn exception(&self, exception: &Bound<'py, PyAny>) -> Term<'a> {
        // What was raised, the description, and what has led to others is held by these.
        const REFERENCES: usize = 5;
        let weight = weight::of(exception, REFERENCES).map_or(0, |weight| weight.total(0));
        object::to_term(self.env, Handle::new(exception.clone().unbind()), weight)
    }

    fn nested(
        &mut self,
        object: &Bound<'py, PyAny>,
        convert: impl FnOnce(&mut Self, &Bound<'py, PyAny>) -> Result<Term<'a>>,
    ) -> Result<Term<'a>> {
        if self.path.contains(&object.as_ptr()) {
            let kind = type_name(object);
            return Err(Unconvertible::new(format!(
                "a {kind} that contains itself has no counterpart in Elixir"
            ))
            .into());
        }
        if self.path.len() == MAX_DEPTH {
            return Err(Unconvertible::new(format!(
                "values nested deeper than {MAX_DEPTH} levels cannot be converted"
            ))
            .into());
        }
        self.entered += 1;
        if self.entered == LOOK {
            self.entered = 0;
            if self.wanted.is_some_and(|wanted| !wanted()) {
                return Err(Unconvertible::new("the caller no longer waits for it").into());
            }
        }
        let _level = Level::enter()?;
        self.path.push(object.as_ptr());
        let (terms, keys) = (self.terms.len(), self.keys.len());
        let converted = convert(self, object);
        self.terms.truncate(terms);
        self.keys.truncate(keys);
        self.path.pop();
        converted
    }

    /// Makes room for so many elements.
    fn reserve(&mut self, items: usize) {
        if items >= SMALL_SCRATCH && self.terms.capacity() == 0 {
            let kept = current::get().scratch.with(self.py, Option::take);
            (self.terms, self.keys) = kept.unwrap_or_default();
        }
        self.terms.reserve(items);
    }

    /// Counts elements before they are converted.
    fn count(&mut self, items: usize) -> Result<()> {
        self.items = self.items.saturating_add(items);
        if self.items > MAX_ITEMS {
            return Err(Unconvertible::new(format!(
                "a value with more than {MAX_ITEMS} elements in total cannot be converted; \
                 convert it in parts or keep it in Python with `return: :object`"
            ))
            .into());
        }
        Ok(())
    }

    /// Counts bytes before they are copied.
    fn count_bytes(&mut self, bytes: usize) -> Result<()> {
        self.copied = self.copied.saturating_add(bytes);
        if self.copied > MAX_COPIED {
            return Err(Unconvertible::new(format!(
                "a value with more than {} GiB of data in total cannot be converted, except str and \
                 bytes of {} KiB or more, which are not copied; convert it in parts or keep it \
                 in Python with `return: :object`",
                MAX_COPIED >> 30,
                buffer::SHARED >> 10
            ))
            .into());
        }
        Ok(())
    }

    fn integer(&mut self, object: &Bound<'py, PyAny>) -> Result<Term<'a>> {
        let mut overflow: c_int = 0;
        // SAFETY: an int, and the GIL is held.
        let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(object.as_ptr(), &mut overflow) };
        if overflow == 0 {
            return Ok(self.immediate().integer(value));
        }
        self.count_bytes(integer::size(object)?)?;
        integer::to_term(self.env, object)?.ok_or_else(|| {
            Unconvertible::new("an int of this size is too large for the integers of the VM").into()
        })
    }

    fn text(&mut self, object: &Bound<'py, PyAny>) -> Result<Term<'a>> {
        let mut size = 0;
        // SAFETY: a str, and the GIL is held. The bytes belong to the object, which outlives them.
        let data = unsafe { PyUnicode_AsUTF8AndSize(object.as_ptr(), &mut size) };
        if data.is_null() {
            let error = PyErr::fetch(self.py);
            if error.is_instance_of::<pyo3::exceptions::PyUnicodeError>(self.py) {
                return Err(Unconvertible::new(
                    "a str with a lone surrogate is not valid Unicode and cannot be a binary; \
                     encode it in Python, for example with \
                     `text.encode('utf-8', 'surrogatepass')`",
                )
                .into());
            }
            return Err(error.into());
        }
        // SAFETY: the UTF-8 form of a str belongs to it as long as it lives, once it was asked for.
        unsafe { self.unchanging(object, data.cast(), size as usize) }
    }

    /// A binary of bytes that belong to an object which never changes: shared if there are many.
    ///
    /// # Safety
    ///
    /// `object` has `size` bytes at `data` as long as it lives.
    unsafe fn unchanging(
        &mut self,
        object: &Bound<'py, PyAny>,
        data: *const u8,
        size: usize,
    ) -> Result<Term<'a>> {
        if size >= buffer::SHARED {
            // SAFETY: as this function demands.
            Ok(unsafe { buffer::shared_binary(self.env, object, data, size) })
        } else {
            self.count_bytes(size)?;
            Ok(self.binary(data, size))
        }
    }

    /// The bytes of an object that may change, copied once.
    fn buffer(&mut self, object: &Bound<'py, PyAny>) -> Result<Term<'a>> {
        let mut term = MaybeUninit::uninit();
        copy::out(self.py, object, |size| {
            self.count_bytes(size)?;
            // SAFETY: gives `size` writable bytes and writes the term.
            Ok(unsafe { sys::enif_make_new_binary(self.env.as_c_arg(), size, term.as_mut_ptr()) })
        })?;
        // SAFETY: written above: it calls the closure whenever it returns Ok.
        Ok(unsafe { Term::new(self.env, term.assume_init()) })
    }

    /// Copies `size` bytes at `data` into a binary.
    fn binary(&self, data: *const u8, size: usize) -> Term<'a> {
        let bytes = match size {
            0 => &[],
            // SAFETY: the callers have `size` readable bytes at `data`, which nobody changes while the GIL is held.
            _ => unsafe { std::slice::from_raw_parts(data, size) },
        };
        // SAFETY: a term of this environment.
        unsafe { Term::new(self.env, self.binaries.make(self.env, bytes)) }
    }
}

fn type_name(object: &Bound<'_, PyAny>) -> String {
    const SHOWN: usize = 60;
    object.get_type().name().map_or_else(
        |_| "value".into(),
        |name| name.to_string_lossy().chars().take(SHOWN).collect(),
    )
}
