//! Handles: Python objects that the BEAM's garbage collector owns.

use crate::atoms;
use crate::interpreter::reaper;
use crate::origin;
use pyo3::ffi;
use pyo3::prelude::*;
use rustler::{Encoder, Env, Resource, ResourceArc, Term};
use std::ptr::NonNull;

/// What a `%Python.Object{}` refers to: one strong reference.
pub struct Handle(NonNull<ffi::PyObject>);

// SAFETY: the object is only touched with the GIL held (`get` asks for proof of it), and given up
// by the reaper.
unsafe impl Send for Handle {}
// SAFETY: as above; the pointer itself never changes.
unsafe impl Sync for Handle {}

impl Resource for Handle {}

impl Handle {
    pub fn new(object: Py<PyAny>) -> Self {
        // SAFETY: a `Py` is never null.
        Handle(unsafe { NonNull::new_unchecked(object.into_ptr()) })
    }

    /// For `resources::register`: it refers to nothing and must be neither read nor dropped.
    pub fn spare() -> Self {
        Handle(NonNull::dangling())
    }

    pub fn get<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        // SAFETY: the handle has a strong reference, and the GIL is held.
        unsafe { Bound::from_borrowed_ptr(py, self.0.as_ptr()) }
    }

    /// The struct that Elixir knows. Its home is where the current thread works.
    pub fn into_term(self, env: Env<'_>) -> Term<'_> {
        let keys = [
            atoms::__struct__().to_term(env),
            atoms::home().to_term(env),
            atoms::reference().to_term(env),
        ];
        let values = [
            atoms::object().to_term(env),
            origin::home(env),
            ResourceArc::new(self).encode(env),
        ];
        Term::map_from_term_arrays(env, &keys, &values).expect("three different keys")
    }
}

/// Why a `%Python.Object{}` has no handle here.
pub fn nothing(object: Term<'_>) -> String {
    let reference = object.map_get(atoms::reference()).ok();
    let own = object.get_env().make_ref();
    match (reference.and_then(node), node(*own)) {
        (Some(node), Some(own)) if node != own => format!(
            "this %Python.Object{{}} belongs to the node {node}: call Python there, with \
             :erpc.call/4, or have it converted there, with Python.to_term/2"
        ),
        _ => "this %Python.Object{} holds no object".into(),
    }
}

/// The name of the node that a reference is of, from its external form.
fn node(reference: Term<'_>) -> Option<String> {
    let external = reference.is_ref().then(|| reference.to_binary())?;
    let [_version, 90 | 114, _, _, atom @ ..] = external.as_slice() else {
        return None;
    };
    let (length, name) = match atom {
        [118 | 100, high, low, name @ ..] => (usize::from(*high) << 8 | usize::from(*low), name),
        [119 | 115, length, name @ ..] => (usize::from(*length), name),
        _ => return None,
    };
    Some(String::from_utf8_lossy(name.get(..length)?).into_owned())
}

impl Drop for Handle {
    fn drop(&mut self) {
        // On a scheduler, as a rule: it must not wait for the GIL.
        reaper::release(self.0);
    }
}
