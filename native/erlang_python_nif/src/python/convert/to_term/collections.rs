//! Lists, tuples, sets and dicts as terms.

use super::super::{Step, Unconvertible, layout, map, structs};
use super::{Decoder, Failure, Result, immediate, type_name};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyFrozenSet, PySet};
use rustler::{Encoder as _, Term, sys};

impl<'py, 'a> Decoder<'py, 'a, '_> {
    pub(super) fn list(&mut self, object: &Bound<'py, PyAny>) -> Result<Term<'a>> {
        // SAFETY: a list, and the GIL is held.
        let length = unsafe { ffi::PyList_Size(object.as_ptr()) } as usize;
        self.count(length)?;
        self.reserve(length);
        let first = self.terms.len();
        for at in 0..length {
            // SAFETY: a list. It is looked at anew for each element: converting one may run Python
            // code, by which the list becomes shorter.
            unsafe {
                let item = match layout::items(object.as_ptr()) {
                    Some(items) => items.get(at).copied(),
                    None => {
                        let item = ffi::PyList_GetItem(object.as_ptr(), at as ffi::Py_ssize_t);
                        (!item.is_null()).then_some(item)
                    }
                };
                let Some(item) = item else {
                    drop(PyErr::take(self.py));
                    return Err(changed("list"));
                };
                self.push(item, at)?;
            }
        }
        // SAFETY: a list, and the GIL is held.
        if unsafe { ffi::PyList_Size(object.as_ptr()) } as usize != length {
            return Err(changed("list"));
        }
        self.list_of(first)
    }

    /// Converts an element and keeps its term.
    ///
    /// # Safety
    ///
    /// `item` is an object that is alive as long as no Python code runs, and the GIL is held.
    #[inline]
    unsafe fn push(&mut self, item: *mut ffi::PyObject, at: usize) -> Result<()> {
        // SAFETY: as this function demands.
        let term = match unsafe { immediate::small_int(item) } {
            Some(term) => term,
            None => {
                // SAFETY: no Python code has run yet.
                let item = unsafe { Bound::from_borrowed_ptr(self.py, item) };
                let term = self.value(&item);
                term.map_err(|e| e.inside(|| Step::Index(at)))?.as_c_arg()
            }
        };
        self.terms.push(term);
        Ok(())
    }

    /// A list of the terms that are kept from `first` on.
    fn list_of(&self, first: usize) -> Result<Term<'a>> {
        let terms = &self.terms[first..];
        let length = length_of(terms.len())?;
        // SAFETY: these are terms of this environment.
        Ok(unsafe {
            Term::new(
                self.env,
                sys::enif_make_list_from_array(self.env.as_c_arg(), terms.as_ptr(), length),
            )
        })
    }

    pub(super) fn tuple(&mut self, object: &Bound<'py, PyAny>) -> Result<Term<'a>> {
        // SAFETY: a tuple, and the GIL is held.
        let length = unsafe { ffi::PyTuple_Size(object.as_ptr()) } as usize;
        self.count(length)?;
        if length >= 1 << 24 {
            return Err(Unconvertible::new(format!(
                "a tuple of {length} elements is too large for the VM, whose limit is 16777215"
            ))
            .into());
        }
        let first = self.terms.len();
        for at in 0..length {
            // SAFETY: a tuple does not change, and is alive.
            unsafe {
                let item = ffi::PyTuple_GetItem(object.as_ptr(), at as ffi::Py_ssize_t);
                if item.is_null() {
                    return Err(PyErr::fetch(self.py).into());
                }
                self.push(item, at)?;
            }
        }
        let terms = &self.terms[first..];
        let length = length_of(terms.len())?;
        // SAFETY: these are terms of this environment.
        Ok(unsafe {
            Term::new(
                self.env,
                sys::enif_make_tuple_from_array(self.env.as_c_arg(), terms.as_ptr(), length),
            )
        })
    }

    pub(super) fn set(&mut self, object: &Bound<'py, PyAny>) -> Result<Term<'a>> {
        // The iterator of the class itself: a subclass may have another.
        let class = if object.is_instance_of::<PySet>() {
            self.py.get_type::<PySet>()
        } else {
            self.py.get_type::<PyFrozenSet>()
        };
        let first = self.terms.len();
        for (at, item) in class
            .call_method1("__iter__", (object,))?
            .try_iter()?
            .enumerate()
        {
            self.count(1)?;
            // All that this iterator ever raises.
            let item = item.map_err(|_| changed("set"))?;
            let term = self
                .value(&item)
                .map_err(|e| e.inside(|| Step::Index(at)))?;
            self.terms.push(term.as_c_arg());
        }
        if self.erlang {
            return self.list_of(first);
        }
        let elements = &self.terms[first..];
        let present = Vec::<u8>::new().encode(self.env).as_c_arg();
        let values = vec![present; elements.len()];
        self.map(elements, &values)
            .map(|elements| structs::set_to_term(self.env, elements))
            .ok_or_else(|| same_terms("elements of this set"))
    }

    pub(super) fn dict(&mut self, object: &Bound<'py, PyAny>) -> Result<Term<'a>> {
        // SAFETY: a dict, and the GIL is held.
        let length = unsafe { ffi::PyDict_Size(object.as_ptr()) } as usize;
        self.count(length)?;
        self.reserve(length);
        self.made.next_dict();
        let (first, first_key) = (self.terms.len(), self.keys.len());
        let mut count = 0;
        let mut position = 0;
        loop {
            let (mut key, mut value) = (std::ptr::null_mut(), std::ptr::null_mut());
            // SAFETY: a dict. A dict that changes is noticed below by its length; PyDict_Next itself
            // stays within its bounds all the same.
            if unsafe { ffi::PyDict_Next(object.as_ptr(), &mut position, &mut key, &mut value) }
                == 0
            {
                break;
            }
            if count == length {
                return Err(changed("dict"));
            }
            count += 1;
            // SAFETY: both are alive, and made strong references before any Python code can run.
            let (key, value) = unsafe {
                (
                    Bound::from_borrowed_ptr(self.py, key),
                    match immediate::small_int(value) {
                        Some(term) => Ok(term),
                        None => Err(Bound::from_borrowed_ptr(self.py, value)),
                    },
                )
            };
            let step = || key_step(&key);
            let key_term = match self.made.get(&key) {
                Some(term) => term,
                None => {
                    let term = self.value(&key).map_err(|e| e.inside(step))?.as_c_arg();
                    self.made.keep(&key, term);
                    term
                }
            };
            let value_term = match value {
                Ok(term) => term,
                Err(value) => {
                    let term = self.value(&value);
                    term.map_err(|e| e.inside(step))?.as_c_arg()
                }
            };
            self.keys.push(key_term);
            self.terms.push(value_term);
        }
        // SAFETY: a dict, and the GIL is held.
        if count != length || unsafe { ffi::PyDict_Size(object.as_ptr()) } as usize != length {
            return Err(changed("dict"));
        }
        self.map(&self.keys[first_key..], &self.terms[first..])
            .ok_or_else(|| same_terms("keys of this dict"))
    }

    /// None if two keys are the same.
    fn map(&self, keys: &[sys::ErlNifTerm], values: &[sys::ErlNifTerm]) -> Option<Term<'a>> {
        // SAFETY: keys and values are terms of this environment.
        let map = unsafe { map::from_arrays(self.env, keys, values) }?;
        map.map_size()
            .is_ok_and(|size| size == keys.len())
            .then_some(map)
    }
}

pub(super) fn is_set(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<PySet>() || object.is_instance_of::<PyFrozenSet>()
}

fn same_terms(what: &str) -> Failure {
    Unconvertible::new(format!(
        "two {what} are the same term (such as 'a' and b'a'), and one would be lost"
    ))
    .into()
}

fn length_of(length: usize) -> Result<u32> {
    u32::try_from(length).map_err(|_| {
        Unconvertible::new("more than 4294967295 elements do not fit into one term").into()
    })
}

fn changed(kind: &str) -> Failure {
    Unconvertible::new(format!("this {kind} changed while it was being converted")).into()
}

/// A key as it is written in code, for paths.
fn key_step(key: &Bound<'_, PyAny>) -> Step {
    if let Ok(text) = key.extract::<String>() {
        return Step::text(&text);
    }
    if key.is_exact_instance_of::<pyo3::types::PyInt>()
        // Python refuses to print a very big one.
        && let Ok(number) = key.extract::<i64>()
    {
        return Step::Key(number.to_string());
    }
    Step::Key(format!("<{}>", type_name(key)))
}
