//! Whether a struct is what its name says. Anybody can make a map of that name, and change one with `Map.put/3`.

use super::{Result, elixir};
use crate::base::atoms;
use crate::python::convert::terms::{key_step, name_text};
use crate::python::convert::{Encoder, Failure, Step, Unconvertible};
use pyo3::prelude::*;
use rustler::types::atom::Atom;
use rustler::{Term, TermType};

/// Refuses a struct that somebody has put a key into which it does not have, as that would be lost, and one that
/// has lost a key.
pub fn whole(name: Atom, term: Term<'_>) -> Result<()> {
    let Some((_, fields)) = elixir().fields.iter().find(|(known, _)| *known == name) else {
        return Ok(());
    };
    let as_many = term.map_size().is_ok_and(|size| size == fields.len());
    if as_many && fields.iter().all(|field| term.map_get(field).is_ok()) {
        return Ok(());
    }
    // A `MapSet` has this in some versions of Elixir, and may come from a node with another one.
    let is_optional = |key: Term| name == atoms::map_set() && atoms::version() == key;
    let is_foreign = |key: &Term| !is_optional(*key) && fields.iter().all(|field| *field != *key);
    let keys: rustler::MapIterator<'_> = term
        .decode()
        .map_err(|_| Unconvertible::new("this struct cannot be read"))?;
    if let Some((key, _)) = keys.into_iter().find(|(key, _)| is_foreign(key)) {
        let key = match key_step(key) {
            Step::Key(key) => key,
            Step::Index(at) => at.to_string(),
        };
        let advice = if name == atoms::object() {
            "; to change the Python object, use Python.setitem/3 or Python.setattr/3"
        } else {
            ""
        };
        return refuse(
            term,
            &format!(
                "has the key {key}, which is not a field of the struct and would be lost{advice}"
            ),
        );
    }
    let lost = fields
        .iter()
        .find(|field| term.map_get(field).is_err() && !is_optional(field.to_term(term.get_env())));
    match lost {
        // What it is the handle of is looked up by its reference alone.
        Some(field) if name != atoms::object() => Err(broken(term, *field)),
        _ => Ok(()),
    }
}

fn refuse<T>(term: Term<'_>, what: &str) -> Result<T> {
    Err(Unconvertible::new(format!("this {} {what}", shown(term))).into())
}

/// A struct as errors name it: `%Date{}`.
pub fn shown(term: Term<'_>) -> String {
    let name = term.map_get(atoms::__struct__()).ok().and_then(name_text);
    let name = name.as_deref().unwrap_or("?");
    format!("%{}{{}}", name.strip_prefix("Elixir.").unwrap_or(name))
}

/// A struct that lacks a field, or has in it what does not belong there.
pub fn broken(term: Term<'_>, field: Atom) -> Failure {
    let struct_ = shown(term);
    let name = name_text(field.to_term(term.get_env())).unwrap_or_default();
    let what = match term.map_get(field) {
        Ok(_) => "is invalid",
        Err(_) => "is missing",
    };
    Unconvertible::new(format!(
        "this {struct_} is not a valid struct: its field :{name} {what}"
    ))
    .into()
}

/// A field that Elixir has as a type.
pub fn field<'a, T: rustler::Decoder<'a>>(term: Term<'a>, key: Atom) -> Result<T> {
    term.map_get(key)
        .and_then(T::decode)
        .map_err(|_| broken(term, key))
}

/// A field that is of a kind.
pub fn of_kind<'a>(term: Term<'a>, key: Atom, kind: TermType) -> Result<Term<'a>> {
    match term.map_get(key) {
        Ok(value) if value.get_type() == kind => Ok(value),
        _ => Err(broken(term, key)),
    }
}

/// A field that has to be an integer, of any size.
pub fn integer<'py, 'a>(
    encoder: &mut Encoder<'py, 'a>,
    term: Term<'a>,
    key: Atom,
) -> Result<Bound<'py, PyAny>> {
    let value = of_kind(term, key, TermType::Integer)?;
    encoder.value(value)
}
