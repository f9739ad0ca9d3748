//! Lists, tuples and maps as Python objects.

use super::super::terms::{Cells, Pairs, bytes, key_step};
use super::super::{Failure, Step, Unconvertible, layout, words};
use super::{Encoder, Result};
use crate::base::atoms;
use pyo3::ffi;
use pyo3::prelude::*;
use rustler::sys::ErlNifTerm;
use rustler::types::atom::Atom;
use rustler::{Env, Term};

impl<'py, 'a> Encoder<'py, 'a> {
    pub(super) fn list(&mut self, term: Term<'a>) -> Result<Bound<'py, PyAny>> {
        let cells = Cells::of(term)?;
        self.count(cells.length as usize);
        // SAFETY: the GIL is held; a new reference or null with an exception set.
        let list = unsafe { self.owned(ffi::PyList_New(cells.length as ffi::Py_ssize_t)) }?;
        for (at, item) in cells.enumerate() {
            let value = self.part(item, || Step::Index(at))?;
            // SAFETY: `list` is new and not shared, and `at` is within its length, where there is
            // nothing yet; the reference to `value` is given away.
            unsafe {
                match layout::items(list.as_ptr()) {
                    Some(items) => items[at] = value,
                    None => drop(ffi::PyList_SetItem(
                        list.as_ptr(),
                        at as ffi::Py_ssize_t,
                        value,
                    )),
                }
            }
        }
        Ok(list)
    }

    /// A new reference to the object for a part of a term, which is at this step from there.
    #[inline]
    fn part(&mut self, term: Term<'a>, step: impl FnOnce() -> Step) -> Result<*mut ffi::PyObject> {
        if let Some(value) = words::small(term.as_c_arg()) {
            // SAFETY: the GIL is held; a new reference or null with an exception set.
            let int = unsafe { ffi::PyLong_FromLongLong(value) };
            if !int.is_null() {
                return Ok(int);
            }
            return Err(Failure::from(PyErr::fetch(self.py)).inside(step));
        }
        let value = self.value(term).map_err(|e| e.inside(step))?;
        Ok(value.into_ptr())
    }

    /// `items`: those of the term.
    pub(super) fn tuple(
        &mut self,
        term: Term<'a>,
        items: &'a [ErlNifTerm],
    ) -> Result<Bound<'py, PyAny>> {
        let env = term.get_env();
        if let &[tag, data] = items
            && tag == atoms::bytes().as_c_arg()
        {
            // SAFETY: a term of the environment.
            let data = unsafe { Term::new(env, data) };
            if data.is_binary() {
                return self.bytes(bytes(data)?);
            }
        }
        self.tuple_of(items.len(), terms(env, items))
    }

    /// A `tuple` of so many elements.
    pub(super) fn tuple_of(
        &mut self,
        length: usize,
        items: impl Iterator<Item = Term<'a>>,
    ) -> Result<Bound<'py, PyAny>> {
        // SAFETY: the GIL is held; a new reference or null with an exception set.
        let tuple = unsafe { self.owned(ffi::PyTuple_New(length as ffi::Py_ssize_t)) }?;
        for (at, item) in items.enumerate() {
            let value = self.part(item, || Step::Index(at))?;
            // SAFETY: `tuple` is new and not shared, `at` is within its length; the reference to
            // `value` is given away.
            unsafe { ffi::PyTuple_SetItem(tuple.as_ptr(), at as ffi::Py_ssize_t, value) };
        }
        Ok(tuple)
    }

    pub(super) fn map(&mut self, term: Term<'a>) -> Result<Bound<'py, PyAny>> {
        if let Ok(name) = term.map_get(atoms::__struct__()) {
            return self.structure(term, name_of(name)?);
        }
        self.dict(term, Pairs::new(term))
    }

    /// The same for a map whose keys and values are arrays.
    pub(super) fn flat_map(
        &mut self,
        term: Term<'a>,
        keys: &'a [ErlNifTerm],
        values: &'a [ErlNifTerm],
    ) -> Result<Bound<'py, PyAny>> {
        let env = term.get_env();
        let key = atoms::__struct__().as_c_arg();
        if let Some(at) = keys.iter().position(|&word| word == key) {
            // SAFETY: a term of the environment.
            let name = unsafe { Term::new(env, values[at]) };
            return self.structure(term, name_of(name)?);
        }
        if self.paused.is_none() {
            return self.dict(term, terms(env, keys).zip(terms(env, values)));
        }
        if let Some(like) = self.shapes.get(keys) {
            // SAFETY: a dict of our own, and the GIL is held; a new reference or null with an exception set.
            let dict = unsafe { self.owned(ffi::PyDict_Copy(like.as_ptr())) }?;
            return self.refilled(term, dict, keys, values);
        }
        let dict = self.dict(term, terms(env, keys).zip(terms(env, values)))?;
        if self.paused.is_some() {
            self.shapes.keep(keys, &dict);
        }
        Ok(dict)
    }

    /// A dict that has the keys of the map, in their order, with the values of the map.
    fn refilled(
        &mut self,
        map: Term<'a>,
        dict: Bound<'py, PyAny>,
        keys: &'a [ErlNifTerm],
        values: &'a [ErlNifTerm],
    ) -> Result<Bound<'py, PyAny>> {
        let env = map.get_env();
        let mut position = 0;
        for (key, value) in terms(env, keys).zip(terms(env, values)) {
            let value = self.part(value, || key_step(key))?;
            // SAFETY: a new reference.
            let value = unsafe { Bound::from_owned_ptr(self.py, value) };
            let mut name = std::ptr::null_mut();
            let old = std::ptr::null_mut();
            // SAFETY: a dict of our own, and the GIL is held. The key is held by the dict while it is used.
            let name = unsafe {
                if ffi::PyDict_Next(dict.as_ptr(), &mut position, &mut name, old) == 0 {
                    return Err(self.same_keys(map));
                }
                Bound::from_borrowed_ptr(self.py, name)
            };
            self.set_item(&dict, &name, &value)
                .map_err(|e| e.inside(|| key_step(key)))?;
        }
        self.has_all(map, &dict, keys.len())?;
        Ok(dict)
    }

    /// `pairs`: those of the map.
    fn dict(
        &mut self,
        map: Term<'a>,
        pairs: impl Iterator<Item = (Term<'a>, Term<'a>)>,
    ) -> Result<Bound<'py, PyAny>> {
        // SAFETY: the GIL is held; a new reference or null with an exception set.
        let dict = unsafe { self.owned(ffi::PyDict_New()) }?;
        self.keys.next_map();
        let mut count = 0;
        for (key, value) in pairs {
            let name = self.key(key).map_err(|e| e.inside(|| key_step(key)))?;
            let value = self.part(value, || key_step(key))?;
            // SAFETY: a new reference.
            let value = unsafe { Bound::from_owned_ptr(self.py, value) };
            self.set_item(&dict, &name, &value)
                .map_err(|e| e.inside(|| key_step(key)))?;
            count += 1;
        }
        self.has_all(map, &dict, count)?;
        Ok(dict)
    }

    /// Counts the pairs of a map, and looks whether its dict has as many.
    fn has_all(&mut self, map: Term<'a>, dict: &Bound<'py, PyAny>, count: usize) -> Result<()> {
        self.count(count);
        // SAFETY: a dict of our own; the GIL is held.
        if unsafe { ffi::PyDict_Size(dict.as_ptr()) } as usize != count {
            return Err(self.same_keys(map));
        }
        Ok(())
    }

    /// Which key of a map is the same in Python as another one.
    fn same_keys(&mut self, map: Term<'a>) -> Failure {
        let mut look = || -> Result<()> {
            // SAFETY: the GIL is held; a new reference or null with an exception set.
            let dict = unsafe { self.owned(ffi::PyDict_New()) }?;
            for (key, _) in Pairs::new(map) {
                let name = self.key(key)?;
                self.set_new_item(&dict, &name, &name)
                    .map_err(|e| e.inside(|| key_step(key)))?;
            }
            Ok(())
        };
        // A key may be an object of a class whose `__eq__` has changed its mind.
        let none = || Unconvertible::new("two of its keys are the same in Python").into();
        look().err().unwrap_or_else(none)
    }

    /// Adds a pair to a dict of our own.
    fn set_item(
        &self,
        dict: &Bound<'py, PyAny>,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
    ) -> Result<()> {
        // SAFETY: a dict of our own; the GIL is held; no reference is given away.
        if unsafe { ffi::PyDict_SetItem(dict.as_ptr(), key.as_ptr(), value.as_ptr()) } != 0 {
            return Err(self.unhashable(PyErr::fetch(self.py), key, "the key of a Python dict"));
        }
        Ok(())
    }

    /// Adds a pair to a dict of our own, whose key must be new.
    pub(super) fn set_new_item(
        &self,
        dict: &Bound<'py, PyAny>,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
    ) -> Result<()> {
        // SAFETY: a dict of our own; the GIL is held.
        let size = || unsafe { ffi::PyDict_Size(dict.as_ptr()) };
        let before = size();
        self.set_item(dict, key, value)?;
        if before == size() {
            return Err(Unconvertible::new(
                "another key is the same in Python (such as :a and \"a\", or 1, 1.0 and true), \
                 and one of the values would be lost",
            )
            .into());
        }
        Ok(())
    }
}

/// The terms of an array of the environment's.
#[inline]
fn terms<'a>(env: Env<'a>, words: &'a [ErlNifTerm]) -> impl Iterator<Item = Term<'a>> {
    // SAFETY: terms of the environment.
    words
        .iter()
        .map(move |&word| unsafe { Term::new(env, word) })
}

/// The name of a struct.
fn name_of(name: Term<'_>) -> Result<Atom> {
    name.decode().map_err(|_| {
        Unconvertible::new("this map has the key :__struct__, whose value is not an atom").into()
    })
}
