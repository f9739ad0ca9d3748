//! What is asked of the VM.

use crate::env::{self, HostEnv};
use crate::pid::{self, RawPid};
use crate::word::{NONE, Word};
use rustler::sys::ErlNifEnv;
use rustler::{Env, Term};
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

/// The other side. Called on any thread, with no lock held.
pub trait Vm: Send + Sync {
    /// Sends a message. The terms are those of the environment of this call: encode them before it returns.
    fn send(&self, to: Term<'_>, message: Term<'_>) -> bool;
    /// Whether the VM has an atom of this name, which is none here yet.
    fn is_atom(&self, name: &str) -> bool;
    /// The pid of a registered process: its external form, without the version byte.
    fn whereis(&self, name: &str) -> Option<Vec<u8>>;
    /// `pid`: the external form.
    fn is_alive(&self, pid: &[u8]) -> bool;
    /// The external form of a new reference, without the version byte.
    fn make_reference(&self) -> Vec<u8>;
    /// Nobody has these kept terms here any more.
    fn released(&self, kept: &[u64]);
    /// The bytes of a binary that has come beside its frame. None if they are not there.
    fn beside(&self, _memory: u64, _at: u64, _size: u64) -> Option<Beside> {
        None
    }
    /// Puts a large binary where the other side finds it: the number of the memory, and where in that. None if it is
    /// to be sent within its frame.
    fn put_beside(&self, _bytes: &[u8]) -> Option<(u64, u64)> {
        None
    }
}

/// Bytes that are no copy.
pub struct Beside {
    pub data: *const u8,
    pub size: usize,
    /// They stay as long as it does.
    pub owner: Box<dyn Send + Sync>,
}

static VM: OnceLock<&'static dyn Vm> = OnceLock::new();

/// Says who the other side is: once, the first counts.
pub fn set_vm(vm: &'static dyn Vm) {
    let _ = VM.set(vm);
}

/// A panic counts as a VM that does not answer: it must not go through functions of C.
fn ask<T>(question: impl FnOnce(&dyn Vm) -> T) -> Option<T> {
    let vm = *VM.get()?;
    catch_unwind(AssertUnwindSafe(|| question(vm))).ok()
}

pub fn is_atom(name: &str) -> bool {
    ask(|vm| vm.is_atom(name)).unwrap_or(false)
}

pub fn whereis(name: &str) -> Option<Vec<u8>> {
    ask(|vm| vm.whereis(name)).flatten()
}

/// A process counts as alive until it is said not to be.
pub fn is_alive(pid: &[u8]) -> bool {
    ask(|vm| vm.is_alive(pid)).unwrap_or(true)
}

pub fn make_reference() -> Option<Vec<u8>> {
    ask(|vm| vm.make_reference())
}

pub fn beside(memory: u64, at: u64, size: u64) -> Option<Beside> {
    ask(|vm| vm.beside(memory, at, size)).flatten()
}

pub fn put_beside(bytes: &[u8]) -> Option<(u64, u64)> {
    ask(|vm| vm.put_beside(bytes)).flatten()
}

pub fn released(kept: &[u64]) {
    ask(|vm| vm.released(kept));
}

/// Sends a term of `message_env`, or of `env` if that is null, or one that needs no environment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_send(
    env: *mut HostEnv,
    to: *const RawPid,
    message_env: *mut HostEnv,
    message: Word,
) -> c_int {
    let mut none = HostEnv::new(NONE);
    let env: *mut HostEnv = match (message_env.is_null(), env.is_null()) {
        (false, _) => message_env,
        (true, false) => env,
        (true, true) => &mut none,
    };
    let lives = ();
    let env = Env::new(&lives, env.cast::<ErlNifEnv>());
    let to = env::term(env, *to);
    let message = env::term(env, message);
    c_int::from(ask(|vm| vm.send(to, message)).unwrap_or(false))
}

/// The external form of a pid, as `Vm` has it. None for other terms.
pub fn pid_bytes(term: Term<'_>) -> Option<Vec<u8>> {
    // SAFETY: a valid term.
    unsafe {
        match crate::word::view(env::word_of(term)) {
            crate::word::View::Pid(pid) => Some(pid::external(pid)),
            crate::word::View::Boxed(crate::word::Kind::Pid, boxed) => {
                Some(crate::word::bytes(boxed).to_vec())
            }
            _ => None,
        }
    }
}
