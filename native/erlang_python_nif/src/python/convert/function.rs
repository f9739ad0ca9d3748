//! `erlang._Function`: a function of the other side, as Python calls it. What else a callable has, such
//! as a name and a signature, is in `priv/python/erlang/_function.py`, whose class is a subclass.

use super::opaque::{AnyTerm, Kept, keep};
use crate::base::atoms;
use crate::python::current;
use crate::python::host::{self, Target};
use crate::python::made::Made;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule, PyString, PyTuple};
use rustler::{Env, Term};
use std::collections::hash_map::DefaultHasher;
use std::ffi::c_void;
use std::hash::{Hash, Hasher};

#[pyclass(frozen, subclass, module = "erlang", name = "_Function")]
pub struct Function(Made<Callable>);

struct Callable {
    called: Called,
    /// Of a function that was given them. Others take what they are given, as it comes.
    parameters: Option<Parameters>,
}

enum Called {
    Term(Kept),
    /// A registered function, whichever has the name when it is called.
    Name(String),
}

struct Parameters {
    function: String,
    names: Vec<String>,
    /// Of the last ones.
    defaults: Vec<Py<PyAny>>,
}

impl Callable {
    fn target(&self) -> Target<'_> {
        match &self.called {
            Called::Term(kept) => Target::Function(kept.get()),
            Called::Name(name) => Target::Name(name),
        }
    }
}

#[pymethods]
impl Function {
    /// `called` is a name, or a function as only we can make it.
    #[new]
    #[pyo3(signature = (called, parameters = None))]
    fn new(
        called: &Bound<'_, PyAny>,
        parameters: Option<(String, Vec<String>, Vec<Py<PyAny>>)>,
    ) -> PyResult<Self> {
        let called = if let Ok(term) = called.cast_exact::<AnyTerm>() {
            let kept = term.get().kept()?;
            if !kept.get().is_fun() {
                return Err(PyTypeError::new_err(
                    "expected a function of Elixir or Erlang",
                ));
            }
            Called::Term(kept)
        } else if let Ok(name) = called.cast::<PyString>() {
            Called::Name(name.extract()?)
        } else {
            return Err(PyTypeError::new_err(
                "functions of Elixir and Erlang cannot be made in Python",
            ));
        };
        Ok(Function(Made::new(Callable {
            called,
            parameters: parameters.map(|(function, names, defaults)| Parameters {
                function,
                names,
                defaults,
            }),
        })))
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let callable = self.0.or_raise()?;
        match &callable.parameters {
            None => host::call(py, callable.target(), args, kwargs),
            Some(parameters) => {
                let args = parameters.bind(args, kwargs)?;
                host::call(py, callable.target(), &args, None)
            }
        }
    }

    /// `(module, name, arity)`, as the other side knows them. The arity may be None.
    #[pyo3(name = "_ask")]
    fn ask<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let asked = match &slf.get().0.or_raise()?.called {
            Called::Term(_) => slf.clone().into_any(),
            Called::Name(name) => PyString::new(py, name).into_any(),
        };
        let args = PyTuple::new(py, [asked])?;
        host::call(py, Target::Device(atoms::function()), &args, None)
    }

    /// The name that it is registered by. None for others.
    #[pyo3(name = "_name")]
    fn registered_name(&self) -> PyResult<Option<&str>> {
        Ok(match &self.0.or_raise()?.called {
            Called::Term(_) => None,
            Called::Name(name) => Some(name),
        })
    }

    fn __repr__(&self) -> PyResult<String> {
        let text = match &self.0.or_raise()?.called {
            Called::Term(kept) => kept.text(),
            Called::Name(name) => name.clone(),
        };
        Ok(format!("<erlang.Function {text}>"))
    }

    fn __hash__(&self) -> PyResult<u64> {
        Ok(match &self.0.or_raise()?.called {
            Called::Term(kept) => kept.hash(),
            Called::Name(name) => {
                let mut hasher = DefaultHasher::new();
                name.hash(&mut hasher);
                hasher.finish()
            }
        })
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Ok(other) = other.cast::<Function>() else {
            return Ok(false);
        };
        Ok(
            match (
                &self.0.or_raise()?.called,
                &other.get().0.or_raise()?.called,
            ) {
                (Called::Term(one), Called::Term(other)) => one.get() == other.get(),
                (Called::Name(one), Called::Name(other)) => one == other,
                _ => false,
            },
        )
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }
}

impl Parameters {
    /// The arguments in their order, as a function of Python's has them.
    fn bind<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let (py, given, all) = (args.py(), args.len(), self.names.len());
        if given > all {
            let s = if all == 1 { "" } else { "s" };
            return Err(self.wrong(format!(
                "takes {all} positional argument{s} but {given} were given"
            )));
        }
        let mut values: Vec<Option<Bound<'py, PyAny>>> = args.iter().map(Some).collect();
        values.resize(all, None);
        for (name, value) in kwargs.into_iter().flatten() {
            let name: String = name.extract()?;
            let at = self.names.iter().position(|known| *known == name);
            let at = at.ok_or_else(|| {
                self.wrong(format!("got an unexpected keyword argument '{name}'"))
            })?;
            if values[at].replace(value).is_some() {
                return Err(self.wrong(format!("got multiple values for argument '{name}'")));
            }
        }
        let first_default = all - self.defaults.len();
        let values = values.into_iter().enumerate().map(|(at, value)| {
            if let Some(value) = value {
                Ok(value)
            } else if at >= first_default {
                Ok(self.defaults[at - first_default].bind(py).clone())
            } else {
                Err(self.wrong(format!(
                    "missing the required argument '{}'",
                    self.names[at]
                )))
            }
        });
        PyTuple::new(py, values.collect::<PyResult<Vec<_>>>()?)
    }

    fn wrong(&self, text: String) -> PyErr {
        PyTypeError::new_err(format!("{}() {text}", self.function))
    }
}

/// The callable for a function.
pub fn to_python<'py>(py: Python<'py>, function: Term<'_>) -> PyResult<Bound<'py, PyAny>> {
    make(&PyTuple::new(py, [keep(py, function)?])?)
}

/// The callable for the function that is registered by a name.
pub fn registered<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    make(&PyTuple::new(py, [name])?)
}

/// Puts the class into the package.
pub fn add_to(package: &Bound<'_, PyModule>) -> PyResult<()> {
    package.add_class::<Function>()?;
    package.add_function(wrap_pyfunction!(make_function, package)?)?;
    let class = package.py().get_type::<Function>();
    // SAFETY: a class of the heap, and the GIL is held. The function in this slot is of this type.
    unsafe {
        let new = ffi::PyType_GetSlot(class.as_type_ptr(), ffi::Py_tp_new);
        if !new.is_null() {
            let _ = current::get()
                .classes
                .new_function
                .set(std::mem::transmute::<*mut c_void, ffi::newfunc>(new));
        }
    }
    Ok(())
}

/// A new callable. Not by a call of the class, whose `__new__` Python code can have changed.
fn make<'py>(args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
    let py = args.py();
    let (Some(helpers), Some(new)) = (
        current::helpers(),
        current::get().classes.new_function.get(),
    ) else {
        return Err(PyRuntimeError::new_err("the interpreter has not started"));
    };
    // SAFETY: the GIL is held; the class is a subclass of the one whose function this is; a tuple. A new
    // reference, or null with an exception set.
    unsafe {
        let class = helpers.function.as_ptr().cast();
        let made = new(class, args.as_ptr(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(py, made)
    }
}

/// The same, for a function that is described.
#[pyfunction]
#[pyo3(name = "_make_function")]
#[pyo3(signature = (*args))]
fn make_function<'py>(args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
    make(args)
}

/// The function of such a callable. None for others, and for those that only have a name.
pub fn to_term<'a>(env: Env<'a>, object: &Bound<'_, PyAny>) -> Option<Term<'a>> {
    match &object.cast::<Function>().ok()?.get().0.get()?.called {
        Called::Term(kept) => Some(kept.get().in_env(env)),
        Called::Name(_) => None,
    }
}
