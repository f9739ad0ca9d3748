//! Atoms: a table for the whole process, which only grows. It is read without a lock.

use crate::env::HostEnv;
use crate::hash;
use crate::vm;
use crate::word::{self, View, Word};
use std::ffi::{CStr, c_char, c_int, c_uint};
use std::slice;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, PoisonError};

/// How many characters an atom may have.
const LONGEST: usize = 255;

struct Entry {
    hash: u64,
    index: usize,
    name: Box<str>,
}

/// Open addressing, at most half full. A larger one takes its place; the old one stays, for those who read it.
struct Table {
    slots: Box<[AtomicPtr<Entry>]>,
    /// The one before it.
    _old: Option<&'static Table>,
}

static TABLE: AtomicPtr<Table> = AtomicPtr::new(std::ptr::null_mut());
/// How many there are. Held while one is added.
static COUNT: Mutex<usize> = Mutex::new(0);

/// By index: segments of 1024, 2048, 4096…
static SEGMENTS: [AtomicPtr<AtomicPtr<Entry>>; 32] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; 32];
const FIRST_SEGMENT: usize = 1024;

impl Table {
    fn new(size: usize, old: Option<&'static Table>) -> Self {
        Table {
            _old: old,
            slots: (0..size).map(|_| AtomicPtr::default()).collect(),
        }
    }

    /// The entry of this name, or the slot that it belongs into.
    fn find(&self, hash: u64, name: &str) -> Result<&'static Entry, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let entry = self.slots[slot].load(Ordering::Acquire);
            // SAFETY: entries are never freed.
            match unsafe { entry.as_ref() } {
                None => return Err(slot),
                Some(entry) if entry.hash == hash && &*entry.name == name => return Ok(entry),
                Some(_) => slot = (slot + 1) & mask,
            }
        }
    }
}

fn table() -> Option<&'static Table> {
    // SAFETY: tables are never freed.
    unsafe { TABLE.load(Ordering::Acquire).as_ref() }
}

/// The atom of this name, if there is one here.
pub fn find(name: &str) -> Option<Word> {
    let entry = table()?.find(hash::bytes(name.as_bytes()), name).ok()?;
    Some(word::atom(entry.index))
}

/// The atom of this name. None if it is too long.
pub fn intern(name: &str) -> Option<Word> {
    if let Some(atom) = find(name) {
        return Some(atom);
    }
    if name.len() > LONGEST && name.chars().count() > LONGEST {
        return None;
    }
    let hash = hash::bytes(name.as_bytes());
    let mut count = COUNT.lock().unwrap_or_else(PoisonError::into_inner);
    let table = match table() {
        Some(table) if *count < table.slots.len() / 2 => table,
        old => grown(old),
    };
    let slot = match table.find(hash, name) {
        Ok(entry) => return Some(word::atom(entry.index)),
        Err(slot) => slot,
    };
    let entry: &'static mut Entry = Box::leak(Box::new(Entry {
        hash,
        index: *count,
        name: name.into(),
    }));
    let entry: *mut Entry = entry;
    // First: whoever finds the atom may ask for its name.
    slot_of(*count, true)?.store(entry, Ordering::Release);
    table.slots[slot].store(entry, Ordering::Release);
    let atom = word::atom(*count);
    *count += 1;
    Some(atom)
}

/// A table of twice the size, in its place. `COUNT` is held.
fn grown(old: Option<&'static Table>) -> &'static Table {
    let size = old.map_or(2 * FIRST_SEGMENT, |old| 2 * old.slots.len());
    let new = Table::new(size, old);
    for slot in old.iter().flat_map(|old| old.slots.iter()) {
        let entry = slot.load(Ordering::Relaxed);
        // SAFETY: entries are never freed.
        if let Some(found) = unsafe { entry.as_ref() }
            && let Err(slot) = new.find(found.hash, &found.name)
        {
            new.slots[slot].store(entry, Ordering::Relaxed);
        }
    }
    let new: &'static mut Table = Box::leak(Box::new(new));
    TABLE.store(new, Ordering::Release);
    new
}

/// Where the entry of an index is.
fn slot_of(index: usize, make: bool) -> Option<&'static AtomicPtr<Entry>> {
    let number = (index / FIRST_SEGMENT + 1).ilog2() as usize;
    let start = FIRST_SEGMENT * ((1 << number) - 1);
    let segment = SEGMENTS.get(number)?;
    let mut slots = segment.load(Ordering::Acquire);
    if slots.is_null() {
        if !make {
            return None;
        }
        let new: Box<[AtomicPtr<Entry>]> = (0..FIRST_SEGMENT << number)
            .map(|_| AtomicPtr::default())
            .collect();
        slots = Box::leak(new).as_mut_ptr();
        segment.store(slots, Ordering::Release);
    }
    // SAFETY: the segment has so many slots, and is never freed.
    Some(unsafe { &*slots.add(index - start) })
}

/// The name of an atom by its index.
pub fn name(index: usize) -> &'static str {
    // SAFETY: entries are never freed.
    slot_of(index, false)
        .and_then(|slot| unsafe { slot.load(Ordering::Acquire).as_ref() })
        .map_or("", |entry| &entry.name)
}

/// The atom of this name, if it is one here or in the VM.
pub fn existing(name: &str) -> Option<Word> {
    find(name).or_else(|| vm::is_atom(name).then(|| intern(name)).flatten())
}

/// How C says which characters the bytes are.
const LATIN1: c_int = 1;
const UTF8: c_int = 2;

unsafe fn text(name: *const c_char, length: usize, encoding: c_int) -> Option<String> {
    let bytes = slice::from_raw_parts(name.cast::<u8>(), length);
    match encoding {
        LATIN1 => Some(bytes.iter().map(|&byte| char::from(byte)).collect()),
        UTF8 => std::str::from_utf8(bytes).ok().map(str::to_owned),
        _ => None,
    }
}

unsafe fn name_of(term: Word) -> Option<&'static str> {
    match word::view(term) {
        View::Atom(index) => Some(name(index)),
        _ => None,
    }
}

/// The name in an encoding. None if it cannot be written in it.
fn encoded(name: &str, encoding: c_int) -> Option<Vec<u8>> {
    match encoding {
        LATIN1 => name.chars().map(|char| u8::try_from(char).ok()).collect(),
        UTF8 => Some(name.as_bytes().to_vec()),
        _ => None,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_is_atom(_env: *mut HostEnv, term: Word) -> c_int {
    c_int::from(word::is_atom(term))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_atom(env: *mut HostEnv, name: *const c_char) -> Word {
    enif_make_atom_len(env, name, CStr::from_ptr(name).count_bytes())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_atom_len(
    env: *mut HostEnv,
    name: *const c_char,
    length: usize,
) -> Word {
    match text(name, length, LATIN1).and_then(|name| intern(&name)) {
        Some(atom) => atom,
        None => crate::env::enif_make_badarg(env),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_new_atom(
    env: *mut HostEnv,
    name: *const c_char,
    atom: *mut Word,
    encoding: c_int,
) -> c_int {
    enif_make_new_atom_len(
        env,
        name,
        CStr::from_ptr(name).count_bytes(),
        atom,
        encoding,
    )
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_new_atom_len(
    _env: *mut HostEnv,
    name: *const c_char,
    length: usize,
    atom: *mut Word,
    encoding: c_int,
) -> c_int {
    give(
        text(name, length, encoding).and_then(|name| intern(&name)),
        atom,
    )
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_existing_atom(
    env: *mut HostEnv,
    name: *const c_char,
    atom: *mut Word,
    encoding: c_int,
) -> c_int {
    enif_make_existing_atom_len(
        env,
        name,
        CStr::from_ptr(name).count_bytes(),
        atom,
        encoding,
    )
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_existing_atom_len(
    _env: *mut HostEnv,
    name: *const c_char,
    length: usize,
    atom: *mut Word,
    encoding: c_int,
) -> c_int {
    give(
        text(name, length, encoding).and_then(|name| existing(&name)),
        atom,
    )
}

unsafe fn give(found: Option<Word>, atom: *mut Word) -> c_int {
    let Some(found) = found else {
        return 0;
    };
    *atom = found;
    1
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_get_atom_length(
    _env: *mut HostEnv,
    atom: Word,
    length: *mut c_uint,
    encoding: c_int,
) -> c_int {
    let Some(name) = name_of(atom).and_then(|name| encoded(name, encoding)) else {
        return 0;
    };
    *length = name.len() as c_uint;
    1
}

/// Returns how many bytes were written, with the null byte at their end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_get_atom(
    _env: *mut HostEnv,
    atom: Word,
    buffer: *mut c_char,
    size: c_uint,
    encoding: c_int,
) -> c_int {
    let name = name_of(atom).and_then(|name| encoded(name, encoding));
    let Some(name) = name.filter(|name| name.len() < size as usize) else {
        return 0;
    };
    buffer
        .cast::<u8>()
        .copy_from_nonoverlapping(name.as_ptr(), name.len());
    *buffer.add(name.len()) = 0;
    name.len() as c_int + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_get_the_same_atom_for_the_same_name() {
        let names: Vec<String> = (0..5_000).map(|number| format!("same_{number}")).collect();
        let all: Vec<Vec<Word>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        names
                            .iter()
                            .map(|name| intern(name).expect("short"))
                            .collect()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .collect()
        });
        for atoms in &all {
            assert_eq!(atoms, &all[0]);
        }
        for (atom, name) in all[0].iter().zip(&names) {
            // SAFETY: an atom.
            assert_eq!(unsafe { name_of(*atom) }, Some(name.as_str()));
            assert_eq!(find(name), Some(*atom));
        }
        assert_eq!(find("same_no"), None);
    }

    #[test]
    fn an_atom_has_at_most_255_characters() {
        assert!(intern(&"ä".repeat(255)).is_some());
        assert!(intern(&"ä".repeat(256)).is_none());
    }
}
