//! Dates and times.

use super::shape::{broken, field, shown};
use super::{Result, map};
use crate::base::atoms;
use crate::python::convert::{Decoder, Failure, Unconvertible};
use crate::python::current;
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyDelta, PyType};
use rustler::types::atom::Atom;
use rustler::{Encoder as _, Env, Term};

/// What a class is, or the class that it is a subclass of.
#[derive(Clone, Copy)]
pub enum Kind {
    DateTime,
    Date,
    Time,
}

/// None for a class that has nothing to do with dates and times.
pub fn kind(class: &Bound<'_, PyType>) -> PyResult<Option<Kind>> {
    let py = class.py();
    let classes = match current::get().classes.dates.get() {
        Some(classes) => classes,
        None => {
            // Until it is imported nothing is of these classes.
            let imported = current::helpers().is_some_and(|helpers| {
                helpers
                    .modules
                    .bind(py)
                    .contains("datetime")
                    .is_ok_and(|is| is)
            });
            if !imported {
                return Ok(None);
            }
            let get = |name: &str| -> PyResult<Py<PyType>> {
                Ok(datetime(py, name)?.cast_into::<PyType>()?.unbind())
            };
            let classes = [get("date")?, get("datetime")?, get("time")?];
            current::get().classes.dates.get_or_init(|| classes)
        }
    };
    // SAFETY: classes, and the GIL is held. This looks at the order of bases and runs no code.
    let is_a = |base: &Py<PyType>| unsafe {
        pyo3::ffi::PyType_IsSubtype(class.as_type_ptr(), base.as_ptr().cast()) != 0
    };
    let [date, datetime, time] = classes;
    Ok(if is_a(date) {
        Some(if is_a(datetime) {
            Kind::DateTime
        } else {
            Kind::Date
        })
    } else if is_a(time) {
        Some(Kind::Time)
    } else {
        None
    })
}

/// What `datetime` has by a name. It is imported when the first value asks for it.
fn datetime<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let module = match current::get().classes.datetime.get() {
        Some(module) => module,
        None => {
            let module = py.import("datetime")?.unbind();
            current::get().classes.datetime.get_or_init(|| module)
        }
    };
    module.bind(py).getattr(name)
}

/// The object for a struct that is a date or a time. None for others.
pub fn to_python<'py>(
    py: Python<'py>,
    name: Atom,
    term: Term<'_>,
) -> Result<Option<Bound<'py, PyAny>>> {
    let converted = if name == atoms::date() {
        let date = date_fields(term)?;
        datetime(py, "date")?.call1(date).map_err(refused(term))?
    } else if name == atoms::time() {
        let (hour, minute, second, micro) = time_fields(term)?;
        datetime(py, "time")?
            .call1((hour, minute, second, micro))
            .map_err(refused(term))?
    } else if name == atoms::naive_date_time() {
        moment(py, term, None)?
    } else if name == atoms::date_time() {
        let utc_offset: i32 = field(term, atoms::utc_offset())?;
        let std_offset: i32 = field(term, atoms::std_offset())?;
        for name in [atoms::time_zone(), atoms::zone_abbr()] {
            field::<&str>(term, name)?;
        }
        let offset = utc_offset
            .checked_add(std_offset)
            .ok_or_else(|| broken(term, atoms::utc_offset()))?;
        let zone = if offset == 0 {
            datetime(py, "timezone")?.getattr("utc")?
        } else {
            let delta = PyDelta::new(py, 0, offset, 0, true)?;
            datetime(py, "timezone")?
                .call1((delta,))
                .map_err(refused(term))?
        };
        moment(py, term, Some(zone))?
    } else {
        return Ok(None);
    };
    Ok(Some(converted))
}

/// For a struct that Python makes nothing of.
fn refused(term: Term<'_>) -> impl Fn(PyErr) -> Failure {
    move |error| out_of_range(error, &format!("this {}", shown(term)))
}

fn out_of_range(error: PyErr, what: &str) -> Failure {
    Python::attach(|py| {
        if error.is_instance_of::<pyo3::exceptions::PyValueError>(py)
            || error.is_instance_of::<PyOverflowError>(py)
        {
            let text = error.value(py);
            Unconvertible::new(format!("{what} is not valid in Python's datetime: {text}")).into()
        } else {
            error.into()
        }
    })
}

fn iso(term: Term<'_>) -> Result<()> {
    if field::<Atom>(term, atoms::calendar())? == atoms::iso() {
        Ok(())
    } else {
        Err(Unconvertible::new(format!(
            "this {} is of another calendar than Calendar.ISO, the only one with a counterpart",
            shown(term)
        ))
        .into())
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
    let (micro, precision): (i64, i64) = field(term, atoms::microsecond())?;
    if !(0..=6).contains(&precision) {
        return Err(broken(term, atoms::microsecond()));
    }
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
        .map_err(refused(term))
}

/// The term for a date or a time. None if it has no counterpart: a time of a zone, and a year that only
/// a subclass knows.
pub fn to_term<'py, 'a>(
    decoder: &Decoder<'py, 'a, '_>,
    object: &Bound<'py, PyAny>,
    kind: Kind,
) -> Result<Option<Term<'a>>> {
    let py = object.py();
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
    let moment = match kind {
        Kind::DateTime => {
            let aware = !object.call_method0("utcoffset")?.is_none();
            let object = if aware {
                let utc = datetime(py, "timezone")?.getattr("utc")?;
                &object
                    .call_method1("astimezone", (utc,))
                    .map_err(|error| out_of_range(error, "this"))?
            } else {
                object
            };
            Moment {
                date: Some(date(object)?),
                time: Some(time(object)?),
                utc: aware,
            }
        }
        Kind::Date => Moment {
            date: Some(date(object)?),
            time: None,
            utc: false,
        },
        Kind::Time if object.getattr("tzinfo")?.is_none() => Moment {
            date: None,
            time: Some(time(object)?),
            utc: false,
        },
        Kind::Time => return Ok(None),
    };
    if moment
        .date
        .is_some_and(|(year, ..)| !(1..=9999).contains(&year))
    {
        return Ok(None);
    }
    Ok(Some(moment.into_term(decoder.env(), decoder.is_erlang())))
}

/// A date: year, month and day; a time: hour, minute, second and µs; or both.
pub struct Moment {
    pub date: Option<(i64, i64, i64)>,
    pub time: Option<(i64, i64, i64, i64)>,
    pub utc: bool,
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

    pub fn into_struct(self, env: Env<'_>) -> Term<'_> {
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
