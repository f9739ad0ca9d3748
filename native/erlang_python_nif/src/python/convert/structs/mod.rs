//! Elixir's structs that Python has a counterpart for: sets, ranges, dates and times, decimals.

mod array;
mod datetime;
mod decimal;
mod function;
mod missing;
mod numpy;
mod shape;

use super::{Decoder, Encoder, Failure, Step, Unconvertible};
use crate::base::atoms;
use crate::python::current;
use pyo3::prelude::*;
use pyo3::types::{PyFrozenSet, PySet};
use rustler::types::atom::Atom;
use rustler::{Encoder as _, Env, Term, TermType};
use std::sync::OnceLock;

pub use array::{from as array_from, items as array_items};
pub use datetime::Moment;
pub use function::to_python as described_function;
pub use shape::whole;

use shape::{broken, field, integer, of_kind};

type Result<T> = std::result::Result<T, Failure>;

/// What the Elixir of this VM looks like.
pub struct Elixir {
    /// The `version` in a `MapSet`, which newer versions have no more.
    pub set_version: Option<i64>,
    /// Whether the package `decimal` is loaded.
    pub decimal: bool,
    /// The structs that are read here, and their fields.
    pub fields: Vec<(Atom, Vec<Atom>)>,
}

static ELIXIR: OnceLock<Elixir> = OnceLock::new();

/// To be told once, before the first conversion.
pub fn set_elixir(elixir: Elixir) {
    let _ = ELIXIR.set(elixir);
}

/// Whether Elixir has decimals.
pub fn has_decimal() -> bool {
    elixir().decimal
}

fn elixir() -> &'static Elixir {
    ELIXIR.get_or_init(|| Elixir {
        set_version: None,
        decimal: false,
        fields: Vec::new(),
    })
}

/// The object for a struct that is called `name`. None if there is no counterpart.
pub fn to_python<'py, 'a>(
    encoder: &mut Encoder<'py, 'a>,
    name: Atom,
    term: Term<'a>,
) -> Result<Option<Bound<'py, PyAny>>> {
    let py = encoder.py();
    let converted = if name == atoms::map_set() {
        set(encoder, term)?
    } else if name == atoms::range() {
        range(encoder, term)?
    } else if let Some(moment) = datetime::to_python(py, name, term)? {
        moment
    } else if name == atoms::decimal() {
        decimal::to_python(encoder, term)?
    } else if name == atoms::iterator() {
        let next = encoder.value(of_kind(term, atoms::next(), TermType::Fun)?)?;
        let helpers = current::started()?;
        helpers.pulled.bind(py).call1((next,))?
    } else if name == atoms::function_struct() {
        function::to_python(encoder, term, None)?
    } else if name == atoms::array() {
        array::to_python(encoder, term)?
    } else if name == atoms::table_stream() {
        let data: Term = field(term, atoms::data())?;
        let view = super::buffer::view(py, data)?;
        let frames = py.import("erlang._frames")?;
        super::unconvertible::answered(frames.call_method1("of_explorer", (view,))?)?
    } else if name == atoms::buffer() {
        let data = term
            .map_get(atoms::data())
            .ok()
            .filter(|data| super::buffer::has_bytes(*data))
            .ok_or_else(|| broken(term, atoms::data()))?;
        if field(term, atoms::copy())? {
            super::buffer::writable(py, data)?
        } else {
            super::buffer::view(py, data)?
        }
    } else {
        return Ok(None);
    };
    Ok(Some(converted))
}

fn range<'py, 'a>(encoder: &mut Encoder<'py, 'a>, term: Term<'a>) -> Result<Bound<'py, PyAny>> {
    let first = integer(encoder, term, atoms::first())?;
    let last = integer(encoder, term, atoms::last())?;
    let step = integer(encoder, term, atoms::step())?;
    // Elixir's ranges include their end.
    let towards = if step.gt(0)? {
        1
    } else if step.lt(0)? {
        -1
    } else {
        return Err(broken(term, atoms::step()));
    };
    let end = last.add(towards)?;
    Ok(encoder
        .py()
        .get_type::<pyo3::types::PyRange>()
        .call1((first, end, step))?)
}

fn set<'py, 'a>(encoder: &mut Encoder<'py, 'a>, term: Term<'a>) -> Result<Bound<'py, PyAny>> {
    let py = encoder.py();
    let elements: rustler::MapIterator<'a> = field(term, atoms::map())?;
    if term.map_get(atoms::version()).is_ok() {
        field::<i64>(term, atoms::version())?;
    }
    let mut objects = Vec::new();
    for (at, (element, value)) in elements.enumerate() {
        if !value.is_empty_list() {
            return Err(broken(term, atoms::map()));
        }
        let object = encoder
            .element(element)
            .map_err(|e| e.inside(|| Step::Index(at)))?;
        if let Err(error) = object.hash() {
            return Err(encoder
                .unhashable(error, &object, "an element of a Python set")
                .inside(|| Step::Index(at)));
        }
        objects.push(object);
    }
    let length = objects.len();
    // A set in a set, or as a key, has to be a frozen one.
    let set = if encoder.is_key() {
        PyFrozenSet::new(py, objects)?.into_any()
    } else {
        PySet::new(py, objects)?.into_any()
    };
    if set.len()? != length {
        return Err(Unconvertible::new(
            "two elements of this set are the same in Python (such as :a and \"a\", or 1, 1.0 and \
             true), and one of them would be lost",
        )
        .into());
    }
    Ok(set)
}

/// The term for an object of the standard library that Elixir has a struct for. None for others.
pub fn to_term<'py, 'a>(
    decoder: &mut Decoder<'py, 'a, '_>,
    object: &Bound<'py, PyAny>,
) -> Result<Option<Term<'a>>> {
    let class = object.get_type();
    if let Some(kind) = datetime::kind(&class)? {
        if missing::is_missing(object, &class)? {
            return Ok(Some(decoder.none().to_term(decoder.env())));
        }
        return datetime::to_term(decoder, object, kind);
    }
    let Ok(module) = class.module() else {
        return Ok(None);
    };
    let Ok(module) = module.to_cow() else {
        return Ok(None);
    };
    // Anybody can write these names into a class: the classes themselves decide.
    match &*module {
        "decimal" if elixir().decimal => decimal::to_term(decoder, object, &class),
        _ if module == "numpy" || module.starts_with("numpy.") => numpy::to_term(decoder, object),
        _ if missing::is_missing(object, &class)? => {
            Ok(Some(decoder.none().to_term(decoder.env())))
        }
        _ => Ok(None),
    }
}

pub fn map<'a>(env: Env<'a>, fields: &[(Atom, Term<'a>)]) -> Term<'a> {
    let keys: Vec<Term> = fields.iter().map(|(key, _)| key.to_term(env)).collect();
    let values: Vec<Term> = fields.iter().map(|(_, value)| *value).collect();
    Term::map_from_term_arrays(env, &keys, &values).expect("the keys of a struct differ")
}

/// A `%Python.Bytes{}` of a binary.
pub fn bytes_to_term<'a>(env: Env<'a>, data: Term<'a>) -> Term<'a> {
    map(
        env,
        &[
            (atoms::__struct__(), atoms::bytes_struct().to_term(env)),
            (atoms::data(), data),
        ],
    )
}

/// A set whose elements are the keys of `map`.
pub fn set_to_term<'a>(env: Env<'a>, elements: Term<'a>) -> Term<'a> {
    let mut fields = vec![
        (atoms::__struct__(), atoms::map_set().to_term(env)),
        (atoms::map(), elements),
    ];
    if let Some(version) = elixir().set_version {
        fields.push((atoms::version(), version.encode(env)));
    }
    map(env, &fields)
}
