//! Maps from their keys and values.

use crate::base::side;
use rustler::sys::{
    ErlNifTerm, enif_make_map_from_arrays, enif_make_map_put, enif_make_new_map, enif_thread_type,
};
use rustler::{Env, Term};
use std::mem::MaybeUninit;

/// Maps up to this size are plain arrays in the VM.
const FLAT: usize = 32;

/// A map of these. None if keys are known to be the same: of more than 32 keys, those that are the
/// same are not noticed, and the map is smaller.
///
/// # Safety
///
/// Keys and values are terms of `env`.
pub unsafe fn from_arrays<'a>(
    env: Env<'a>,
    keys: &[ErlNifTerm],
    values: &[ErlNifTerm],
) -> Option<Term<'a>> {
    assert_eq!(keys.len(), values.len());
    // SAFETY: no preconditions.
    let own_thread = || unsafe { enif_thread_type() } == 0;
    if keys.len() > FLAT && !side::is_worker() && own_thread() {
        // SAFETY: as this function demands.
        return unsafe { one_by_one(env, keys, values) };
    }
    let mut map = MaybeUninit::uninit();
    // SAFETY: terms of this environment, of one length; the map is written on success.
    unsafe {
        let made = enif_make_map_from_arrays(
            env.as_c_arg(),
            keys.as_ptr(),
            values.as_ptr(),
            keys.len(),
            map.as_mut_ptr(),
        );
        (made != 0).then(|| Term::new(env, map.assume_init()))
    }
}

/// For threads of the VM's process that are not the VM's. `enif_make_map_from_arrays` sorts many keys with the help of a
/// random number from its scheduler: without one it reads at address 0 (OTP 25, from 129 keys on).
///
/// This takes twice the time, and leaves some hundred bytes a key behind in the environment.
unsafe fn one_by_one<'a>(
    env: Env<'a>,
    keys: &[ErlNifTerm],
    values: &[ErlNifTerm],
) -> Option<Term<'a>> {
    // SAFETY: a valid environment.
    let mut map = unsafe { enif_make_new_map(env.as_c_arg()) };
    for (&key, &value) in keys.iter().zip(values) {
        let mut next = MaybeUninit::uninit();
        // SAFETY: terms of this environment, the first of them a map; written on success.
        map = unsafe {
            let put = enif_make_map_put(env.as_c_arg(), map, key, value, next.as_mut_ptr());
            if put == 0 {
                return None;
            }
            next.assume_init()
        };
    }
    // SAFETY: a term of this environment.
    Some(unsafe { Term::new(env, map) })
}
