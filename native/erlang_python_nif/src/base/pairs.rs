//! The pairs of a map, one after the other.

use rustler::{Term, sys};
use std::mem::MaybeUninit;

/// The pairs of a map.
pub struct Pairs<'a> {
    env: rustler::Env<'a>,
    raw: sys::ErlNifMapIterator,
}

impl<'a> Pairs<'a> {
    /// `map` must be a map.
    pub fn new(map: Term<'a>) -> Self {
        let env = map.get_env();
        let mut raw = MaybeUninit::uninit();
        // SAFETY: a valid map of a valid environment; the iterator is written when that is so.
        let created = unsafe {
            sys::enif_map_iterator_create(
                env.as_c_arg(),
                map.as_c_arg(),
                raw.as_mut_ptr(),
                sys::ErlNifMapIteratorEntry::ERL_NIF_MAP_ITERATOR_HEAD,
            )
        };
        assert_ne!(created, 0, "not a map");
        Pairs {
            env,
            // SAFETY: just created.
            raw: unsafe { raw.assume_init() },
        }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Term<'a>, Term<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (mut key, mut value) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        let env = self.env.as_c_arg();
        // SAFETY: the iterator is valid; key and value are written when there is a pair.
        unsafe {
            if sys::enif_map_iterator_get_pair(
                env,
                &mut self.raw,
                key.as_mut_ptr(),
                value.as_mut_ptr(),
            ) == 0
            {
                return None;
            }
            sys::enif_map_iterator_next(env, &mut self.raw);
            Some((
                Term::new(self.env, key.assume_init()),
                Term::new(self.env, value.assume_init()),
            ))
        }
    }
}

impl Drop for Pairs<'_> {
    fn drop(&mut self) {
        // SAFETY: created in `new`, destroyed once.
        unsafe { sys::enif_map_iterator_destroy(self.env.as_c_arg(), &mut self.raw) }
    }
}
