//! Terms that Python can keep, compare and give back, but not look into: `erlang.Pid`,
//! `erlang.Ref` and `erlang.Port`. Functions are in `function.rs`.

use super::function;
use crate::base::fork;
pub use crate::base::name::existing_atom;
use crate::base::term_env::{SavedTerm, TermEnv};
use crate::python::child;
use crate::python::made::Made;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyModule};
use rustler::{Env, LocalPid, Term, TermType};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A term in an environment of its own.
#[derive(Clone)]
pub(super) struct Kept(Arc<Own>);

struct Own {
    env: TermEnv,
    term: SavedTerm,
}

// SAFETY: the environment is never written to after `new`: reading a term (copying, comparing,
// hashing, printing it) changes nothing in it.
unsafe impl Sync for Own {}

impl Kept {
    fn new(term: Term<'_>) -> Self {
        let env = TermEnv::new();
        let term = env.copy(term);
        Kept(Arc::new(Own { env, term }))
    }

    pub fn get(&self) -> Term<'_> {
        self.0.env.term(self.0.term)
    }

    pub fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.get().hash(&mut hasher);
        hasher.finish()
    }

    /// As the shell prints it, such as `<0.123.0>`.
    pub fn text(&self) -> String {
        // The VM would allocate.
        if fork::is_child() {
            return "of the VM".into();
        }
        format!("{:?}", self.get())
    }
}

macro_rules! opaque {
    ($(#[$doc:meta])* $name:ident, $python:literal, { $($methods:tt)* }) => {
        $(#[$doc])*
        #[pyclass(frozen, module = "erlang", name = $python)]
        pub struct $name(Made<Kept>);

        #[pymethods]
        impl $name {
            fn __repr__(&self) -> PyResult<String> {
                Ok(format!("<erlang.{} {}>", $python, self.0.or_raise()?.text()))
            }

            fn __hash__(&self) -> PyResult<u64> {
                Ok(self.0.or_raise()?.hash())
            }

            fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
                let Ok(other) = other.cast::<$name>() else {
                    return Ok(false);
                };
                Ok(self.0.or_raise()?.get() == other.get().0.or_raise()?.get())
            }

            fn __copy__(slf: Py<Self>) -> Py<Self> {
                slf
            }

            fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
                slf
            }

            $($methods)*
        }
    };
}

opaque!(
    /// The identifier of a process.
    Pid,
    "Pid",
    {
        /// In the external term format. In another VM it is what it is to Erlang there.
        fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
            child::refuse_in_child()?;
            let external = slf.get().0.or_raise()?.get().to_binary();
            unpickled_by(slf.py(), "_load_term", PyBytes::new(slf.py(), external.as_slice()))
        }
    }
);
opaque!(
    /// A reference.
    Ref,
    "Ref",
    {
        /// In the external term format. In another VM it is what it is to Erlang there.
        fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
            child::refuse_in_child()?;
            let external = slf.get().0.or_raise()?.get().to_binary();
            unpickled_by(slf.py(), "_load_term", PyBytes::new(slf.py(), external.as_slice()))
        }
    }
);
opaque!(
    /// The identifier of a port.
    Port,
    "Port",
    {
        /// In the external term format. In another VM it is what it is to Erlang there.
        fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
            child::refuse_in_child()?;
            let external = slf.get().0.or_raise()?.get().to_binary();
            unpickled_by(slf.py(), "_load_term", PyBytes::new(slf.py(), external.as_slice()))
        }
    }
);

opaque!(
    /// Any term, for what was raised on the other side and may come back to it.
    AnyTerm,
    "_Term",
    {
        fn __reduce__(&self) -> PyResult<()> {
            Err(PyTypeError::new_err(
                "a term of Elixir or Erlang cannot be pickled: it exists only in its VM",
            ))
        }
    }
);

impl AnyTerm {
    pub(super) fn kept(&self) -> PyResult<Kept> {
        self.0.or_raise().cloned()
    }
}

/// An atom, for where text will not do: it arrives as the atom that it names.
#[pyclass(frozen, module = "erlang")]
pub struct Atom(Made<Named>);

struct Named {
    atom: rustler::Atom,
    name: String,
}

#[pymethods]
impl Atom {
    #[new]
    fn new(name: &str) -> PyResult<Self> {
        child::refuse_in_child()?;
        let env = TermEnv::new();
        // Python's text never makes an atom: the table of atoms has an end.
        let atom = existing_atom(env.env(), name).ok_or_else(|| {
            PyValueError::new_err(format!(
                "there is no atom {name:?}. Python cannot make new atoms"
            ))
        })?;
        Ok(Atom(Made::new(Named {
            atom,
            name: name.into(),
        })))
    }

    fn __repr__(&self) -> PyResult<String> {
        Ok(format!("erlang.Atom({:?})", self.0.or_raise()?.name))
    }

    fn __str__(&self) -> PyResult<&str> {
        Ok(&self.0.or_raise()?.name)
    }

    fn __hash__(&self) -> PyResult<u64> {
        let mut hasher = DefaultHasher::new();
        self.0.or_raise()?.name.hash(&mut hasher);
        Ok(hasher.finish())
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Ok(other) = other.cast::<Atom>() else {
            return Ok(false);
        };
        Ok(self.0.or_raise()?.name == other.get().0.or_raise()?.name)
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    /// By its name: it is an atom again where there is one of that name.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        unpickled_by(slf.py(), "Atom", &slf.get().0.or_raise()?.name)
    }
}

/// What `pickle` asks for: something of the package, to be called with an argument.
pub(super) fn unpickled_by<'py>(
    py: Python<'py>,
    name: &str,
    argument: impl IntoPyObject<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let call = py.import("erlang")?.getattr(name)?;
    Ok((call, (argument,)).into_pyobject(py)?.into_any())
}

/// The opposite of pickling a pid, a reference or a port.
#[pyfunction]
#[pyo3(name = "_load_term")]
fn load_term<'py>(py: Python<'py>, external: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    child::refuse_in_child()?;
    let env = TermEnv::new();
    // The safe form: it makes no atoms.
    let term = env.env().binary_to_term(external).map(|(term, _)| term);
    let term = term.filter(|term| !term.is_fun());
    match term.map(|term| to_python(py, term)).transpose()?.flatten() {
        Some(object) => Ok(object),
        None => Err(PyValueError::new_err(
            "expected a pid, reference or port of this VM",
        )),
    }
}

/// The name of an `erlang.Atom`. None for others.
pub fn atom_name(object: &Bound<'_, PyAny>) -> Option<String> {
    let atom = object.cast_exact::<Atom>().ok()?;
    Some(atom.get().0.get()?.name.clone())
}

/// The process of an `erlang.Pid`, if it is one of this node. None for others.
pub fn local_pid(object: &Bound<'_, PyAny>) -> Option<LocalPid> {
    let pid = object.cast_exact::<Pid>().ok()?;
    pid.get().0.get()?.get().decode().ok()
}

/// A term as an object that only we can look into.
pub fn keep<'py>(py: Python<'py>, term: Term<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(Bound::new(py, AnyTerm(Made::new(Kept::new(term))))?.into_any())
}

/// The term of such an object.
pub fn kept<'a>(env: Env<'a>, object: &Bound<'_, PyAny>) -> Option<Term<'a>> {
    let term = object.cast_exact::<AnyTerm>().ok()?;
    Some(term.get().0.get()?.get().in_env(env))
}

/// Puts the classes into the `erlang` package.
pub fn add_to(package: &Bound<'_, PyModule>) -> PyResult<()> {
    package.add_class::<Pid>()?;
    package.add_class::<Ref>()?;
    package.add_class::<Port>()?;
    package.add_class::<Atom>()?;
    package.add_function(wrap_pyfunction!(load_term, package)?)?;
    function::add_to(package)
}

/// The object for a term of one of these kinds. None for others.
pub fn to_python<'py>(py: Python<'py>, term: Term<'_>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let kept = || Made::new(Kept::new(term));
    Ok(Some(match term.get_type() {
        TermType::Pid => Bound::new(py, Pid(kept()))?.into_any(),
        TermType::Ref => Bound::new(py, Ref(kept()))?.into_any(),
        TermType::Port => Bound::new(py, Port(kept()))?.into_any(),
        TermType::Fun => function::to_python(py, term)?,
        _ => return Ok(None),
    }))
}

/// The term of such an object. None for others.
pub fn to_term<'a>(env: Env<'a>, object: &Bound<'_, PyAny>) -> Option<Term<'a>> {
    if let Ok(atom) = object.cast_exact::<Atom>() {
        return Some(atom.get().0.get()?.atom.to_term(env));
    }
    let kept = if let Ok(pid) = object.cast_exact::<Pid>() {
        &pid.get().0
    } else if let Ok(reference) = object.cast_exact::<Ref>() {
        &reference.get().0
    } else if let Ok(port) = object.cast_exact::<Port>() {
        &port.get().0
    } else {
        return function::to_term(env, object);
    };
    Some(kept.get()?.get().in_env(env))
}
