//! Iterators of maps.

use crate::env::HostEnv;
use crate::map;
use crate::word::{self, Kind, Word};
use std::ffi::{c_int, c_void};
use std::ptr;

/// What an `ErlNifMapIterator` is. Positions go from 0, before the first pair, to one more than there are.
#[repr(C)]
pub struct RawIterator {
    map: Word,
    position: usize,
    spare: [*mut c_void; 5],
}

const TAIL: c_int = 2;

impl RawIterator {
    unsafe fn pairs(&self) -> &[map::Pair] {
        map::pairs(word::pointer(self.map))
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_map_iterator_create(
    _env: *mut HostEnv,
    map: Word,
    iterator: *mut RawIterator,
    entry: c_int,
) -> c_int {
    let Some(boxed) = word::of_kind(map, Kind::Map) else {
        return 0;
    };
    iterator.write(RawIterator {
        map,
        position: if entry == TAIL { word::size(boxed) } else { 1 },
        spare: [ptr::null_mut(); 5],
    });
    1
}

/// Nothing is to be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_map_iterator_destroy(
    _env: *mut HostEnv,
    _iterator: *mut RawIterator,
) {
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_map_iterator_is_head(
    _env: *mut HostEnv,
    iterator: *mut RawIterator,
) -> c_int {
    c_int::from((*iterator).position == 0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_map_iterator_is_tail(
    _env: *mut HostEnv,
    iterator: *mut RawIterator,
) -> c_int {
    c_int::from((*iterator).position > (*iterator).pairs().len())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_map_iterator_next(
    _env: *mut HostEnv,
    iterator: *mut RawIterator,
) -> c_int {
    let iterator = &mut *iterator;
    let count = iterator.pairs().len();
    iterator.position = (iterator.position + 1).min(count + 1);
    c_int::from(iterator.position <= count)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_map_iterator_prev(
    _env: *mut HostEnv,
    iterator: *mut RawIterator,
) -> c_int {
    let iterator = &mut *iterator;
    iterator.position = iterator.position.saturating_sub(1);
    c_int::from(iterator.position > 0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_map_iterator_get_pair(
    _env: *mut HostEnv,
    iterator: *mut RawIterator,
    key: *mut Word,
    value: *mut Word,
) -> c_int {
    let iterator = &*iterator;
    let number = iterator.position.wrapping_sub(1);
    let Some([found, its]) = iterator.pairs().get(number) else {
        return 0;
    };
    *key = *found;
    *value = *its;
    1
}
