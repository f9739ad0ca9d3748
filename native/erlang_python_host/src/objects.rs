//! Objects that the VM has: resources that left the process in a term, each time by a number of their own.

use crate::env::HostEnv;
use crate::resource::{self, Type};
use crate::word::Word;
use erlang_python_wire::tag;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// A resource that is kept as long as this is.
pub struct Exported(*const c_void);

// SAFETY: a resource may be given up by any thread.
unsafe impl Send for Exported {}

impl Exported {
    unsafe fn keep(object: *const c_void) -> Self {
        resource::keep(object);
        Exported(object)
    }

    /// What `enif_alloc_resource` returned.
    pub fn as_ptr(&self) -> *const c_void {
        self.0
    }

    /// The name of its type.
    pub fn type_name(&self) -> &'static str {
        // SAFETY: kept.
        unsafe { &resource::class(self.0).name }
    }
}

impl Drop for Exported {
    fn drop(&mut self) {
        // SAFETY: kept in `keep`.
        unsafe { resource::release(self.0) }
    }
}

static EXPORTED: LazyLock<Mutex<HashMap<u64, Exported>>> = LazyLock::new(Mutex::default);
static NEXT: AtomicU64 = AtomicU64::new(1);

fn exported() -> MutexGuard<'static, HashMap<u64, Exported>> {
    EXPORTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As it is written.
pub struct Written {
    pub number: u64,
    pub kind: u8,
    pub extra: u64,
}

/// The VM gets one more of this object.
pub unsafe fn export(object: *const c_void) -> Written {
    let class = resource::class(object);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let extra = class.wire_extra.load(Ordering::Acquire) as *const ();
    let extra = if extra.is_null() {
        0
    } else {
        // SAFETY: stored by `set`.
        let extra: Extra = unsafe { std::mem::transmute(extra) };
        extra(object, number)
    };
    let kind = match class.wire_kind.load(Ordering::Acquire) {
        0 => tag::object::OTHER,
        kind => kind,
    };
    let kept = Exported::keep(object);
    exported().insert(number, kept);
    Written {
        number,
        kind,
        extra,
    }
}

/// The object of a number, kept.
pub fn object(number: u64) -> Option<Exported> {
    let exported = exported();
    let found = exported.get(&number)?.0;
    // SAFETY: kept by the table.
    Some(unsafe { Exported::keep(found) })
}

/// The term of an object that comes back.
pub fn term(env: &mut HostEnv, number: u64) -> Option<Word> {
    let object = object(number)?;
    // SAFETY: kept.
    Some(unsafe { resource::term(env, object.0) })
}

/// The VM has none of these numbers any more.
pub fn release(numbers: &[u64]) {
    // Destructors run when the lock is free again.
    let gone: Vec<Exported> = {
        let mut exported = exported();
        let gone = numbers.iter().filter_map(|number| exported.remove(number));
        gone.collect()
    };
    drop(gone);
}

/// How many numbers the VM has.
pub fn count() -> usize {
    exported().len()
}

/// The second number of an object which leaves under `number`. `object` is what `enif_alloc_resource` returned: see
/// `rustler_object`.
pub type Extra = fn(object: *const c_void, number: u64) -> u64;

static DESCRIBED: Mutex<Vec<(String, u8, Option<Extra>)>> = Mutex::new(Vec::new());

/// Says what objects of a type are for the VM (`wire::tag::object`), and their second number. `name`: that of the
/// type, or what follows its last `::`. The type may be opened before or after.
pub fn describe_type(name: &str, kind: u8, extra: Option<Extra>) {
    DESCRIBED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push((name.into(), kind, extra));
    for class in resource::types() {
        describe(class);
    }
}

/// Tells a type what has been said of it.
pub fn describe(class: &'static Type) {
    let described = DESCRIBED.lock().unwrap_or_else(PoisonError::into_inner);
    for (name, kind, extra) in described.iter() {
        let is_last_part = || {
            let rest = class.name.strip_suffix(name.as_str());
            rest.is_some_and(|rest| rest.ends_with("::"))
        };
        if class.name == *name || is_last_part() {
            let extra = extra.map_or(0, |extra| extra as usize);
            class.wire_extra.store(extra, Ordering::Release);
            class.wire_kind.store(*kind, Ordering::Release);
        }
    }
}

/// The `T` of a `ResourceArc<T>` in an object: rustler puts it at the first address after the beginning that is
/// aligned for it.
pub fn rustler_object<T>(object: *const c_void) -> *const T {
    let align = align_of::<T>();
    let offset = align - object as usize % align;
    object.cast::<u8>().wrapping_add(offset).cast()
}
