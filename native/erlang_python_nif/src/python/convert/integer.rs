//! Integers beyond 64 bits, by way of the external term format: the NIF interface has no other.

use erlang_python_wire::tag::{LARGE_BIG, SMALL_BIG, VERSION};
use pyo3::prelude::*;
use rustler::{Encoder, Env, OwnedBinary, Term};

/// The sign and the little-endian magnitude of a big integer in the external term format.
fn magnitude(encoded: &[u8]) -> Option<(bool, &[u8])> {
    let (sign, digits) = match encoded {
        [VERSION, SMALL_BIG, _, sign, digits @ ..] => (sign, digits),
        [VERSION, LARGE_BIG, _, _, _, _, sign, digits @ ..] => (sign, digits),
        _ => return None,
    };
    Some((*sign != 0, digits))
}

/// The external term format of a big integer. None if it has more bytes than the format can say.
fn encoded(negative: bool, digits: &[u8]) -> Option<Vec<u8>> {
    let mut encoded = Vec::with_capacity(digits.len() + 7);
    encoded.push(VERSION);
    if let Ok(length) = u8::try_from(digits.len()) {
        encoded.extend([SMALL_BIG, length]);
    } else {
        let length = u32::try_from(digits.len()).ok()?;
        encoded.push(LARGE_BIG);
        encoded.extend(length.to_be_bytes());
    }
    encoded.push(negative.into());
    encoded.extend(digits);
    Some(encoded)
}

/// A big integer as a Python `int`.
pub fn to_python<'py>(py: Python<'py>, term: Term<'_>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let binary: OwnedBinary = term.to_binary();
    let Some((negative, digits)) = magnitude(binary.as_slice()) else {
        return Ok(None);
    };
    let int = py.get_type::<pyo3::types::PyInt>();
    let value = int.call_method1("from_bytes", (digits, "little"))?;
    if negative {
        value.neg().map(Some)
    } else {
        Ok(Some(value))
    }
}

/// How many bytes a Python `int` takes, roughly.
pub fn size(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    let int = value.py().get_type::<pyo3::types::PyInt>();
    let bits: usize = int.call_method1("bit_length", (value,))?.extract()?;
    Ok(bits / 8)
}

/// A Python `int` of any size as a term. None if the VM has no integers of that size.
pub fn to_term<'a>(env: Env<'a>, value: &Bound<'_, PyAny>) -> PyResult<Option<Term<'a>>> {
    // The methods of `int` itself: a subclass may have others of these names.
    let int = value.py().get_type::<pyo3::types::PyInt>();
    let negative = int.call_method1("__lt__", (value, 0))?.extract()?;
    let value = int.call_method1("__abs__", (value,))?;
    let bits: usize = int.call_method1("bit_length", (&value,))?.extract()?;
    let digits = int.call_method1("to_bytes", (&value, bits.div_ceil(8), "little"))?;
    let Some(encoded) = encoded(negative, digits.extract()?) else {
        return Ok(None);
    };
    Ok(env.binary_to_term(&encoded).map(|(term, _)| term))
}

/// An integer of its sign and the bytes of its magnitude, the lowest first.
pub fn from_magnitude<'a>(env: Env<'a>, negative: bool, bytes: &[u8]) -> Term<'a> {
    let digits = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    let bytes = &bytes[..digits];
    let mut low = [0; 16];
    if let Some(place) = low.get_mut(..digits) {
        place.copy_from_slice(bytes);
        let value = i128::from_le_bytes(low);
        let value = if negative {
            value.wrapping_neg()
        } else {
            value
        };
        if let Ok(value) = i64::try_from(value) {
            return value.encode(env);
        }
    }
    let encoded = encoded(negative, bytes).unwrap_or_default();
    env.binary_to_term(&encoded)
        .map_or_else(|| 0.encode(env), |(term, _)| term)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_read_back() {
        for length in [1, 8, 9, 255, 256, 70_000] {
            let digits = vec![7u8; length];
            for negative in [false, true] {
                let encoded = encoded(negative, &digits).expect("it fits");
                assert_eq!(magnitude(&encoded), Some((negative, digits.as_slice())));
            }
        }
    }

    #[test]
    fn other_terms_are_no_big_integers() {
        assert_eq!(magnitude(&[131, 97, 5]), None);
        assert_eq!(magnitude(&[]), None);
    }
}
