//! Maps: pairs in the order in which they were put in, and an index of large ones that are built here. One that was
//! read or copied has none: most are only gone through.
//!
//! A map is a view of the first pairs of a table. What puts a new key into the newest view appends to the table, so
//! that a map can be built key by key.

use crate::compare::identical;
use crate::env::HostEnv;
use crate::hash;
use crate::sequence::array;
use crate::word::{self, Kind, Word};
use std::ffi::c_int;
use std::slice;

pub type Pair = [Word; 2];

/// Smaller maps are searched pair by pair.
const INDEXED: usize = 12;

/// In the arena, as are the pairs and the index.
struct Table {
    pairs: *mut Pair,
    capacity: usize,
    used: usize,
    /// Slots: the upper half of the hash, which also says where to begin, and the number of the pair plus one; 0 if
    /// free. Null if there is no index.
    slots: *mut u64,
    mask: usize,
}

const TABLE_WORDS: usize = size_of::<Table>() / size_of::<Word>();

impl Table {
    fn new(env: &mut HostEnv, capacity: usize) -> *mut Table {
        let table = Self::without_index(env, capacity);
        // SAFETY: just made.
        unsafe { (*table).make_index(env) };
        table
    }

    /// One that has no pair yet gets an index, if it is to be large.
    fn make_index(&mut self, env: &mut HostEnv) {
        if self.capacity <= INDEXED {
            return;
        }
        let count = (2 * self.capacity).next_power_of_two();
        self.slots = env.arena.words(count).cast::<u64>();
        self.mask = count - 1;
        // SAFETY: so many were given.
        unsafe { self.slots.write_bytes(0, count) };
    }

    /// In which a key is searched pair by pair.
    fn without_index(env: &mut HostEnv, capacity: usize) -> *mut Table {
        let table: *mut Table = env.arena.words(TABLE_WORDS + 2 * capacity).cast();
        let new = Table {
            // SAFETY: within what was given.
            pairs: unsafe { table.add(1).cast() },
            capacity,
            used: 0,
            slots: std::ptr::null_mut(),
            mask: 0,
        };
        // SAFETY: so much room was given.
        unsafe { table.write(new) };
        table
    }

    /// The pair of this key among the first `count`.
    unsafe fn find(&self, count: usize, key: Word, hash: u64) -> Option<usize> {
        if self.slots.is_null() {
            return find_among(slice::from_raw_parts(self.pairs, count), key);
        }
        let mut slot = (hash >> 32) as usize & self.mask;
        loop {
            let entry = *self.slots.add(slot);
            if entry == 0 {
                return None;
            }
            let number = number_of(entry);
            if entry >> 32 == hash >> 32
                && number < count
                && identical((*self.pairs.add(number))[0], key)
            {
                return Some(number);
            }
            slot = (slot + 1) & self.mask;
        }
    }

    /// Adds the pair that stands at `used` to the index, and counts it.
    unsafe fn add(&mut self, hash: u64) {
        if !self.slots.is_null() {
            self.index(hash >> 32 << 32 | (self.used as u64 + 1));
        }
        self.used += 1;
    }

    unsafe fn index(&mut self, entry: u64) {
        let mut slot = (entry >> 32) as usize & self.mask;
        while *self.slots.add(slot) != 0 {
            slot = (slot + 1) & self.mask;
        }
        *self.slots.add(slot) = entry;
    }

    unsafe fn hash_of(&self, key: Word) -> u64 {
        if self.slots.is_null() {
            0
        } else {
            hash::term(key)
        }
    }
}

/// The number of the pair that an entry of the index is of.
fn number_of(entry: u64) -> usize {
    (entry & u64::from(u32::MAX)) as usize - 1
}

unsafe fn find_among(pairs: &[Pair], key: Word) -> Option<usize> {
    let same = pairs.iter().position(|pair| pair[0] == key);
    if same.is_some() || word::is_immediate(key) {
        return same;
    }
    pairs.iter().position(|pair| identical(pair[0], key))
}

/// How many pairs an index can count.
const MOST: usize = u32::MAX as usize - 1;

/// A map in the making: room for pairs, of which all are to be written before it is finished.
#[derive(Clone, Copy)]
pub struct Unfinished(*mut Table);

impl Unfinished {
    /// None if there are too many.
    pub fn new(env: &mut HostEnv, capacity: usize) -> Option<Self> {
        (capacity <= MOST).then(|| Unfinished(Table::without_index(env, capacity)))
    }

    /// Keys and values, by turns.
    pub fn slots(self) -> *mut Word {
        // SAFETY: a table of the environment.
        unsafe { (*self.0).pairs.cast() }
    }

    /// The map of all pairs. None if a key is there twice.
    pub unsafe fn finish(self, env: &mut HostEnv) -> Option<Word> {
        let table = &mut *self.0;
        table.make_index(env);
        for number in 0..table.capacity {
            let key = (*table.pairs.add(number))[0];
            let hash = table.hash_of(key);
            if table.find(number, key, hash).is_some() {
                return None;
            }
            table.add(hash);
        }
        Some(view(env, self.0, table.capacity))
    }

    /// The same of keys that are known to be different, as those of a map are. They may be written later.
    pub unsafe fn finish_different(self, env: &mut HostEnv) -> Word {
        let table = &mut *self.0;
        table.used = table.capacity;
        view(env, self.0, table.capacity)
    }
}

fn view(env: &mut HostEnv, table: *mut Table, count: usize) -> Word {
    let boxed = env.boxed(Kind::Map, count, 1);
    // SAFETY: so much room was given.
    unsafe { *boxed.add(1) = table as Word };
    word::boxed(boxed)
}

unsafe fn table_of(boxed: *const Word) -> *mut Table {
    *boxed.add(1) as *mut Table
}

pub unsafe fn pairs<'a>(boxed: *const Word) -> &'a [Pair] {
    slice::from_raw_parts((*table_of(boxed)).pairs, word::size(boxed))
}

pub unsafe fn get(boxed: *const Word, key: Word) -> Option<Word> {
    let number = position(boxed, key)?;
    Some((*(*table_of(boxed)).pairs.add(number))[1])
}

unsafe fn position(boxed: *const Word, key: Word) -> Option<usize> {
    let table = &*table_of(boxed);
    table.find(word::size(boxed), key, table.hash_of(key))
}

/// The map with one pair more, or with another value of the key.
pub unsafe fn put(env: &mut HostEnv, boxed: *const Word, key: Word, value: Word) -> Word {
    let count = word::size(boxed);
    let mut table = table_of(boxed);
    let mut hash = (*table).hash_of(key);
    if let Some(number) = (*table).find(count, key, hash) {
        let copy = copied(env, boxed, count);
        (*(*copy).pairs.add(number))[1] = value;
        return view(env, copy, count);
    }
    if (*table).used != count || (*table).capacity == count {
        let had_hashes = !(*table).slots.is_null();
        table = copied(env, boxed, (2 * count).max(4));
        if !had_hashes {
            hash = (*table).hash_of(key);
        }
    }
    *(*table).pairs.add(count) = [key, value];
    (*table).add(hash);
    view(env, table, count + 1)
}

/// A table of its own, with more room.
unsafe fn copied(env: &mut HostEnv, boxed: *const Word, capacity: usize) -> *mut Table {
    let table = Table::new(env, capacity);
    let (old, new) = (&*table_of(boxed), &mut *table);
    let pairs = pairs(boxed);
    new.pairs
        .copy_from_nonoverlapping(pairs.as_ptr(), pairs.len());
    if old.slots.is_null() {
        for pair in pairs {
            let hash = new.hash_of(pair[0]);
            new.add(hash);
        }
        return table;
    }
    for entry in slice::from_raw_parts(old.slots, old.mask + 1) {
        // The table may have pairs that are none of this map.
        if *entry != 0 && number_of(*entry) < pairs.len() {
            new.index(*entry);
        }
    }
    new.used = pairs.len();
    table
}

pub unsafe fn of_arrays(env: &mut HostEnv, keys: &[Word], values: &[Word]) -> Option<Word> {
    let unfinished = Unfinished::new(env, keys.len())?;
    let slots: *mut Pair = unfinished.slots().cast();
    for (number, (key, value)) in keys.iter().zip(values).enumerate() {
        *slots.add(number) = [*key, *value];
    }
    unfinished.finish(env)
}

unsafe fn boxed(term: Word) -> Option<*const Word> {
    word::of_kind(term, Kind::Map)
}

unsafe fn give(term: Option<Word>, to: *mut Word) -> c_int {
    let Some(term) = term else {
        return 0;
    };
    *to = term;
    1
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_is_map(_env: *mut HostEnv, term: Word) -> c_int {
    c_int::from(boxed(term).is_some())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_get_map_size(
    _env: *mut HostEnv,
    term: Word,
    size: *mut usize,
) -> c_int {
    give(boxed(term).map(|map| word::size(map)), size)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_new_map(env: *mut HostEnv) -> Word {
    let table = Table::new(&mut *env, 0);
    view(&mut *env, table, 0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_get_map_value(
    _env: *mut HostEnv,
    map: Word,
    key: Word,
    value: *mut Word,
) -> c_int {
    give(boxed(map).and_then(|map| get(map, key)), value)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_map_put(
    env: *mut HostEnv,
    map: Word,
    key: Word,
    value: Word,
    new: *mut Word,
) -> c_int {
    give(boxed(map).map(|map| put(&mut *env, map, key, value)), new)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_map_update(
    env: *mut HostEnv,
    map: Word,
    key: Word,
    value: Word,
    new: *mut Word,
) -> c_int {
    let map = boxed(map).filter(|map| position(*map, key).is_some());
    give(map.map(|map| put(&mut *env, map, key, value)), new)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_map_remove(
    env: *mut HostEnv,
    map: Word,
    key: Word,
    new: *mut Word,
) -> c_int {
    let Some(old) = boxed(map) else {
        return 0;
    };
    let Some(number) = position(old, key) else {
        return give(Some(map), new);
    };
    let pairs = pairs(old);
    let Some(unfinished) = Unfinished::new(&mut *env, pairs.len() - 1) else {
        return 0;
    };
    let slots: *mut Pair = unfinished.slots().cast();
    let left = pairs[..number].iter().chain(&pairs[number + 1..]);
    for (number, pair) in left.enumerate() {
        *slots.add(number) = *pair;
    }
    give(Some(unfinished.finish_different(&mut *env)), new)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_map_from_arrays(
    env: *mut HostEnv,
    keys: *const Word,
    values: *const Word,
    count: usize,
    map: *mut Word,
) -> c_int {
    let (keys, values) = (array(keys, count), array(values, count));
    give(of_arrays(&mut *env, keys, values), map)
}
