//! Terms to Python objects.

mod collections;

use super::keys::Keys;
use super::level::Level;
use super::shapes::Shapes;
use super::terms::{
    Cells, Pairs, bytes, items, key_step, name_text, no_counterpart, small_integer,
};
use super::{
    Failure, MAX_DEPTH, Step, Unconvertible, copy, integer, layout, opaque, structs, words,
};
use crate::base::atoms;
use crate::base::boxed::{self, Boxed};
use crate::python::arguments::{Arguments, FEW};
use crate::python::current;
use crate::python::growth::Handles;
use crate::python::interpreter::Uncollected;
use crate::python::object;
use pyo3::ffi;
use pyo3::prelude::*;
use rustler::sys;
use rustler::types::atom::Atom;
use rustler::{Term, TermType};
use std::ffi::c_char;

type Result<T> = std::result::Result<T, Failure>;

/// One conversion of terms to Python objects.
pub struct Encoder<'py, 'a> {
    py: Python<'py>,
    depth: usize,
    /// Within the key of a dict or the element of a set, which must be hashable.
    in_key: bool,
    keys: Keys<'py, 'a>,
    shapes: Shapes<'py, 'a>,
    /// How many elements were converted.
    items: usize,
    /// All of them are plain data.
    plain: bool,
    /// While many are made of plain data alone, no cycles are looked for, which would go through all of them every 700
    /// lists and dicts. No code of Python's runs meanwhile, and the GIL is kept: nobody can see it.
    paused: Option<Uncollected>,
    /// The handles among them.
    pub handles: Handles<'a>,
}

/// From so many elements on it takes a while to free them.
pub const MUCH: usize = 256;

impl<'py, 'a> Encoder<'py, 'a> {
    pub fn new(py: Python<'py>) -> Self {
        Encoder {
            py,
            depth: 0,
            in_key: false,
            keys: Keys::default(),
            shapes: Shapes::default(),
            items: 0,
            plain: true,
            paused: None,
            handles: Handles::default(),
        }
    }

    /// Whether what was converted takes long to free, and nothing is run by that but Python's own
    /// code: then it can wait.
    pub fn leaves_much(&self) -> bool {
        self.plain && self.items >= MUCH
    }

    /// The Python object for a term.
    pub fn value(&mut self, term: Term<'a>) -> Result<Bound<'py, PyAny>> {
        let raw = term.as_c_arg();
        if let Some(value) = words::small(raw) {
            // SAFETY: the GIL is held; a new reference or null with an exception set.
            return unsafe { self.owned(ffi::PyLong_FromLongLong(value)) };
        }
        // SAFETY: a term of an environment that lives as long as 'a.
        match unsafe { boxed::of::<'a>(raw) } {
            Some(Boxed::Binary(data)) => return self.binary(data),
            // SAFETY: the GIL is held; a new reference or null with an exception set.
            Some(Boxed::Float(value)) => unsafe {
                return self.owned(ffi::PyFloat_FromDouble(value));
            },
            Some(Boxed::Tuple(items)) => return self.nested(|encoder| encoder.tuple(term, items)),
            Some(Boxed::Map(keys, values)) => {
                return self.nested(|encoder| encoder.flat_map(term, keys, values));
            }
            None => {}
        }
        match term.get_type() {
            TermType::Integer => self.integer(term),
            TermType::Float => self.float(term),
            TermType::Atom => self.atom(term, true),
            TermType::Binary => self.binary(bytes(term)?),
            TermType::List => self.nested(|encoder| encoder.list(term)),
            TermType::Tuple => self.nested(|encoder| encoder.tuple(term, items(term)?)),
            TermType::Map => self.nested(|encoder| encoder.map(term)),
            other => {
                self.is_not_plain();
                opaque::to_python(self.py, term)?.ok_or_else(|| no_counterpart(other))
            }
        }
    }

    pub fn py(&self) -> Python<'py> {
        self.py
    }

    pub fn is_key(&self) -> bool {
        self.in_key
    }

    /// The object for the key of a map.
    fn key(&mut self, term: Term<'a>) -> Result<Bound<'py, PyAny>> {
        // SAFETY: a term of an environment that lives as long as 'a.
        if let Some(Boxed::Binary(data)) = unsafe { boxed::of::<'a>(term.as_c_arg()) } {
            self.text_key(data)
        } else if term.is_atom() {
            self.atom(term, false)
        } else {
            self.element(term)
        }
    }

    /// The object for the element of a set.
    pub fn element(&mut self, term: Term<'a>) -> Result<Bound<'py, PyAny>> {
        if let Ok(data) = bytes(term) {
            return self.text_key(data);
        }
        let outer = std::mem::replace(&mut self.in_key, true);
        let element = self.value(term);
        self.in_key = outer;
        element
    }

    /// The elements of a proper list, for calls.
    pub fn arguments(&mut self, list: Term<'a>) -> Result<Arguments<'py>> {
        let cells = Cells::of(list)?;
        let count = cells.length as usize;
        if count > FEW {
            return self.tuple_of(count, cells).map(Arguments::Many);
        }
        let mut few = [const { None }; FEW];
        for (at, (place, item)) in few.iter_mut().zip(cells).enumerate() {
            *place = Some(self.value(item).map_err(|e| e.inside(|| Step::Index(at)))?);
        }
        Ok(Arguments::Few(few, count))
    }

    /// Keyword arguments as a `dict` with `str` keys, from a map or a list of pairs. None if there
    /// are none.
    pub fn keywords(&mut self, keywords: Term<'a>) -> Result<Option<Bound<'py, PyAny>>> {
        if keywords.map_size().is_ok_and(|size| size == 0) {
            return Ok(None);
        }
        let pairs: Vec<(Term<'a>, Term<'a>)> = if keywords.is_map() {
            Pairs::new(keywords).collect()
        } else {
            Cells::of(keywords)?
                .map(|pair| pair.decode().map_err(|_| bad_keyword()))
                .collect::<std::result::Result<_, Failure>>()?
        };
        if pairs.is_empty() {
            return Ok(None);
        }
        // SAFETY: the GIL is held; a new reference or null with an exception set.
        let dict = unsafe { self.owned(ffi::PyDict_New()) }?;
        for (key, value) in pairs {
            let name = match key.get_type() {
                TermType::Atom => self.atom(key, false)?,
                TermType::Binary => self.text_key(bytes(key)?)?,
                _ => return Err(bad_keyword()),
            };
            // A binary that is no text is bytes, which some callables take for a name, and fall over.
            // SAFETY: an object, and the GIL is held.
            if unsafe { ffi::PyUnicode_Check(name.as_ptr()) } == 0 {
                return Err(bad_keyword());
            }
            let value = self.value(value).map_err(|e| e.inside(|| key_step(key)))?;
            self.set_new_item(&dict, &name, &value)
                .map_err(|e| e.inside(|| key_step(key)))?;
        }
        Ok(Some(dict))
    }

    fn nested(
        &mut self,
        convert: impl FnOnce(&mut Self) -> Result<Bound<'py, PyAny>>,
    ) -> Result<Bound<'py, PyAny>> {
        if self.depth == MAX_DEPTH {
            return Err(Unconvertible::new(format!(
                "values nested deeper than {MAX_DEPTH} levels cannot be converted"
            ))
            .into());
        }
        let _level = Level::enter()?;
        self.depth += 1;
        let converted = convert(self);
        self.depth -= 1;
        if self.depth == 0 {
            self.is_seen();
        }
        converted
    }

    /// Counts elements.
    fn count(&mut self, items: usize) {
        self.items += items;
        if self.items >= MUCH && self.plain && self.paused.is_none() && self.depth > 0 {
            // To be ended with the outermost of the containers that this is in.
            self.paused = Some(Uncollected::new(self.py));
        }
    }

    /// Code of Python's may run from here on.
    fn is_not_plain(&mut self) {
        self.plain = false;
        self.is_seen();
    }

    /// What was made so far may be seen by others.
    fn is_seen(&mut self) {
        self.paused = None;
        self.shapes.clear();
    }

    fn integer(&self, term: Term<'a>) -> Result<Bound<'py, PyAny>> {
        if let Some(value) = small_integer(term) {
            // SAFETY: the GIL is held; a new reference or null with an exception set.
            return unsafe { self.owned(ffi::PyLong_FromLongLong(value)) };
        }
        integer::to_python(self.py, term)?
            .ok_or_else(|| Unconvertible::new("this integer cannot be read").into())
    }

    fn float(&self, term: Term<'a>) -> Result<Bound<'py, PyAny>> {
        let mut value = 0f64;
        // SAFETY: a valid term of a valid environment, known to be a float; the GIL is held.
        unsafe {
            sys::enif_get_double(term.get_env().as_c_arg(), term.as_c_arg(), &mut value);
            self.owned(ffi::PyFloat_FromDouble(value))
        }
    }

    /// `floats`: whether `:nan` and the infinities are numbers. As keys they are names.
    fn atom(&self, term: Term<'a>, floats: bool) -> Result<Bound<'py, PyAny>> {
        let atom: Atom = term
            .decode()
            .map_err(|_| Unconvertible::new("this atom cannot be read"))?;
        let py = self.py;
        if atom == atoms::true_() {
            return Ok(true.into_pyobject(py).map_err(never)?.to_owned().into_any());
        } else if atom == atoms::false_() {
            return Ok(false
                .into_pyobject(py)
                .map_err(never)?
                .to_owned()
                .into_any());
        } else if atom == atoms::nil() || atom == atoms::none() || atom == atoms::undefined() {
            return Ok(py.None().into_bound(py));
        } else if floats {
            let float = if atom == atoms::nan() {
                Some(f64::NAN)
            } else if atom == atoms::infinity() {
                Some(f64::INFINITY)
            } else if atom == atoms::neg_infinity() {
                Some(f64::NEG_INFINITY)
            } else {
                None
            };
            if let Some(float) = float {
                return Ok(float.into_pyobject(py).map_err(never)?.into_any());
            }
        }
        Ok(current::get().names.atom(py, term)?)
    }

    fn binary(&mut self, bytes: &[u8]) -> Result<Bound<'py, PyAny>> {
        if bytes.len() >= copy::LARGE {
            self.is_seen();
            return Ok(copy::into_python(self.py, bytes)?);
        }
        if bytes.is_ascii() {
            return self.ascii(bytes);
        }
        if std::str::from_utf8(bytes).is_err() {
            return self.bytes(bytes);
        }
        let data = bytes.as_ptr().cast::<c_char>();
        // SAFETY: the GIL is held; Python copies the bytes.
        unsafe {
            self.owned(ffi::PyUnicode_FromStringAndSize(
                data,
                bytes.len() as ffi::Py_ssize_t,
            ))
        }
    }

    /// `bytes` must be ASCII.
    fn ascii(&self, bytes: &[u8]) -> Result<Bound<'py, PyAny>> {
        // SAFETY: the GIL is held; a new reference or null with an exception set.
        unsafe { self.owned(layout::new_ascii(bytes)) }
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<Bound<'py, PyAny>> {
        if bytes.len() >= copy::LARGE {
            self.is_seen();
            return Ok(copy::into_bytes(self.py, bytes)?);
        }
        let data = bytes.as_ptr().cast::<c_char>();
        // SAFETY: the GIL is held; Python copies the bytes.
        unsafe {
            self.owned(ffi::PyBytes_FromStringAndSize(
                data,
                bytes.len() as ffi::Py_ssize_t,
            ))
        }
    }

    fn handle(&mut self, reference: Term<'a>) -> Option<Bound<'py, PyAny>> {
        let handle = object::of_reference(reference)?;
        self.handles.add(handle);
        handle.object(self.py)
    }

    fn structure(&mut self, term: Term<'a>, name: Atom) -> Result<Bound<'py, PyAny>> {
        self.is_not_plain();
        structs::whole(name, term)?;
        if name == atoms::object() {
            return term
                .map_get(atoms::reference())
                .ok()
                .and_then(|reference| self.handle(reference))
                .ok_or_else(|| {
                    let text = object::nothing(term);
                    // It may have been on another node, and be back.
                    match object::stands_for(term) {
                        Some(_) => Unconvertible::of_struct(text).into(),
                        None => Unconvertible::new(text).into(),
                    }
                });
        }
        if name == atoms::bytes_struct() {
            let data = term
                .map_get(atoms::data())
                .ok()
                .filter(|data| data.is_binary())
                .ok_or_else(|| {
                    Unconvertible::new("the data of this %Python.Bytes{} is not a binary")
                })?;
            return self.bytes(bytes(data)?);
        }
        if let Some(converted) = structs::to_python(self, name, term)? {
            return Ok(converted);
        }
        let name = name_text(name.to_term(term.get_env()));
        let name = name.as_deref().unwrap_or("?");
        let name = name.strip_prefix("Elixir.").unwrap_or(name);
        Err(Unconvertible::of_struct(format!(
            "the struct {name} has no counterpart in Python; implement the protocol \
             Python.Encoder for it, for instance with `@derive Python.Encoder`"
        ))
        .into())
    }

    /// A binary that is a key.
    fn text_key(&mut self, data: &'a [u8]) -> Result<Bound<'py, PyAny>> {
        if let Some(key) = self.keys.get(data) {
            return Ok(key);
        }
        let key = self.binary(data)?;
        self.keys.keep(data, &key);
        Ok(key)
    }

    /// What is wrong with an object that `hash` refused.
    pub fn unhashable(&self, error: PyErr, object: &Bound<'py, PyAny>, what: &str) -> Failure {
        if !error.is_instance_of::<pyo3::exceptions::PyTypeError>(self.py) {
            return error.into();
        }
        let kind = object.get_type().name().map(|name| name.to_string());
        let kind = kind.unwrap_or_else(|_| "value".into());
        Unconvertible::new(format!("a {kind} cannot be {what}: it is not hashable")).into()
    }

    /// # Safety
    ///
    /// `pointer` must be a new reference, or null with an exception set.
    #[inline]
    unsafe fn owned(&self, pointer: *mut ffi::PyObject) -> Result<Bound<'py, PyAny>> {
        // SAFETY: as this function demands.
        unsafe { Bound::from_owned_ptr_or_err(self.py, pointer) }.map_err(Failure::from)
    }
}

fn bad_keyword() -> Failure {
    Unconvertible::new("expected the names of keyword arguments to be atoms or strings in UTF-8")
        .into()
}

fn never(error: std::convert::Infallible) -> Failure {
    match error {}
}
