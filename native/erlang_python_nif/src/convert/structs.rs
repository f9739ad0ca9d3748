//! Elixir's structs that Python has a counterpart for: sets, ranges, dates and times, decimals.

use super::{Decoder, Encoder, Failure, Step, Unconvertible};
use crate::atoms;
use crate::interpreter::python;
use pyo3::exceptions::{PyArithmeticError, PyOverflowError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDelta, PyFloat, PyFrozenSet, PyInt, PyModule, PySet, PyTuple, PyType};
use rustler::types::atom::Atom;
use rustler::{Encoder as _, Env, Term, TermType};
use std::sync::OnceLock;

type Result<T> = std::result::Result<T, Failure>;

/// What the Elixir of this VM looks like.
pub struct Elixir {
    /// The `version` in a `MapSet`, which newer versions have no more.
    pub set_version: Option<i64>,
    /// Whether the package `decimal` is loaded.
    pub decimal: bool,
}

static ELIXIR: OnceLock<Elixir> = OnceLock::new();

/// To be told once, before the first conversion.
pub fn set_elixir(elixir: Elixir) {
    let _ = ELIXIR.set(elixir);
}

fn elixir() -> &'static Elixir {
    ELIXIR.get_or_init(|| Elixir {
        set_version: None,
        decimal: false,
    })
}

/// Classes of the standard library, imported when the first value asks for them.
struct Classes {
    datetime: Py<PyModule>,
    decimal: OnceLock<Py<PyType>>,
}

static CLASSES: OnceLock<Classes> = OnceLock::new();

fn classes(py: Python<'_>) -> PyResult<&'static Classes> {
    if let Some(classes) = CLASSES.get() {
        return Ok(classes);
    }
    let classes = Classes {
        datetime: py.import("datetime")?.unbind(),
        decimal: OnceLock::new(),
    };
    Ok(CLASSES.get_or_init(|| classes))
}

fn datetime<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    classes(py)?.datetime.bind(py).getattr(name)
}

fn decimal(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    let classes = classes(py)?;
    if let Some(class) = classes.decimal.get() {
        return Ok(class.bind(py));
    }
    let class = py.import("decimal")?.getattr("Decimal")?;
    let class = class.cast_into::<PyType>()?.unbind();
    Ok(classes.decimal.get_or_init(|| class).bind(py))
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
    } else if name == atoms::date() {
        let date = date_fields(term)?;
        datetime(py, "date")?.call1(date).map_err(out_of_range)?
    } else if name == atoms::time() {
        let (hour, minute, second, micro) = time_fields(term)?;
        datetime(py, "time")?
            .call1((hour, minute, second, micro))
            .map_err(out_of_range)?
    } else if name == atoms::naive_date_time() {
        moment(py, term, None)?
    } else if name == atoms::date_time() {
        let utc_offset: i32 = field(term, atoms::utc_offset())?;
        let std_offset: i32 = field(term, atoms::std_offset())?;
        let offset = utc_offset.checked_add(std_offset).ok_or_else(unreadable)?;
        let zone = if offset == 0 {
            datetime(py, "timezone")?.getattr("utc")?
        } else {
            let delta = PyDelta::new(py, 0, offset, 0, true)?;
            datetime(py, "timezone")?
                .call1((delta,))
                .map_err(out_of_range)?
        };
        moment(py, term, Some(zone))?
    } else if name == atoms::decimal() {
        decimal_to_python(encoder, term)?
    } else if name == atoms::iterator() {
        let next = term.map_get(atoms::next()).map_err(|_| unreadable())?;
        if next.get_type() != TermType::Fun {
            return Err(unreadable());
        }
        let next = encoder.value(next)?;
        let helpers = python::helpers().ok_or_else(unreadable)?;
        helpers.pulled.bind(py).call1((next,))?
    } else if name == atoms::buffer() {
        let data = term.map_get(atoms::data()).map_err(|_| unreadable())?;
        if !data.is_binary() {
            return Err(unreadable());
        }
        super::buffer::view(py, data)?
    } else {
        return Ok(None);
    };
    Ok(Some(converted))
}

fn field<'a, T: rustler::Decoder<'a>>(term: Term<'a>, key: Atom) -> Result<T> {
    term.map_get(key)
        .and_then(T::decode)
        .map_err(|_| unreadable())
}

fn unreadable() -> Failure {
    Unconvertible::new("this struct has not the fields that its name promises").into()
}

fn out_of_range(error: PyErr) -> Failure {
    Python::attach(|py| {
        if error.is_instance_of::<pyo3::exceptions::PyValueError>(py)
            || error.is_instance_of::<PyOverflowError>(py)
        {
            let text = error.value(py);
            Unconvertible::new(format!("Python's datetime refuses this: {text}")).into()
        } else {
            error.into()
        }
    })
}

fn iso(term: Term<'_>) -> Result<()> {
    if field::<Atom>(term, atoms::calendar())? == atoms::iso() {
        Ok(())
    } else {
        Err(Unconvertible::new("only dates and times of Calendar.ISO have a counterpart").into())
    }
}

fn date_fields(term: Term<'_>) -> Result<(i64, i64, i64)> {
    iso(term)?;
    Ok((
        field(term, atoms::year())?,
        field(term, atoms::month())?,
        field(term, atoms::day())?,
    ))
}

fn time_fields(term: Term<'_>) -> Result<(i64, i64, i64, i64)> {
    iso(term)?;
    let (micro, _precision): (i64, i64) = field(term, atoms::microsecond())?;
    Ok((
        field(term, atoms::hour())?,
        field(term, atoms::minute())?,
        field(term, atoms::second())?,
        micro,
    ))
}

fn moment<'py>(
    py: Python<'py>,
    term: Term<'_>,
    zone: Option<Bound<'py, PyAny>>,
) -> Result<Bound<'py, PyAny>> {
    let (year, month, day) = date_fields(term)?;
    let (hour, minute, second, micro) = time_fields(term)?;
    datetime(py, "datetime")?
        .call1((year, month, day, hour, minute, second, micro, zone))
        .map_err(out_of_range)
}

/// A field that has to be an integer, of any size.
fn integer<'py, 'a>(
    encoder: &mut Encoder<'py, 'a>,
    term: Term<'a>,
    key: Atom,
) -> Result<Bound<'py, PyAny>> {
    let value = term.map_get(key).map_err(|_| unreadable())?;
    if value.get_type() != TermType::Integer {
        return Err(unreadable());
    }
    encoder.value(value)
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
        return Err(unreadable());
    };
    let end = last.add(towards)?;
    Ok(encoder
        .py()
        .get_type::<pyo3::types::PyRange>()
        .call1((first, end, step))?)
}

fn set<'py, 'a>(encoder: &mut Encoder<'py, 'a>, term: Term<'a>) -> Result<Bound<'py, PyAny>> {
    let py = encoder.py();
    let map = term.map_get(atoms::map()).map_err(|_| unreadable())?;
    let elements: rustler::MapIterator<'a> = map.decode().map_err(|_| unreadable())?;
    let mut objects = Vec::new();
    for (at, (element, _)) in elements.enumerate() {
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
            "two elements of this set are the same in Python (as :a and \"a\" are, or 1, 1.0 and \
             true), and one of them would be lost",
        )
        .into());
    }
    Ok(set)
}

/// `%Decimal{sign: 1 | -1, coef: integer | :NaN | :inf, exp: integer}`
fn decimal_to_python<'py, 'a>(
    encoder: &mut Encoder<'py, 'a>,
    term: Term<'a>,
) -> Result<Bound<'py, PyAny>> {
    let py = encoder.py();
    let class = decimal(py)?;
    let negative = match field::<i64>(term, atoms::sign())? {
        1 => false,
        -1 => true,
        _ => return Err(unreadable()),
    };
    let coef = term.map_get(atoms::coef()).map_err(|_| unreadable())?;
    if coef.is_atom() {
        let text = match (coef.atom_to_string().as_deref(), negative) {
            (Ok("inf"), false) => "Infinity",
            (Ok("inf"), true) => "-Infinity",
            (Ok("NaN"), false) => "NaN",
            (Ok("NaN"), true) => "-NaN",
            _ => return Err(unreadable()),
        };
        return Ok(class.call1((text,))?);
    }
    let exp: i64 = field(term, atoms::exp())?;
    // By way of digits, not of arithmetic, which would round to the context's precision.
    let coef = integer(encoder, term, atoms::coef())?;
    if coef.lt(0)? {
        return Err(unreadable());
    }
    let coef = class.call1((coef,))?;
    let digits = coef.call_method0("as_tuple")?.getattr("digits")?;
    class
        .call1(((i64::from(negative), digits, exp),))
        .map_err(|error| {
            if error.is_instance_of::<PyArithmeticError>(py) {
                Unconvertible::new("the exponent is beyond those of Python's decimals").into()
            } else {
                error.into()
            }
        })
}

/// The term for an object of the standard library that Elixir has a struct for. None for others.
pub fn to_term<'py, 'a>(
    decoder: &mut Decoder<'py, 'a>,
    object: &Bound<'py, PyAny>,
) -> Result<Option<Term<'a>>> {
    let py = object.py();
    let class = object.get_type();
    let Ok(module) = class.module() else {
        return Ok(None);
    };
    let Ok(module) = module.to_cow() else {
        return Ok(None);
    };
    // Anybody can write these names into a class: the classes themselves decide.
    match &*module {
        "datetime" => datetime_to_term(decoder, object, &class),
        "decimal" if elixir().decimal => {
            if class.is(decimal(py)?) {
                decimal_to_term(decoder, object).map(Some)
            } else {
                Ok(None)
            }
        }
        _ if module == "numpy" || module.starts_with("numpy.") => number(decoder, object),
        _ => Ok(None),
    }
}

fn datetime_to_term<'py, 'a>(
    decoder: &Decoder<'py, 'a>,
    object: &Bound<'py, PyAny>,
    class: &Bound<'py, PyType>,
) -> Result<Option<Term<'a>>> {
    let py = object.py();
    let get = |name: &str| -> PyResult<i64> { object.getattr(name)?.extract() };
    let date = |object: &Bound<'py, PyAny>| -> PyResult<(i64, i64, i64)> {
        let get = |name: &str| -> PyResult<i64> { object.getattr(name)?.extract() };
        Ok((get("year")?, get("month")?, get("day")?))
    };
    let time = |object: &Bound<'py, PyAny>| -> PyResult<(i64, i64, i64, i64)> {
        let get = |name: &str| -> PyResult<i64> { object.getattr(name)?.extract() };
        Ok((
            get("hour")?,
            get("minute")?,
            get("second")?,
            get("microsecond")?,
        ))
    };
    if class.is(&datetime(py, "datetime")?) {
        let aware = !object.call_method0("utcoffset")?.is_none();
        let object = if aware {
            let utc = datetime(py, "timezone")?.getattr("utc")?;
            &object
                .call_method1("astimezone", (utc,))
                .map_err(out_of_range)?
        } else {
            object
        };
        let term = Moment {
            date: Some(date(object)?),
            time: Some(time(object)?),
            utc: aware,
        };
        Ok(Some(term.into_term(decoder.env(), decoder.is_erlang())))
    } else if class.is(&datetime(py, "date")?) {
        let term = Moment {
            date: Some((get("year")?, get("month")?, get("day")?)),
            time: None,
            utc: false,
        };
        Ok(Some(term.into_term(decoder.env(), decoder.is_erlang())))
    } else if class.is(&datetime(py, "time")?) && object.getattr("tzinfo")?.is_none() {
        let term = Moment {
            date: None,
            time: Some(time(object)?),
            utc: false,
        };
        Ok(Some(term.into_term(decoder.env(), decoder.is_erlang())))
    } else {
        // A timedelta, a zone, a time of a zone: nothing in Elixir is quite that.
        Ok(None)
    }
}

struct Moment {
    date: Option<(i64, i64, i64)>,
    time: Option<(i64, i64, i64, i64)>,
    utc: bool,
}

impl Moment {
    fn into_term(self, env: Env<'_>, erlang: bool) -> Term<'_> {
        if erlang {
            self.into_tuples(env)
        } else {
            self.into_struct(env)
        }
    }

    /// As Erlang's `calendar` has them. Seconds with a fraction are floats: dropping it silently
    /// would be worse.
    fn into_tuples(self, env: Env<'_>) -> Term<'_> {
        let time = self.time.map(|(hour, minute, second, micro)| {
            let second = if micro == 0 {
                second.encode(env)
            } else {
                (second as f64 + micro as f64 / 1e6).encode(env)
            };
            (hour, minute, second).encode(env)
        });
        match (self.date, time) {
            (Some(date), Some(time)) => (date, time).encode(env),
            (Some(date), None) => date.encode(env),
            (None, Some(time)) => time,
            (None, None) => atoms::nil().to_term(env),
        }
    }

    fn into_struct(self, env: Env<'_>) -> Term<'_> {
        let name = match (self.date, self.time, self.utc) {
            (Some(_), None, _) => atoms::date(),
            (None, _, _) => atoms::time(),
            (Some(_), Some(_), false) => atoms::naive_date_time(),
            (Some(_), Some(_), true) => atoms::date_time(),
        };
        let mut fields = vec![
            (atoms::__struct__(), name.to_term(env)),
            (atoms::calendar(), atoms::iso().to_term(env)),
        ];
        if let Some((year, month, day)) = self.date {
            fields.push((atoms::year(), year.encode(env)));
            fields.push((atoms::month(), month.encode(env)));
            fields.push((atoms::day(), day.encode(env)));
        }
        if let Some((hour, minute, second, micro)) = self.time {
            // Python knows no precision: whole seconds have none, others all six digits.
            let precision = if micro == 0 { 0 } else { 6 };
            fields.push((atoms::hour(), hour.encode(env)));
            fields.push((atoms::minute(), minute.encode(env)));
            fields.push((atoms::second(), second.encode(env)));
            fields.push((atoms::microsecond(), (micro, precision).encode(env)));
        }
        if self.utc {
            fields.push((atoms::time_zone(), "Etc/UTC".encode(env)));
            fields.push((atoms::zone_abbr(), "UTC".encode(env)));
            fields.push((atoms::utc_offset(), 0.encode(env)));
            fields.push((atoms::std_offset(), 0.encode(env)));
        }
        map(env, &fields)
    }
}

fn map<'a>(env: Env<'a>, fields: &[(Atom, Term<'a>)]) -> Term<'a> {
    let keys: Vec<Term> = fields.iter().map(|(key, _)| key.to_term(env)).collect();
    let values: Vec<Term> = fields.iter().map(|(_, value)| *value).collect();
    Term::map_from_term_arrays(env, &keys, &values).expect("the keys of a struct differ")
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

fn decimal_to_term<'py, 'a>(
    decoder: &mut Decoder<'py, 'a>,
    object: &Bound<'py, PyAny>,
) -> Result<Term<'a>> {
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
    Ok(map(
        env,
        &[
            (atoms::__struct__(), atoms::decimal().to_term(env)),
            (atoms::sign(), sign.encode(env)),
            (atoms::coef(), coef),
            (atoms::exp(), exp.encode(env)),
        ],
    ))
}

/// What is asked of numpy.
struct Numpy {
    /// The classes of scalars that are numbers.
    numbers: [Py<PyType>; 2],
    /// A kind of integer to numpy, but a number of what depends on its unit.
    timedelta: Py<PyType>,
    /// `numpy.generic.item`: a subclass may have another.
    item: Py<PyAny>,
}

static NUMPY: OnceLock<Numpy> = OnceLock::new();

/// None if it is not imported: then what calls itself numpy's is not.
fn numpy(py: Python<'_>) -> PyResult<&'static Numpy> {
    if let Some(numpy) = NUMPY.get() {
        return Ok(numpy);
    }
    let numpy = py.import("sys")?.getattr("modules")?.get_item("numpy")?;
    let class = |name: &str| -> PyResult<Py<PyType>> {
        Ok(numpy.getattr(name)?.cast_into::<PyType>()?.unbind())
    };
    let numpy = Numpy {
        numbers: [class("number")?, class("bool_")?],
        timedelta: class("timedelta64")?,
        item: numpy.getattr("generic")?.getattr("item")?.unbind(),
    };
    Ok(NUMPY.get_or_init(|| numpy))
}

/// A numpy scalar that is a number.
fn number<'py, 'a>(
    decoder: &mut Decoder<'py, 'a>,
    object: &Bound<'py, PyAny>,
) -> Result<Option<Term<'a>>> {
    let py = object.py();
    // Anybody can write numpy's name into a class, whether there is a numpy or not.
    let Ok(numpy) = numpy(py) else {
        return Ok(None);
    };
    let class = object.get_type();
    let is_a = |base: &Py<PyType>| class.is_subclass(base.bind(py));
    if !(is_a(&numpy.numbers[0])? || is_a(&numpy.numbers[1])?) || is_a(&numpy.timedelta)? {
        return Ok(None);
    }
    let item = numpy.item.bind(py).call1((object,))?;
    // The items of others are complex, or as wide as no number of Python's is.
    if item.is_exact_instance_of::<PyInt>()
        || item.is_exact_instance_of::<PyFloat>()
        || item.is_exact_instance_of::<PyBool>()
    {
        decoder.value(&item).map(Some)
    } else {
        Ok(None)
    }
}
