//! The types of what the VM's garbage collector owns, and keeping them, and with them this library,
//! for the life of the VM.
//!
//! `:init.stop(status)`, which is what `System.stop` calls, purges all modules before it halts. When
//! the module of a native library is purged, erts frees each of its resource types that has no object
//! left, and closes the library after the last. It waits for no thread: those that are in Python
//! still run this library's code and make objects, of freed types then, which corrupts the VM's
//! memory. So one object of each type is made here and never given up.

use crate::base::atoms;
use crate::base::boxed;
use crate::base::flags::Flags;
use crate::base::resource::{self, Kept, Owned};
use crate::base::side;
use crate::base::term_env::SavedTerm;
use crate::engine::main::callback::{CallbackHandle, Guard};
use crate::engine::main::own::Main;
use crate::engine::process::callback::RemoteCallback;
use crate::engine::process::object::RemoteObject;
use crate::engine::process::start::LinkHandle;
use crate::pool::handles::{PoolHandle, Slot, WorkerHandle};
use crate::pool::request::Request;
use crate::pool::stream::Consumer;
use crate::pool::ticket::Ticket;
use crate::pool::{Pool, Settings};
use crate::python::convert::{self, Shown};
use crate::python::object;
use pyo3::ffi;
use rustler::{Env, Resource, ResourceArc, Term};
use std::sync::Arc;

/// When the library is loaded for the first time. A type that is missing here cannot be used at all: it is
/// `Env::register`, and not `#[resource_impl]`, that makes them known to the VM. When the module is loaded
/// again, the types stay as they are, with their objects: it is the same library.
pub fn register(env: Env<'_>, _info: Term<'_>) -> bool {
    // SAFETY: it can be asked at any time.
    if !side::is_worker() && unsafe { ffi::Py_IsInitialized() } != 0 {
        // Another library has started Python, as a different build of this one does.
        return false;
    }
    convert::look_at_vm(env);
    boxed::look(env);
    let nothing = atoms::nil().to_term(env);
    let settings = Settings {
        max_queue: 0,
        pinned: false,
        engine: Box::new(Main::new(false)),
        home: SavedTerm::save(nothing),
        timeout: None,
        held: false,
    };
    let pool = Arc::new(Pool::new(env.pid(), settings));
    let request = Request::new(
        env.pid(),
        Flags::new(0),
        Arc::clone(&pool),
        nothing,
        nothing,
        nothing,
    );
    // A worker's has one of a slot's in it, so that type comes first.
    keep(env, Slot::spare)
        && keep(env, || WorkerHandle::spare(&pool))
        && keep_own(env, || PoolHandle(Arc::clone(&pool)))
        && keep_own(env, || Ticket(Arc::clone(&request)))
        && keep(env, || Consumer::spare(&request))
        && keep(env, CallbackHandle::spare)
        && keep(env, || Guard(env.pid()))
        && keep(env, || LinkHandle(None))
        && keep(env, || RemoteCallback(None))
        && keep(env, RemoteObject::spare)
        && object::register(env)
        && keep(env, Shown::spare)
}

/// The same of a type that is not rustler's.
fn keep_own<T: Kept>(env: Env<'_>, spare: impl FnOnce() -> T) -> bool {
    let registered = resource::register::<T>(env);
    if registered {
        std::mem::forget(Owned::new(spare()));
    }
    registered
}

fn keep<T: Resource>(env: Env<'_>, spare: impl FnOnce() -> T) -> bool {
    let registered = env.register::<T>().is_ok();
    if registered {
        std::mem::forget(ResourceArc::new(spare()));
    }
    registered
}
