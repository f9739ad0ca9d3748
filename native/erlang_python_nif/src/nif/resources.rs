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
use crate::base::column::Part;
use crate::base::flags::Flags;
use crate::base::guard::Guard;
use crate::base::resource::{self, Kept, Owned};
#[cfg(feature = "main")]
use crate::base::side;
use crate::base::term_env::SavedTerm;
use crate::base::words;
#[cfg(feature = "main")]
use crate::engine::main::{callback::CallbackHandle, own::Main};
#[cfg(not(feature = "main"))]
use crate::engine::process::own::Process;
#[cfg(feature = "process")]
use crate::engine::process::{callback::RemoteCallback, object::RemoteObject, start::LinkHandle};
use crate::nif::table::Packing;
use crate::pool::engine::Engine;
use crate::pool::handles::{PoolHandle, Slot, WorkerHandle};
use crate::pool::request::Request;
use crate::pool::stream::Consumer;
use crate::pool::ticket::Ticket;
use crate::pool::{Pool, Settings};
#[cfg(feature = "main")]
use crate::python::{convert::Shown, object};
use rustler::{Env, Resource, ResourceArc, Term};
use std::sync::Arc;

/// When the library is loaded for the first time. A type that is missing here cannot be used at all: it is
/// `Env::register`, and not `#[resource_impl]`, that makes them known to the VM. When the module is loaded
/// again, the types stay as they are, with their objects: it is the same library.
pub fn register(env: Env<'_>, _info: Term<'_>) -> bool {
    if is_elsewhere() {
        return false;
    }
    words::look(env);
    boxed::look(env);
    let nothing = atoms::nil().to_term(env);
    let settings = Settings {
        max_queue: 0,
        pinned: false,
        engine: spare_engine(nothing),
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
        && keep(env, || Guard {
            pid: env.pid(),
            number: None,
        })
        && keep(env, Packing::spare)
        && keep(env, Part::spare)
        && register_main(env)
        && register_process(env)
}

/// Another library has started Python, as a different build of this one does.
#[cfg(feature = "main")]
fn is_elsewhere() -> bool {
    // SAFETY: it can be asked at any time.
    !side::is_worker() && unsafe { pyo3::ffi::Py_IsInitialized() } != 0
}

#[cfg(feature = "main")]
fn spare_engine(_nothing: Term<'_>) -> Box<dyn Engine> {
    Box::new(Main::new(false))
}

#[cfg(feature = "main")]
fn register_main(env: Env<'_>) -> bool {
    keep(env, CallbackHandle::spare) && object::register(env) && keep(env, Shown::spare)
}

#[cfg(not(feature = "main"))]
fn is_elsewhere() -> bool {
    false
}

#[cfg(not(feature = "main"))]
fn spare_engine(nothing: Term<'_>) -> Box<dyn Engine> {
    Box::new(Process::new(nothing, None, Default::default()))
}

#[cfg(not(feature = "main"))]
fn register_main(_env: Env<'_>) -> bool {
    true
}

#[cfg(feature = "process")]
fn register_process(env: Env<'_>) -> bool {
    keep(env, || LinkHandle(None))
        && keep(env, || RemoteCallback(None))
        && keep(env, RemoteObject::spare)
}

#[cfg(not(feature = "process"))]
fn register_process(_env: Env<'_>) -> bool {
    true
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
