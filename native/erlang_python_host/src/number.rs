//! Integers and floats.

use crate::env::HostEnv;
use crate::word::{self, Kind, NEGATIVE, View, Word};
use std::ffi::{c_double, c_int, c_long, c_uint, c_ulong};
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A big integer: its sign, and its limbs, the lowest first.
#[derive(Clone, Copy)]
pub struct Big<'a> {
    pub negative: bool,
    pub limbs: &'a [u64],
}

/// How many limbs an integer may have, as in the VM before OTP 28.
static MOST_LIMBS: AtomicUsize = AtomicUsize::new((1 << 19) - 1);

/// Says how many bytes the largest integers of the VM have. It makes none beyond.
pub fn set_largest_integer(bytes: usize) {
    MOST_LIMBS.store(bytes / size_of::<u64>(), Ordering::Relaxed);
}

pub unsafe fn big<'a>(boxed: *const Word) -> Big<'a> {
    Big {
        negative: *boxed & NEGATIVE != 0,
        limbs: slice::from_raw_parts(boxed.add(1).cast(), word::size(boxed)),
    }
}

pub fn of_i64(env: &mut HostEnv, value: i64) -> Word {
    word::small(value).unwrap_or_else(|| of_big(env, value < 0, value.unsigned_abs()))
}

pub fn of_u64(env: &mut HostEnv, value: u64) -> Word {
    match i64::try_from(value) {
        Ok(value) => of_i64(env, value),
        Err(_) => of_big(env, false, value),
    }
}

fn of_big(env: &mut HostEnv, negative: bool, limb: u64) -> Word {
    of_bytes(env, negative, &limb.to_le_bytes()).unwrap_or(word::NIL)
}

/// An integer of any size: the bytes of its magnitude, the lowest first. None if it is too large.
pub fn of_bytes(env: &mut HostEnv, negative: bool, bytes: &[u8]) -> Option<Word> {
    let length = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    let bytes = &bytes[..length];
    if length <= 8 {
        let mut limb = [0; 8];
        limb[..length].copy_from_slice(bytes);
        let magnitude = i128::from(u64::from_le_bytes(limb));
        let value = if negative { -magnitude } else { magnitude };
        if let Some(small) = i64::try_from(value).ok().and_then(word::small) {
            return Some(small);
        }
    }
    let limbs = length.div_ceil(8);
    if limbs > MOST_LIMBS.load(Ordering::Relaxed) {
        return None;
    }
    let boxed = env.boxed(Kind::Big, limbs, limbs);
    // SAFETY: so many limbs were given; the last is written first, as the bytes may not fill it.
    unsafe {
        if negative {
            *boxed |= NEGATIVE;
        }
        *boxed.add(limbs) = 0;
        // Little-endian, as all that Python and the VM run on with this library.
        boxed
            .add(1)
            .cast::<u8>()
            .copy_from_nonoverlapping(bytes.as_ptr(), length);
    }
    Some(word::boxed(boxed))
}

/// None if it is not finite.
#[inline]
pub fn of_f64(env: &mut HostEnv, value: f64) -> Option<Word> {
    value
        .is_finite()
        .then(|| env.boxed_word(Kind::Float, value.to_bits() as Word))
}

pub unsafe fn float(boxed: *const Word) -> f64 {
    f64::from_bits(*boxed.add(1) as u64)
}

#[inline]
unsafe fn as_i64(term: Word) -> Option<i64> {
    if word::is_small(term) {
        return Some(word::value(term));
    }
    let Big { negative, limbs } = big(word::of_kind(term, Kind::Big)?);
    let [limb] = limbs else {
        return None;
    };
    let magnitude = i128::from(*limb);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

unsafe fn as_u64(term: Word) -> Option<u64> {
    if word::is_small(term) {
        return u64::try_from(word::value(term)).ok();
    }
    match big(word::of_kind(term, Kind::Big)?) {
        Big {
            negative: false,
            limbs: [limb],
        } => Some(*limb),
        _ => None,
    }
}

unsafe fn give<T>(value: Option<T>, to: *mut T) -> c_int {
    let Some(value) = value else {
        return 0;
    };
    *to = value;
    1
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_get_int(_env: *mut HostEnv, term: Word, to: *mut c_int) -> c_int {
    give(as_i64(term).and_then(|value| value.try_into().ok()), to)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_get_uint(_env: *mut HostEnv, term: Word, to: *mut c_uint) -> c_int {
    give(as_i64(term).and_then(|value| value.try_into().ok()), to)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_get_long(_env: *mut HostEnv, term: Word, to: *mut c_long) -> c_int {
    give(as_i64(term), to.cast::<i64>())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_get_ulong(_env: *mut HostEnv, term: Word, to: *mut c_ulong) -> c_int {
    give(as_u64(term), to.cast::<u64>())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_get_double(
    _env: *mut HostEnv,
    term: Word,
    to: *mut c_double,
) -> c_int {
    give(
        word::of_kind(term, Kind::Float).map(|boxed| float(boxed)),
        to,
    )
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_int(_env: *mut HostEnv, value: c_int) -> Word {
    word::small_of(value)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_uint(env: *mut HostEnv, value: c_uint) -> Word {
    of_i64(&mut *env, value.into())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_long(env: *mut HostEnv, value: c_long) -> Word {
    of_i64(&mut *env, value)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_ulong(env: *mut HostEnv, value: c_ulong) -> Word {
    of_u64(&mut *env, value)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_double(env: *mut HostEnv, value: c_double) -> Word {
    match of_f64(&mut *env, value) {
        Some(float) => float,
        None => crate::env::enif_make_badarg(env),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_is_number(_env: *mut HostEnv, term: Word) -> c_int {
    c_int::from(matches!(
        word::view(term),
        View::Small(_) | View::Boxed(Kind::Big | Kind::Float, _)
    ))
}
