//! Python strings for the names that calls repeat: atoms, modules, functions, attributes.
//!
//! Only the strings are kept, interned, with their hashes. What a name stands for is looked up in
//! the module at every call, which is cheap with an interned string (two dict look-ups) and right
//! whatever was rebound or reloaded meanwhile.

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;
use rustler::Term;
use rustler::sys::ErlNifTerm;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// How many names each cache holds. Programs use hundreds; names made up at run time must not
/// fill the memory.
const LIMIT: usize = 16_384;

/// A name with its dots resolved into parts.
pub struct Name {
    pub whole: Py<PyString>,
    pub parts: Vec<Py<PyString>>,
    /// The module of this name, once it has been imported completely. For comparison only: the
    /// pointer may dangle.
    imported: AtomicPtr<ffi::PyObject>,
}

#[derive(Default)]
struct Cache {
    /// Atoms never change their value while the VM lives.
    atoms: Mutex<HashMap<ErlNifTerm, Py<PyAny>, AtomHash>>,
    names_of_atoms: Mutex<HashMap<ErlNifTerm, Arc<Name>, AtomHash>>,
    names_of_text: Mutex<HashMap<String, Arc<Name>>>,
}

type AtomHash = BuildHasherDefault<AtomHasher>;

/// Atoms are numbers that the VM gives one after the other: nobody can choose them so that they meet.
#[derive(Default)]
struct AtomHasher(u64);

impl Hasher for AtomHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_usize(usize::from(byte));
        }
    }

    fn write_usize(&mut self, number: usize) {
        // The low bits choose the place, the high ones tell those apart that share it.
        let mixed = (self.0 ^ number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

static CACHE: OnceLock<Cache> = OnceLock::new();

fn cache() -> &'static Cache {
    CACHE.get_or_init(Cache::default)
}

/// Held for one look-up or insertion, never while Python code can run.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An atom's text as a `str`.
pub fn atom<'py>(py: Python<'py>, atom: Term<'_>) -> PyResult<Bound<'py, PyAny>> {
    let key = atom.as_c_arg();
    if let Some(text) = lock(&cache().atoms).get(&key) {
        return Ok(text.bind(py).clone());
    }
    let text = crate::convert::name_text(atom)
        .ok_or_else(|| PyValueError::new_err("an atom that cannot be read"))?;
    let text = PyString::intern(py, &text).into_any();
    let mut atoms = lock(&cache().atoms);
    if atoms.len() < LIMIT {
        atoms.insert(key, text.clone().unbind());
    }
    Ok(text)
}

/// The name that an atom or a string says. None if it is neither.
pub fn name(py: Python<'_>, term: Term<'_>) -> PyResult<Option<Arc<Name>>> {
    if term.is_atom() {
        let key = term.as_c_arg();
        if let Some(name) = lock(&cache().names_of_atoms).get(&key) {
            return Ok(Some(Arc::clone(name)));
        }
        let Some(text) = crate::convert::name_text(term) else {
            return Ok(None);
        };
        let name = Arc::new(Name::new(py, &text)?);
        keep(&cache().names_of_atoms, key, &name);
        Ok(Some(name))
    } else {
        let Some(text) = crate::convert::name_text(term) else {
            return Ok(None);
        };
        if let Some(name) = lock(&cache().names_of_text).get(&text) {
            return Ok(Some(Arc::clone(name)));
        }
        let name = Arc::new(Name::new(py, &text)?);
        keep(&cache().names_of_text, text, &name);
        Ok(Some(name))
    }
}

fn keep<K: Hash + Eq, H: BuildHasher>(
    names: &Mutex<HashMap<K, Arc<Name>, H>>,
    key: K,
    name: &Arc<Name>,
) {
    let mut names = lock(names);
    if names.len() < LIMIT {
        names.insert(key, Arc::clone(name));
    }
}

impl Name {
    fn new(py: Python<'_>, text: &str) -> PyResult<Self> {
        if text.is_empty() || text.split('.').any(str::is_empty) {
            return Err(PyValueError::new_err(format!(
                "{text:?} is not a name: it is empty or has a dot too many"
            )));
        }
        Ok(Name {
            whole: PyString::intern(py, text).unbind(),
            parts: text
                .split('.')
                .map(|part| PyString::intern(py, part).unbind())
                .collect(),
            imported: AtomicPtr::new(std::ptr::null_mut()),
        })
    }

    /// Whether it is `__main__`, which contexts have one each of.
    pub fn is_main(&self, py: Python<'_>) -> bool {
        self.parts.len() == 1
            && self
                .whole
                .bind(py)
                .to_cow()
                .is_ok_and(|name| name == "__main__")
    }

    /// The module of this name, imported if need be.
    pub fn module<'py>(
        &self,
        py: Python<'py>,
        modules: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
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
                let module = py.import(self.whole.bind(py))?.into_any();
                self.imported.store(module.as_ptr(), Ordering::Relaxed);
                Ok(module)
            }
        }
    }

    /// The attribute that the name leads to from `object`.
    pub fn attribute<'py>(&self, object: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        self.parts
            .iter()
            .try_fold(object, |object, part| object.getattr(part.bind(py)))
    }
}
