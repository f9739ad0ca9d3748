//! References in terms to values of ours, which the VM's garbage collector owns.
//!
//! They are what a `rustler::ResourceArc` is, for what every call has to do with: that looks each type up in a
//! table, each time, and counts who uses the value.

use crate::base::term_env::Sender;
use rustler::sys::{
    ErlNifEnv, ErlNifMonitor, ErlNifPid, ErlNifResourceDown, ErlNifResourceDtor,
    ErlNifResourceFlags, ErlNifResourceType, ErlNifResourceTypeInit, enif_alloc_resource,
    enif_get_resource, enif_keep_resource, enif_make_resource, enif_monitor_process,
    enif_open_resource_type_x, enif_release_resource,
};
use rustler::{Decoder, Env, Error, LocalPid, NifResult, Term};
use std::ffi::{CStr, c_void};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

/// A type of such values.
pub trait Kept: Sized + Send + Sync + 'static {
    /// What the VM calls it.
    const NAME: &'static CStr;

    /// Where the VM's type is kept: one for each `Self`.
    fn class() -> &'static Class;

    /// A process has died that was watched (`Owned::watch`). On a scheduler.
    fn down(&self, sender: Sender);
}

/// The VM's type. Null until it is registered.
pub struct Class(AtomicPtr<ErlNifResourceType>);

impl Class {
    pub const fn new() -> Self {
        Class(AtomicPtr::new(ptr::null_mut()))
    }

    fn get(&self) -> *const ErlNifResourceType {
        self.0.load(Ordering::Acquire)
    }
}

/// One of those who have a value.
pub struct Owned<T: Kept>(NonNull<T>);

// SAFETY: as an `Arc`: the value is shared, and dropped on any thread.
unsafe impl<T: Kept> Send for Owned<T> {}
// SAFETY: as above.
unsafe impl<T: Kept> Sync for Owned<T> {}

/// When the library is loaded: makes a type known to the VM. `env`: that of the loading.
pub fn register<T: Kept>(env: Env<'_>) -> bool {
    // The VM's memory is aligned for this.
    const { assert!(align_of::<T>() <= align_of::<u64>()) };
    let init = ErlNifResourceTypeInit {
        dtor: destroy::<T> as *const ErlNifResourceDtor,
        stop: ptr::null(),
        down: down::<T> as *const ErlNifResourceDown,
    };
    let mut tried = ErlNifResourceFlags::ERL_NIF_RT_CREATE;
    // SAFETY: the environment is that of the loading; the functions are those of this type.
    let class = unsafe {
        enif_open_resource_type_x(
            env.as_c_arg(),
            T::NAME.as_ptr(),
            &init,
            ErlNifResourceFlags::ERL_NIF_RT_CREATE,
            &mut tried,
        )
    };
    T::class().0.store(class.cast_mut(), Ordering::Release);
    !class.is_null()
}

/// The value that a term refers to. None if it refers to none of this type.
pub fn of<'a, T: Kept>(term: Term<'a>) -> Option<&'a T> {
    let mut value: *const c_void = ptr::null();
    // SAFETY: a valid term of a valid environment, and a registered type, or null.
    let found = unsafe {
        enif_get_resource(
            term.get_env().as_c_arg(),
            term.as_c_arg(),
            T::class().get(),
            &mut value,
        )
    };
    // SAFETY: values of this type are whole before anybody sees them (`Owned::new`). The term keeps it alive.
    (found != 0).then(|| unsafe { &*value.cast::<T>() })
}

impl<T: Kept> Owned<T> {
    pub fn new(value: T) -> Self {
        // SAFETY: the type was registered when the library was loaded. It aborts when out of memory; the memory is
        // large enough and aligned (`register`).
        unsafe {
            let place = enif_alloc_resource(T::class().get(), size_of::<T>()).cast::<T>();
            place.write(value);
            Owned(NonNull::new_unchecked(place))
        }
    }

    /// The value that a term refers to. None if it refers to none of this type.
    pub fn of(term: Term<'_>) -> Option<Self> {
        let value = NonNull::from(of::<T>(term)?);
        // SAFETY: a value of ours, alive.
        unsafe { enif_keep_resource(value.as_ptr().cast()) };
        Some(Owned(value))
    }

    /// A term that refers to it.
    pub fn to_term<'a>(&self, env: Env<'a>) -> Term<'a> {
        // SAFETY: a valid environment and a value of ours.
        unsafe {
            let term = enif_make_resource(env.as_c_arg(), self.0.as_ptr().cast());
            Term::new(env, term)
        }
    }

    /// Has `down` called when the process dies. False if it is dead. `env`: that of the calling process.
    pub fn watch(&self, env: Env<'_>, pid: &LocalPid) -> bool {
        let value = self.0.as_ptr().cast();
        // SAFETY: a value of ours, whose type has `down`.
        unsafe { enif_monitor_process(env.as_c_arg(), value, pid.as_c_arg(), ptr::null_mut()) == 0 }
    }
}

impl<'a, T: Kept> Decoder<'a> for Owned<T> {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        Owned::of(term).ok_or(Error::BadArg)
    }
}

impl<T: Kept> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: it has a part in the value.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Kept> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: its part, given up once.
        unsafe { enif_release_resource(self.0.as_ptr().cast()) };
    }
}

unsafe extern "C" fn destroy<T: Kept>(_env: *mut ErlNifEnv, value: *mut c_void) {
    // SAFETY: called by the VM with a value of this type, once. Nobody has it any more.
    let _ = catch_unwind(|| unsafe { value.cast::<T>().drop_in_place() });
}

unsafe extern "C" fn down<T: Kept>(
    env: *mut ErlNifEnv,
    value: *mut c_void,
    _pid: *const ErlNifPid,
    _monitor: *const ErlNifMonitor,
) {
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: called by the VM with a value of this type, which it keeps alive meanwhile, and with an
        // environment.
        unsafe {
            let sender = Sender::scheduler(Env::new(&env, env));
            (*value.cast::<T>()).down(sender);
        }
    }));
}
