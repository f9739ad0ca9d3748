//! Resources: objects of C's that terms refer to, counted, with a destructor.

use crate::env::{HostEnv, Owned};
use crate::monitor;
use crate::word::{self, Kind, NONE, Word};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

pub type Destructor = unsafe extern "C" fn(*mut HostEnv, *mut c_void);
pub type Down = unsafe extern "C" fn(*mut HostEnv, *mut c_void, *const Word, *const monitor::Raw);

/// What an `ErlNifResourceType` is. It lives for ever.
pub struct Type {
    pub name: String,
    destructor: Option<Destructor>,
    pub down: Option<Down>,
    /// How its objects leave the process: see `objects`. 0: it was not said.
    pub wire_kind: AtomicU8,
    /// Gives the second number of an object, or null.
    pub wire_extra: AtomicUsize,
}

/// Before the object.
struct Header {
    class: &'static Type,
    count: AtomicUsize,
    size: usize,
    /// Some process is, or was, monitored for it.
    monitored: AtomicU8,
}

/// As `malloc` would align it.
const ALIGN: usize = 16;
const HEADER: usize = size_of::<Header>().next_multiple_of(ALIGN);

static TYPES: Mutex<Vec<&'static Type>> = Mutex::new(Vec::new());

/// All types.
pub fn types() -> Vec<&'static Type> {
    TYPES.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

unsafe fn header<'a>(object: *const c_void) -> &'a Header {
    &*object.cast::<u8>().sub(HEADER).cast::<Header>()
}

fn layout(size: usize) -> Layout {
    let size = size.checked_add(HEADER).expect("memory that there is");
    Layout::from_size_align(size, ALIGN).expect("memory that there is")
}

pub unsafe fn class(object: *const c_void) -> &'static Type {
    header(object).class
}

pub unsafe fn keep(object: *const c_void) {
    header(object).count.fetch_add(1, Ordering::Relaxed);
}

/// One more, unless nobody has it and it is about to be destroyed.
pub unsafe fn try_keep(object: *const c_void) -> bool {
    let one_more = |count| if count == 0 { None } else { Some(count + 1) };
    header(object)
        .count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
        .is_ok()
}

pub unsafe fn mark_monitored(object: *const c_void) {
    header(object).monitored.store(1, Ordering::Relaxed);
}

/// One less. The last runs the destructor on this thread.
pub unsafe fn release(object: *const c_void) {
    if header(object).count.fetch_sub(1, Ordering::AcqRel) == 1 {
        destroy(object.cast_mut());
    }
}

thread_local! {
    static DESTROYING: Cell<bool> = const { Cell::new(false) };
    /// What a destructor has released: one after the other, and not one within the other.
    static NEXT: RefCell<Vec<*mut c_void>> = const { RefCell::new(Vec::new()) };
}

unsafe fn destroy(object: *mut c_void) {
    // When a thread ends, what it has of its own may be gone.
    let outer = DESTROYING.try_with(|destroying| destroying.replace(true));
    let queued = NEXT.try_with(|next| next.borrow_mut().push(object));
    if outer == Ok(true) && queued.is_ok() {
        return;
    }
    if queued.is_err() {
        destroy_now(object);
    }
    while let Ok(Some(object)) = NEXT.try_with(|next| next.borrow_mut().pop()) {
        destroy_now(object);
    }
    let _ = DESTROYING.try_with(|destroying| destroying.set(false));
}

unsafe fn destroy_now(object: *mut c_void) {
    let header = header(object);
    if header.monitored.load(Ordering::Relaxed) != 0 {
        monitor::forget(object);
    }
    if let Some(destructor) = header.class.destructor {
        let mut env = HostEnv::new(NONE);
        destructor(&mut env, object);
    }
    let size = header.size;
    dealloc(object.cast::<u8>().sub(HEADER), layout(size));
}

/// The object of a resource's term.
pub unsafe fn object(term: Word) -> Option<*const c_void> {
    let boxed = word::of_kind(term, Kind::Resource)?;
    Some(*boxed.add(1) as *const c_void)
}

/// The term of an object.
pub unsafe fn term(env: &mut HostEnv, object: *const c_void) -> Word {
    keep(object);
    env.own(Owned::Resource(object));
    env.boxed_word(Kind::Resource, object as Word)
}

/// What an `ErlNifResourceTypeInit` begins with.
#[repr(C)]
pub struct RawInit {
    destructor: Option<Destructor>,
    stop: *const c_void,
    down: Option<Down>,
}

const CREATE: c_int = 1;

unsafe fn open(
    name: *const c_char,
    destructor: Option<Destructor>,
    down: Option<Down>,
    tried: *mut c_int,
) -> *const Type {
    let name = CStr::from_ptr(name).to_string_lossy().into_owned();
    if !tried.is_null() {
        *tried = CREATE;
    }
    let mut types = TYPES.lock().unwrap_or_else(PoisonError::into_inner);
    if types.iter().any(|class| class.name == name) {
        return std::ptr::null();
    }
    let class: &'static Type = Box::leak(Box::new(Type {
        name,
        destructor,
        down,
        wire_kind: AtomicU8::new(0),
        wire_extra: AtomicUsize::new(0),
    }));
    crate::objects::describe(class);
    types.push(class);
    class
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_open_resource_type(
    _env: *mut HostEnv,
    _module: *const c_char,
    name: *const c_char,
    destructor: Option<Destructor>,
    _flags: c_int,
    tried: *mut c_int,
) -> *const Type {
    open(name, destructor, None, tried)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_open_resource_type_x(
    _env: *mut HostEnv,
    name: *const c_char,
    init: *const RawInit,
    _flags: c_int,
    tried: *mut c_int,
) -> *const Type {
    open(name, (*init).destructor, (*init).down, tried)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_init_resource_type(
    env: *mut HostEnv,
    name: *const c_char,
    init: *const RawInit,
    flags: c_int,
    tried: *mut c_int,
) -> *const Type {
    enif_open_resource_type_x(env, name, init, flags, tried)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_alloc_resource(class: *const Type, size: usize) -> *mut c_void {
    let layout = layout(size);
    let memory = alloc(layout);
    if memory.is_null() {
        handle_alloc_error(layout);
    }
    memory.cast::<Header>().write(Header {
        class: &*class,
        count: AtomicUsize::new(1),
        size,
        monitored: AtomicU8::new(0),
    });
    memory.add(HEADER).cast()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_keep_resource(object: *const c_void) {
    keep(object);
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_release_resource(object: *const c_void) {
    release(object);
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_sizeof_resource(object: *mut c_void) -> usize {
    header(object).size
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_resource(env: *mut HostEnv, object: *const c_void) -> Word {
    term(&mut *env, object)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_get_resource(
    _env: *mut HostEnv,
    term: Word,
    wanted: *const Type,
    found: *mut *const c_void,
) -> c_int {
    match object(term) {
        Some(object) if std::ptr::eq(class(object), wanted) => {
            *found = object;
            1
        }
        _ => 0,
    }
}
