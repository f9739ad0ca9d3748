//! Python strings for the names that calls repeat: atoms, modules, functions, attributes.
//!
//! Only the strings are kept, interned, with their hashes. What a name stands for is looked up in
//! the module at every call, which is cheap with an interned string (two dict look-ups) and right
//! whatever was rebound or reloaded meanwhile.

use crate::python::helpers::Helpers;
use crate::python::interpreter::GilCell;
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule, PyString};
use rustc_hash::FxBuildHasher;
use rustler::Term;
use rustler::sys::ErlNifTerm;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::ops::Deref;
use std::sync::atomic::{AtomicPtr, Ordering};

/// How many names each cache holds. Programs use hundreds; names made up at run time must not
/// fill the memory.
const LIMIT: usize = 16_384;

/// A name with its dots resolved into parts.
pub struct Name {
    pub whole: Py<PyString>,
    pub parts: Vec<Py<PyString>>,
    /// One of the parts begins with two underscores.
    special: bool,
    /// It is `__main__`, which contexts have one each of.
    pub is_main: bool,
    /// The module of this name, once it has been imported completely. For comparison only: the
    /// pointer may dangle.
    imported: AtomicPtr<ffi::PyObject>,
}

/// A name that is kept for the life of the VM, or one too many for that.
pub enum Found {
    Kept(&'static Name),
    Own(Box<Name>),
}

impl Deref for Found {
    type Target = Name;

    fn deref(&self) -> &Name {
        match self {
            Found::Kept(name) => name,
            Found::Own(name) => name,
        }
    }
}

type ByAtom<T> = GilCell<HashMap<ErlNifTerm, T, AtomHash>>;

/// The names of an interpreter. Atoms never change their value while the VM lives.
pub struct Names {
    atoms: ByAtom<Py<PyAny>>,
    of_atoms: ByAtom<&'static Name>,
    of_text: GilCell<Option<HashMap<String, &'static Name>>>,
}

/// Atoms are numbers that the VM gives one after the other: nobody can choose them so that they meet.
type AtomHash = FxBuildHasher;

impl Names {
    pub const fn new() -> Self {
        Names {
            atoms: GilCell::new(HashMap::with_hasher(FxBuildHasher)),
            of_atoms: GilCell::new(HashMap::with_hasher(FxBuildHasher)),
            of_text: GilCell::new(None),
        }
    }

    /// An atom's text as a `str`.
    pub fn atom<'py>(&self, py: Python<'py>, atom: Term<'_>) -> PyResult<Bound<'py, PyAny>> {
        let key = atom.as_c_arg();
        let kept = self
            .atoms
            .with(py, |atoms| Some(atoms.get(&key)?.bind(py).clone()));
        if let Some(text) = kept {
            return Ok(text);
        }
        let text = crate::python::convert::name_text(atom)
            .ok_or_else(|| PyValueError::new_err("this atom cannot be read"))?;
        let text = PyString::intern(py, &text).into_any();
        self.atoms.with(py, |atoms| {
            if atoms.len() < LIMIT {
                // Nothing is dropped: no other thread has had the GIL since the look.
                atoms.insert(key, text.clone().unbind());
            }
        });
        Ok(text)
    }

    /// The name that an atom or a string says. None if it is neither.
    pub fn name(&self, py: Python<'_>, term: Term<'_>) -> PyResult<Option<Found>> {
        if term.is_atom() {
            let key = term.as_c_arg();
            if let Some(name) = self.of_atoms.with(py, |names| names.get(&key).copied()) {
                return Ok(Some(Found::Kept(name)));
            }
            let Some(text) = crate::python::convert::name_text(term) else {
                return Ok(None);
            };
            let room = self.of_atoms.with(py, |names| names.len() < LIMIT);
            let name = Box::new(Name::new(py, &text, room)?);
            Ok(Some(self.of_atoms.with(py, |names| keep(names, key, name))))
        } else {
            let Some(text) = crate::python::convert::text(term) else {
                return Ok(None);
            };
            let kept = self
                .of_text
                .with(py, |names| names.as_ref()?.get(text).copied());
            if let Some(name) = kept {
                return Ok(Some(Found::Kept(name)));
            }
            let room = self.of_text.with(py, |names| {
                names.as_ref().is_none_or(|names| names.len() < LIMIT)
            });
            let name = Box::new(Name::new(py, text, room)?);
            Ok(Some(self.of_text.with(py, |names| {
                keep(names.get_or_insert_default(), text.to_owned(), name)
            })))
        }
    }
}

fn keep<K: Hash + Eq, H: BuildHasher>(
    names: &mut HashMap<K, &'static Name, H>,
    key: K,
    name: Box<Name>,
) -> Found {
    if names.len() < LIMIT {
        let name = Box::leak(name);
        names.insert(key, name);
        Found::Kept(name)
    } else {
        Found::Own(name)
    }
}

impl Name {
    /// `kept`: whether it is going to be. Python 3.12 never frees what was interned once.
    fn new(py: Python<'_>, text: &str, kept: bool) -> PyResult<Self> {
        if text.is_empty() || text.split('.').any(str::is_empty) {
            return Err(PyValueError::new_err(format!(
                "expected a name, got: {text:?}, which is empty or has an extra dot"
            )));
        }
        let string = |text| {
            if kept {
                PyString::intern(py, text).unbind()
            } else {
                PyString::new(py, text).unbind()
            }
        };
        Ok(Name {
            whole: string(text),
            parts: text.split('.').map(string).collect(),
            is_main: text == "__main__",
            special: text.split('.').any(|part| part.starts_with("__")),
            imported: AtomicPtr::new(std::ptr::null_mut()),
        })
    }

    /// The module of this name, imported if need be.
    pub fn module<'py>(&self, py: Python<'py>, helpers: &Helpers) -> PyResult<Bound<'py, PyAny>> {
        let modules = helpers.modules.bind(py);
        // SAFETY: the GIL is held; the borrowed reference is made a strong one at once.
        let found = unsafe {
            let found = ffi::PyDict_GetItemWithError(modules.as_ptr(), self.whole.as_ptr());
            Bound::from_borrowed_ptr_or_opt(py, found)
        };
        match found {
            // Another thread may still be importing a module that is in `sys.modules`: only one
            // that was seen complete is taken from there.
            Some(module) if module.as_ptr() == self.imported.load(Ordering::Relaxed) => Ok(module),
            _ => {
                if let Some(error) = PyErr::take(py) {
                    return Err(error);
                }
                let module = match py.import(self.whole.bind(py)) {
                    Ok(module) => module.into_any(),
                    Err(error) => self.imported_all_the_same(py, helpers, error)?,
                };
                self.imported.store(module.as_ptr(), Ordering::Relaxed);
                Ok(module)
            }
        }
    }

    /// The module, where nothing can be imported the usual way: because `__import__` is no longer among the
    /// builtins, or `__main__` has lost its builtins.
    fn imported_all_the_same<'py>(
        &self,
        py: Python<'py>,
        helpers: &Helpers,
        error: PyErr,
    ) -> PyResult<Bound<'py, PyAny>> {
        let import = helpers.builtins.bind(py).dict().get_item("__import__")?;
        let usable = import.is_some_and(|import| import.is_callable());
        if usable && helpers.main_names.bind(py).contains("__builtins__")? {
            return Err(error);
        }
        helpers.import.bind(py).call1((self.whole.bind(py),))?;
        helpers
            .modules
            .bind(py)
            .as_any()
            .get_item(self.whole.bind(py))
    }

    /// The attribute that the name leads to from `object`.
    pub fn attribute<'py>(&self, object: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Self::follow(object, &self.parts, |object, part| {
            self.in_module(object, part)
        })
    }

    /// The same from `__main__`, whose names these are. It has a class of its own, which is slower to ask.
    pub fn attribute_of_main<'py>(
        &self,
        main: Bound<'py, PyAny>,
        names: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = names.py();
        match self.parts.split_first() {
            Some((first, rest)) if !self.special => match Self::defined(names, first.bind(py)) {
                Some(found) => {
                    Self::follow(found, rest, |object, part| self.in_module(object, part))
                }
                None => self.attribute(main),
            },
            _ => self.attribute(main),
        }
    }

    fn follow<'py>(
        object: Bound<'py, PyAny>,
        parts: &[Py<PyString>],
        defined: impl Fn(&Bound<'py, PyAny>, &Bound<'py, PyString>) -> Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        parts.iter().try_fold(object, |object, part| {
            match defined(&object, part.bind(py)) {
                Some(found) => Ok(found),
                None => object.getattr(part.bind(py)),
            }
        })
    }

    /// What a module defines by this name: that goes before all that its class has but some names in
    /// underscores. None if it is no module, has a class of its own, or does not define it.
    fn in_module<'py>(
        &self,
        object: &Bound<'py, PyAny>,
        part: &Bound<'py, PyString>,
    ) -> Option<Bound<'py, PyAny>> {
        if self.special || !object.is_exact_instance_of::<PyModule>() {
            return None;
        }
        // SAFETY: the GIL is held; a module, whose dict is a borrowed reference, made a strong one at once.
        let names = unsafe {
            Bound::from_borrowed_ptr(object.py(), ffi::PyModule_GetDict(object.as_ptr()))
        };
        Self::defined(names.cast().ok()?, part)
    }

    fn defined<'py>(
        names: &Bound<'py, PyDict>,
        part: &Bound<'py, PyString>,
    ) -> Option<Bound<'py, PyAny>> {
        // SAFETY: the GIL is held; a dict, in which what is found is a borrowed reference, made a strong
        // one at once.
        unsafe {
            let found = ffi::PyDict_GetItemWithError(names.as_ptr(), part.as_ptr());
            let found = Bound::from_borrowed_ptr_or_opt(names.py(), found);
            if found.is_none() && !ffi::PyErr_Occurred().is_null() {
                ffi::PyErr_Clear();
            }
            found
        }
    }
}
