//! Times.

use crate::env::HostEnv;
use crate::number;
use crate::sequence;
use crate::word::{self, Word};
use std::ffi::c_int;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

const ERROR: i64 = i64::MIN;

/// How many of a unit are a second, of `ErlNifTimeUnit`.
fn per_second(unit: c_int) -> Option<i64> {
    [1, 1_000, 1_000_000, 1_000_000_000]
        .get(usize::try_from(unit).ok()?)
        .copied()
}

fn converted(value: i64, from: c_int, to: c_int) -> Option<i64> {
    let value = i128::from(value) * i128::from(per_second(to)?);
    value.div_euclid(per_second(from)?.into()).try_into().ok()
}

const NANOSECOND: c_int = 3;

fn nanoseconds(duration: Duration) -> i64 {
    duration.as_nanos().try_into().unwrap_or(i64::MAX)
}

static START: LazyLock<(Instant, SystemTime)> =
    LazyLock::new(|| (Instant::now(), SystemTime::now()));

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_monotonic_time(unit: c_int) -> i64 {
    converted(nanoseconds(START.0.elapsed()), NANOSECOND, unit).unwrap_or(ERROR)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_time_offset(unit: c_int) -> i64 {
    let offset = START.1.duration_since(SystemTime::UNIX_EPOCH);
    converted(nanoseconds(offset.unwrap_or_default()), NANOSECOND, unit).unwrap_or(ERROR)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_convert_time_unit(value: i64, from: c_int, to: c_int) -> i64 {
    converted(value, from, to).unwrap_or(ERROR)
}

/// A tuple of megaseconds, seconds and microseconds.
fn timestamp(env: &mut HostEnv, time: Duration) -> Word {
    let seconds = time.as_secs();
    let (slots, tuple) = sequence::tuple(env, 3);
    let parts = [
        seconds / 1_000_000,
        seconds % 1_000_000,
        time.subsec_micros().into(),
    ];
    for (index, part) in parts.into_iter().enumerate() {
        let part = number::of_u64(env, part);
        // SAFETY: a tuple of three.
        unsafe { *slots.add(index) = part };
    }
    tuple
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_now_time(env: *mut HostEnv) -> Word {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    timestamp(&mut *env, now.unwrap_or_default())
}

/// The time of the process is Python's to tell.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_cpu_time(env: *mut HostEnv) -> Word {
    crate::env::enif_make_badarg(env)
}

static UNIQUE: AtomicI64 = AtomicI64::new(1);

/// In this process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_unique_integer(_env: *mut HostEnv, _properties: c_int) -> Word {
    let number = UNIQUE.fetch_add(1, Ordering::Relaxed);
    word::small(number).unwrap_or(word::NIL)
}
