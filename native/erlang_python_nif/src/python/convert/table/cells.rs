//! Cells of a table that are structs or large numbers in Elixir.

use super::types::Unit;
use crate::base::atoms;
use crate::python::convert::structs::{self, Moment, map};
use crate::python::convert::{Failure, Unconvertible, integer};
use rustler::{Encoder as _, Env, Term};

type Result<T> = std::result::Result<T, Failure>;

const DAY: i64 = 86_400;

/// What Elixir's calendar has, in years.
const YEARS: std::ops::RangeInclusive<i64> = -9_999..=9_999;

/// Since 1970, as `~D[…]`.
pub fn date(env: Env<'_>, days: i64) -> Result<Term<'_>> {
    let moment = Moment {
        date: Some(day(days)?),
        time: None,
        utc: false,
    };
    Ok(moment.into_struct(env))
}

/// Since midnight, as `~T[…]`.
pub fn time(env: Env<'_>, value: i64, Unit(unit): Unit) -> Result<Term<'_>> {
    let seconds = value.div_euclid(unit);
    if !(0..DAY).contains(&seconds) {
        return Err(refused("a time of more than 24 hours"));
    }
    let moment = Moment {
        date: None,
        time: Some(clock(seconds, value.rem_euclid(unit), unit)),
        utc: false,
    };
    Ok(moment.into_struct(env))
}

/// Since 1970, as `~N[…]` or `~U[…]`. What is less than a µs is dropped.
pub fn moment(env: Env<'_>, value: i64, Unit(unit): Unit, utc: bool) -> Result<Term<'_>> {
    let seconds = value.div_euclid(unit);
    let moment = Moment {
        date: Some(day(seconds.div_euclid(DAY))?),
        time: Some(clock(seconds.rem_euclid(DAY), value.rem_euclid(unit), unit)),
        utc,
    };
    Ok(moment.into_struct(env))
}

/// A duration in another unit, rounded down.
pub fn span(value: i64, Unit(from): Unit, Unit(to): Unit) -> Option<i64> {
    if to >= from {
        value.checked_mul(to / from)
    } else {
        Some(value.div_euclid(from / to))
    }
}

/// An interval in ns: its months and days, 4 bytes each, and the rest. A month is no number of days.
pub fn interval(date: i64, rest: i64) -> Result<i64> {
    let bytes = date.to_ne_bytes();
    let [months, days] = [0, 4]
        .map(|at| i32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]));
    if months != 0 {
        return Err(Unconvertible::new(
            "an interval with months has no counterpart in Elixir; cast the column in Python, for instance to days",
        )
        .into());
    }
    (i64::from(days) * DAY)
        .checked_mul(1_000_000_000)
        .and_then(|days| days.checked_add(rest))
        .ok_or_else(|| Unconvertible::new("this interval is too long").into())
}

fn clock(seconds: i64, fraction: i64, unit: i64) -> (i64, i64, i64, i64) {
    let micros = span(fraction, Unit(unit), Unit(1_000_000)).unwrap_or_default();
    (seconds / 3_600, seconds / 60 % 60, seconds % 60, micros)
}

/// Year, month and day of a day since 1970, in the proleptic Gregorian calendar.
fn day(days: i64) -> Result<(i64, i64, i64)> {
    // Years that begin in March, in eras of 400 years: leap days come last.
    let days = days.checked_add(719_468).ok_or_else(|| refused("a date"))?;
    let (era, rest) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (rest - rest / 1_460 + rest / 36_524 - rest / 146_096) / 365;
    let rest = rest - (365 * year + year / 4 - year / 100);
    let month = (5 * rest + 2) / 153;
    let day = rest - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    if YEARS.contains(&year) {
        Ok((year, month, day))
    } else {
        Err(refused("a date"))
    }
}

fn refused(what: &str) -> Failure {
    Unconvertible::new(format!("{what} is beyond those of Elixir's calendar")).into()
}

/// A decimal, of the bytes of its coefficient in two's complement, the lowest first. An integer if it has no fraction.
pub fn decimal<'a>(env: Env<'a>, bytes: &[u8], scale: i32) -> Result<Term<'a>> {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let magnitude = if negative {
        negated(bytes)
    } else {
        bytes.to_vec()
    };
    if scale == 0 {
        return Ok(integer::from_magnitude(env, negative, &magnitude));
    }
    if !structs::has_decimal() {
        return Err(Unconvertible::new(
            "a decimal needs the package decimal in Elixir, which is not loaded; add it to the dependencies, or cast the \
             column to float64 in Python",
        )
        .into());
    }
    let sign = if negative { -1i64 } else { 1 };
    let coef = integer::from_magnitude(env, false, &magnitude);
    Ok(map(
        env,
        &[
            (atoms::__struct__(), atoms::decimal().to_term(env)),
            (atoms::sign(), sign.encode(env)),
            (atoms::coef(), coef),
            (atoms::exp(), (-i64::from(scale)).encode(env)),
        ],
    ))
}

fn negated(bytes: &[u8]) -> Vec<u8> {
    let mut carry = true;
    bytes
        .iter()
        .map(|byte| {
            let (sum, over) = (!byte).overflowing_add(u8::from(carry));
            carry = over;
            sum
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_dates() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (19_782, (2024, 2, 29)),
            (19_783, (2024, 3, 1)),
            (-719_162, (1, 1, 1)),
            (-719_163, (0, 12, 31)),
            (2_932_896, (9999, 12, 31)),
        ] {
            assert_eq!(day(days).ok(), Some(date));
        }
        for days in [2_932_897, i64::MAX, i64::MIN] {
            assert!(day(days).is_err());
        }
    }

    #[test]
    fn spans_change_their_unit() {
        assert_eq!(span(1_500, Unit(1_000), Unit(1_000_000)), Some(1_500_000));
        assert_eq!(span(-1, Unit(1_000_000_000), Unit(1_000_000)), Some(-1));
        assert_eq!(span(i64::MAX, Unit(1), Unit(1_000)), None);
    }

    #[test]
    fn numbers_change_their_sign() {
        assert_eq!(negated(&[1, 0]), [0xff, 0xff]);
        assert_eq!(negated(&[0, 0xff]), [0, 1]);
        assert_eq!(negated(&[0, 0]), [0, 0]);
    }
}
