//! Objects whose conversion runs no code of Python's, and needs nothing of a conversion but where it goes.

use super::super::{layout, words};
use crate::base::atoms;
use crate::base::term_env::SavedTerm;
use pyo3::ffi;
use pyo3::prelude::*;
use rustler::types::atom::Atom;
use rustler::{Encoder as _, Env, Term, sys};
use std::ffi::c_int;

#[derive(Clone, Copy)]
pub struct Immediate<'a> {
    env: Env<'a>,
    /// The receiver speaks Erlang: `none`.
    erlang: bool,
}

impl<'a> Immediate<'a> {
    pub fn new(env: Env<'a>, erlang: bool) -> Self {
        Immediate { env, erlang }
    }

    /// The term for `None`, a bool, a float or an int of 64 bits. None for all others, and for objects
    /// of subclasses.
    pub fn term(self, object: &Bound<'_, PyAny>) -> Option<Term<'a>> {
        // SAFETY: an object that is alive; a Bound is proof of the GIL.
        unsafe { self.term_at(object.as_ptr()) }
    }

    /// The same. Runs no Python code, so the object needs no reference of its own.
    ///
    /// # Safety
    ///
    /// `pointer` is an object that is alive, and the GIL is held.
    #[inline]
    pub unsafe fn term_at(self, pointer: *mut ffi::PyObject) -> Option<Term<'a>> {
        // SAFETY: as this function demands; each function is given an object of the type that was
        // just checked.
        unsafe {
            let class = ffi::Py_TYPE(pointer);
            if class == &raw mut ffi::PyLong_Type {
                if let Some(value) = layout::small(pointer) {
                    return Some(self.integer(value));
                }
                let mut overflow: c_int = 0;
                let value = ffi::PyLong_AsLongLongAndOverflow(pointer, &mut overflow);
                (overflow == 0).then(|| self.integer(value))
            } else if class == &raw mut ffi::PyFloat_Type {
                Some(self.float(ffi::PyFloat_AsDouble(pointer)))
            } else if pointer == ffi::Py_None() {
                Some(self.none().to_term(self.env))
            } else if pointer == ffi::Py_True() {
                Some(atoms::true_().to_term(self.env))
            } else if pointer == ffi::Py_False() {
                Some(atoms::false_().to_term(self.env))
            } else {
                None
            }
        }
    }

    pub fn integer(self, value: i64) -> Term<'a> {
        // SAFETY: a valid environment, to which a small integer belongs as it does to any.
        unsafe {
            let term = words::make_small(value)
                .unwrap_or_else(|| sys::enif_make_int64(self.env.as_c_arg(), value));
            Term::new(self.env, term)
        }
    }

    pub fn float(self, value: f64) -> Term<'a> {
        if value.is_nan() {
            atoms::nan().to_term(self.env)
        } else if value == f64::INFINITY {
            atoms::infinity().to_term(self.env)
        } else if value == f64::NEG_INFINITY {
            atoms::neg_infinity().to_term(self.env)
        } else {
            value.encode(self.env)
        }
    }

    pub fn none(self) -> Atom {
        if self.erlang {
            atoms::none()
        } else {
            atoms::nil()
        }
    }
}

/// The term for an int, if it is read and made in place: it needs no environment. None for all other objects.
///
/// # Safety
///
/// `pointer` is an object that is alive, and the GIL is held.
#[inline]
pub unsafe fn small_int(pointer: *mut ffi::PyObject) -> Option<sys::ErlNifTerm> {
    // SAFETY: as this function demands; the function is given an int.
    unsafe {
        if ffi::Py_TYPE(pointer) != &raw mut ffi::PyLong_Type {
            return None;
        }
        words::make_small(layout::small(pointer)?)
    }
}

/// The term for a bool, `None` or a small int, which needs no environment. None for all others.
pub fn word(object: &Bound<'_, PyAny>) -> Option<SavedTerm> {
    let pointer = object.as_ptr();
    // SAFETY: an object that is alive; a Bound is proof of the GIL. The function is given an int.
    unsafe {
        if ffi::Py_TYPE(pointer) == &raw mut ffi::PyLong_Type {
            return small_int(pointer).map(SavedTerm::from_c_arg);
        }
        let atom = if pointer == ffi::Py_None() {
            atoms::nil()
        } else if pointer == ffi::Py_True() {
            atoms::true_()
        } else if pointer == ffi::Py_False() {
            atoms::false_()
        } else {
            return None;
        };
        Some(SavedTerm::from_c_arg(atom.as_c_arg()))
    }
}
