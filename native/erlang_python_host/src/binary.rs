//! Binaries. Small ones are in the arena, larger ones are counted, and may be those of a resource.

use crate::env::{HostEnv, Owned};
use crate::resource;
use crate::vm::Beside;
use crate::word::{self, Kind, Word};
use std::ffi::{c_int, c_uchar, c_void};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Larger ones are shared when they are copied.
pub const SMALL: usize = 1024;

/// Bytes that are counted.
pub struct Blob {
    count: AtomicUsize,
    bytes: Vec<MaybeUninit<u8>>,
    /// The owner of others, if the binary is not of these bytes.
    _beside: Option<Box<dyn Send + Sync>>,
}

/// Who owns the bytes of a shared binary. In its second word: a pointer, whose lowest bit says which.
#[derive(Clone, Copy)]
pub enum Owner {
    Blob(*const Blob),
    Resource(*const c_void),
}

impl Owner {
    fn to_word(self) -> Word {
        match self {
            Owner::Blob(blob) => blob as Word,
            Owner::Resource(object) => object as Word | 1,
        }
    }

    fn of(word: Word) -> Self {
        if word & 1 == 0 {
            Owner::Blob(word as *const Blob)
        } else {
            Owner::Resource((word & !1) as *const c_void)
        }
    }

    /// One more, for an environment.
    unsafe fn keep(self) -> Owned {
        match self {
            Owner::Blob(blob) => {
                (*blob).count.fetch_add(1, Ordering::Relaxed);
                Owned::Blob(blob)
            }
            Owner::Resource(object) => {
                resource::keep(object);
                Owned::Resource(object)
            }
        }
    }
}

/// Counted bytes of any content, of which the caller has one.
fn allocate(size: usize) -> *mut Blob {
    let mut bytes = Vec::with_capacity(size);
    bytes.resize(size, MaybeUninit::uninit());
    Box::into_raw(Box::new(Blob {
        count: AtomicUsize::new(1),
        bytes,
        _beside: None,
    }))
}

/// Bytes that were written, of which the caller has one.
pub fn blob(bytes: Vec<u8>) -> *const Blob {
    let mut bytes = ManuallyDrop::new(bytes);
    // SAFETY: they are those of a vector, which does not free them; what is written may also be not written.
    let bytes =
        unsafe { Vec::from_raw_parts(bytes.as_mut_ptr().cast(), bytes.len(), bytes.capacity()) };
    Box::into_raw(Box::new(Blob {
        count: AtomicUsize::new(1),
        bytes,
        _beside: None,
    }))
}

/// A binary of bytes that are elsewhere.
pub fn beside(env: &mut HostEnv, beside: Beside) -> Word {
    let Beside { data, size, owner } = beside;
    let blob = Box::into_raw(Box::new(Blob {
        count: AtomicUsize::new(1),
        bytes: Vec::new(),
        _beside: Some(owner),
    }));
    env.own(Owned::Blob(blob));
    shared(env, data, size, Owner::Blob(blob))
}

/// All of the bytes, which must have been written.
pub unsafe fn bytes_of<'a>(blob: *const Blob) -> &'a [u8] {
    let bytes = &(*blob).bytes;
    std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len())
}

/// A binary of some of the bytes.
pub unsafe fn part(env: &mut HostEnv, blob: *const Blob, bytes: &[u8]) -> Word {
    let owner = Owner::Blob(blob);
    env.own(owner.keep());
    shared(env, bytes.as_ptr(), bytes.len(), owner)
}

pub unsafe fn release(blob: *const Blob) {
    if (*blob).count.fetch_sub(1, Ordering::AcqRel) == 1 {
        drop(Box::from_raw(blob.cast_mut()));
    }
}

/// A binary of so many bytes, which are to be written.
pub fn new(env: &mut HostEnv, size: usize) -> (*mut u8, Word) {
    if size <= SMALL {
        let boxed = env.boxed(Kind::Binary, size, word::words_for(size));
        return (boxed.wrapping_add(1).cast(), word::boxed(boxed));
    }
    let blob = allocate(size);
    // SAFETY: just allocated.
    let data = unsafe { (*blob).bytes.as_mut_ptr().cast() };
    env.own(Owned::Blob(blob));
    (data, shared(env, data, size, Owner::Blob(blob)))
}

pub fn of(env: &mut HostEnv, bytes: &[u8]) -> Word {
    let (data, term) = new(env, bytes.len());
    // SAFETY: as many bytes were given.
    unsafe { data.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    term
}

/// The environment has one of the owner's.
fn shared(env: &mut HostEnv, data: *const u8, size: usize, owner: Owner) -> Word {
    let boxed = env.boxed(Kind::Shared, size, 2);
    // SAFETY: so many words were given.
    unsafe {
        *boxed.add(1) = data as Word;
        *boxed.add(2) = owner.to_word();
    }
    word::boxed(boxed)
}

/// A part of a shared binary, for another environment or the same.
pub unsafe fn share(env: &mut HostEnv, boxed: *const Word, from: usize, size: usize) -> Word {
    let owner = Owner::of(*boxed.add(2));
    env.own(owner.keep());
    shared(env, (*boxed.add(1) as *const u8).add(from), size, owner)
}

/// Bits that are no whole bytes. `used`: how many of the last byte.
pub fn bits(env: &mut HostEnv, bytes: &[u8], used: u8) -> Word {
    let boxed = env.boxed(Kind::Bits, bytes.len(), 1 + word::words_for(bytes.len()));
    // SAFETY: so many words were given.
    unsafe {
        *boxed.add(1) = used.into();
        boxed
            .add(2)
            .cast::<u8>()
            .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
    }
    word::boxed(boxed)
}

/// Bytes, and how many bits of the last one are used, of a bitstring.
pub unsafe fn bits_of<'a>(boxed: *const Word) -> (&'a [u8], u8) {
    match word::kind(boxed) {
        Kind::Bits => (
            std::slice::from_raw_parts(boxed.add(2).cast(), word::size(boxed)),
            *boxed.add(1) as u8,
        ),
        Kind::Shared => (
            std::slice::from_raw_parts(*boxed.add(1) as *const u8, word::size(boxed)),
            8,
        ),
        _ => (word::bytes(boxed), 8),
    }
}

/// The bytes of a binary.
pub unsafe fn bytes<'a>(term: Word) -> Option<&'a [u8]> {
    match word::view(term) {
        word::View::Boxed(Kind::Binary | Kind::Shared, boxed) => Some(bits_of(boxed).0),
        _ => None,
    }
}

/// What an `ErlNifBinary` is.
#[repr(C)]
pub struct RawBinary {
    size: usize,
    data: *mut c_uchar,
    /// What it owns. Null: it only shows the bytes of a term.
    blob: *mut Blob,
    spare: [*mut c_void; 2],
}

impl RawBinary {
    fn of_blob(blob: *mut Blob) -> Self {
        // SAFETY: a blob that the caller has.
        let bytes = unsafe { &mut (*blob).bytes };
        RawBinary {
            size: bytes.len(),
            data: bytes.as_mut_ptr().cast(),
            blob,
            spare: [ptr::null_mut(); 2],
        }
    }

    pub fn of_bytes(bytes: &[u8]) -> Self {
        let raw = RawBinary::of_blob(allocate(bytes.len()));
        // SAFETY: as many bytes were allocated.
        unsafe {
            raw.data
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len())
        };
        raw
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_is_binary(_env: *mut HostEnv, term: Word) -> c_int {
    c_int::from(bytes(term).is_some())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_inspect_binary(
    _env: *mut HostEnv,
    term: Word,
    binary: *mut RawBinary,
) -> c_int {
    let Some(bytes) = bytes(term) else {
        return 0;
    };
    binary.write(RawBinary {
        size: bytes.len(),
        data: bytes.as_ptr().cast_mut(),
        blob: ptr::null_mut(),
        spare: [ptr::null_mut(); 2],
    });
    1
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_alloc_binary(size: usize, binary: *mut RawBinary) -> c_int {
    binary.write(RawBinary::of_blob(allocate(size)));
    1
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_realloc_binary(binary: *mut RawBinary, size: usize) -> c_int {
    let blob = (*binary).blob;
    if blob.is_null() {
        // The bytes of a term: the copy is the caller's.
        let old = std::slice::from_raw_parts((*binary).data, (*binary).size.min(size));
        let new = RawBinary::of_blob(allocate(size));
        new.data.copy_from_nonoverlapping(old.as_ptr(), old.len());
        binary.write(new);
        return 1;
    }
    (*blob).bytes.resize(size, MaybeUninit::uninit());
    binary.write(RawBinary::of_blob(blob));
    1
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_release_binary(binary: *mut RawBinary) {
    let blob = std::mem::replace(&mut (*binary).blob, ptr::null_mut());
    if !blob.is_null() {
        release(blob);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_binary(env: *mut HostEnv, binary: *mut RawBinary) -> Word {
    let blob = std::mem::replace(&mut (*binary).blob, ptr::null_mut());
    let (data, size) = ((*binary).data, (*binary).size);
    if blob.is_null() {
        return of(&mut *env, std::slice::from_raw_parts(data, size));
    }
    (*env).own(Owned::Blob(blob));
    shared(&mut *env, data, size, Owner::Blob(blob))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_new_binary(
    env: *mut HostEnv,
    size: usize,
    term: *mut Word,
) -> *mut c_uchar {
    let (data, binary) = new(&mut *env, size);
    *term = binary;
    data
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_resource_binary(
    env: *mut HostEnv,
    object: *const c_void,
    data: *const c_void,
    size: usize,
) -> Word {
    let owner = Owner::Resource(object);
    (*env).own(owner.keep());
    shared(&mut *env, data.cast(), size, owner)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_sub_binary(
    env: *mut HostEnv,
    term: Word,
    from: usize,
    size: usize,
) -> Word {
    let whole = bytes(term);
    let end = from.checked_add(size);
    let Some(part) = whole.and_then(|bytes| bytes.get(from..end?)) else {
        return crate::env::enif_make_badarg(env);
    };
    match word::of_kind(term, Kind::Shared) {
        Some(boxed) if size > SMALL => share(&mut *env, boxed, from, size),
        _ => of(&mut *env, part),
    }
}

/// The bytes of a binary, or of a list of bytes, binaries and such lists.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_inspect_iolist_as_binary(
    env: *mut HostEnv,
    term: Word,
    binary: *mut RawBinary,
) -> c_int {
    if bytes(term).is_some() {
        return enif_inspect_binary(env, term, binary);
    }
    let Some(all) = flattened(term) else {
        return 0;
    };
    binary.write(RawBinary::of_bytes(&all));
    1
}

unsafe fn flattened(list: Word) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    // What is to come, the next last. A number is an element, and no tail.
    let mut rest = vec![list];
    while let Some(term) = rest.pop() {
        if let Some(bytes) = bytes(term) {
            all.extend_from_slice(bytes);
        } else if word::is_cell(term) {
            let cell = word::pointer(term);
            let (head, tail) = (*cell, *cell.add(1));
            rest.push(tail);
            if word::is_small(head) {
                all.push(u8::try_from(word::value(head)).ok()?);
            } else {
                rest.push(head);
            }
        } else if term != word::NIL {
            return None;
        }
    }
    Some(all)
}
