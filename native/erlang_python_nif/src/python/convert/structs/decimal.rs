//! Decimals, where Elixir's package of that name is loaded.

use super::shape::{broken, field, integer, shown};
use super::{Result, map};
use crate::base::atoms;
use crate::python::convert::{Decoder, Encoder, Unconvertible};
use crate::python::current;
use pyo3::exceptions::PyArithmeticError;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};
use rustler::{Encoder as _, Term};

/// `decimal.Decimal`, imported when the first value asks for it.
fn decimal(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    let known = &current::get().classes.decimal;
    if let Some(class) = known.get() {
        return Ok(class.bind(py));
    }
    let class = py.import("decimal")?.getattr("Decimal")?;
    let class = class.cast_into::<PyType>()?.unbind();
    Ok(known.get_or_init(|| class).bind(py))
}

/// `%Decimal{sign: 1 | -1, coef: integer | :NaN | :inf, exp: integer}`
pub fn to_python<'py, 'a>(
    encoder: &mut Encoder<'py, 'a>,
    term: Term<'a>,
) -> Result<Bound<'py, PyAny>> {
    let py = encoder.py();
    let class = decimal(py)?;
    let negative = match field::<i64>(term, atoms::sign())? {
        1 => false,
        -1 => true,
        _ => return Err(broken(term, atoms::sign())),
    };
    let coef = term
        .map_get(atoms::coef())
        .map_err(|_| broken(term, atoms::coef()))?;
    if coef.is_atom() {
        let text = match (coef.atom_to_string().as_deref(), negative) {
            (Ok("inf"), false) => "Infinity",
            (Ok("inf"), true) => "-Infinity",
            (Ok("NaN"), false) => "NaN",
            (Ok("NaN"), true) => "-NaN",
            _ => return Err(broken(term, atoms::coef())),
        };
        return Ok(class.call1((text,))?);
    }
    let exp: i64 = field(term, atoms::exp())?;
    // By way of digits, not of arithmetic, which would round to the context's precision.
    let coef = integer(encoder, term, atoms::coef())?;
    if coef.lt(0)? {
        return Err(broken(term, atoms::coef()));
    }
    let coef = class.call1((coef,))?;
    let digits = coef.call_method0("as_tuple")?.getattr("digits")?;
    class
        .call1(((i64::from(negative), digits, exp),))
        .map_err(|error| {
            if error.is_instance_of::<PyArithmeticError>(py) {
                Unconvertible::new(format!(
                    "the exponent of this {} is too large for Python's decimal",
                    shown(term)
                ))
                .into()
            } else {
                error.into()
            }
        })
}

/// The term for a decimal. None for an object of another class.
pub fn to_term<'py, 'a>(
    decoder: &mut Decoder<'py, 'a, '_>,
    object: &Bound<'py, PyAny>,
    class: &Bound<'py, PyType>,
) -> Result<Option<Term<'a>>> {
    if !class.is(decimal(object.py())?) {
        return Ok(None);
    }
    let env = decoder.env();
    let parts = object.call_method0("as_tuple")?;
    let parts = parts.cast::<PyTuple>().map_err(PyErr::from)?;
    let negative: i64 = parts.get_item(0)?.extract()?;
    let (coef, exp) = if let Ok(exp) = parts.get_item(2)?.extract::<i64>() {
        let digits = (0, parts.get_item(1)?, 0);
        let coef = decimal(object.py())?.call1((digits,))?;
        let coef = coef.call_method0("__int__")?;
        (decoder.value(&coef)?, exp)
    } else if object.call_method0("is_infinite")?.is_truthy()? {
        (atoms::inf().to_term(env), 0)
    } else {
        (atoms::nan_decimal().to_term(env), 0)
    };
    let sign = if negative == 1 { -1 } else { 1 };
    Ok(Some(map(
        env,
        &[
            (atoms::__struct__(), atoms::decimal().to_term(env)),
            (atoms::sign(), sign.encode(env)),
            (atoms::coef(), coef),
            (atoms::exp(), exp.encode(env)),
        ],
    )))
}
