//! Why an operation gave no value.

use crate::base::atoms;
use crate::python::convert::{Failure, Unconvertible};
use crate::python::exception;
use pyo3::prelude::*;
use rustler::{Encoder, Env, Term};

pub enum Error {
    /// An argument cannot become a Python object.
    Encode {
        place: String,
        what: Unconvertible,
    },
    /// The result cannot become a term.
    Decode(Unconvertible),
    Exception(PyErr),
    /// One of many calls failed: which, and why.
    At(usize, Box<Error>),
    /// The request itself makes no sense. The Elixir side lets none of these through.
    BadRequest(&'static str),
}

impl From<PyErr> for Error {
    fn from(error: PyErr) -> Self {
        Error::Exception(error)
    }
}

impl Error {
    /// What Python has raised.
    pub fn exception(&self) -> Option<&PyErr> {
        match self {
            Error::Exception(error) => Some(error),
            Error::At(_, error) => error.exception(),
            Error::Encode { .. } | Error::Decode(_) | Error::BadRequest(_) => None,
        }
    }

    /// A failure to convert what is to be found at `place`.
    pub fn encode(place: impl FnOnce() -> String) -> impl FnOnce(Failure) -> Self {
        move |failure| match failure {
            Failure::Value(what) => Error::Encode {
                place: place(),
                what: *what,
            },
            Failure::Python(raised) => Error::Exception(raised.into_error(&place())),
        }
    }

    pub fn decode(failure: Failure) -> Self {
        match failure {
            Failure::Value(what) => Error::Decode(*what),
            Failure::Python(raised) => Error::Exception(raised.into_error("the result")),
        }
    }

    /// The reason as Elixir knows it.
    pub fn into_term<'a>(self, py: Python<'_>, env: Env<'a>, keep_locals: bool) -> Term<'a> {
        match self {
            Error::Encode { place, what } => {
                let tag = if what.is_struct {
                    atoms::encode_struct()
                } else {
                    atoms::encode()
                };
                (tag, what.reason.as_str(), place, what.path()).encode(env)
            }
            Error::Decode(what) => (atoms::decode(), what.reason.as_str(), what.path()).encode(env),
            Error::Exception(error) => exception::to_term(py, env, &error, keep_locals),
            Error::At(index, error) => (
                atoms::error(),
                index as u64,
                error.into_term(py, env, keep_locals),
            )
                .encode(env),
            Error::BadRequest(text) => (atoms::bad_request(), text).encode(env),
        }
    }
}
