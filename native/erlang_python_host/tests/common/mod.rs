//! What the tests share: an environment, and a VM that notes what it is told.
#![allow(dead_code)]

use erlang_python_host::{Vm, decode, encode, pid_bytes, set_vm};
use erlang_python_wire::{Reader, Writer};
use rustler::env::OwnedEnv;
use rustler::sys::{enif_is_identical, enif_make_copy};
use rustler::{Env, Term};
use std::sync::Mutex;

/// What a VM was told, as text.
#[derive(Default)]
pub struct Noted {
    pub sent: Mutex<Vec<(Vec<u8>, String)>>,
    pub released: Mutex<Vec<u64>>,
}

pub static VM: Noted = Noted {
    sent: Mutex::new(Vec::new()),
    released: Mutex::new(Vec::new()),
};

/// The external form of a pid.
pub fn pid(node: &str, id: u32, serial: u32) -> Vec<u8> {
    let mut bytes = vec![88, 119, node.len() as u8];
    bytes.extend(node.as_bytes());
    for number in [id, serial, 7] {
        bytes.extend(number.to_be_bytes());
    }
    bytes
}

/// The external form of a reference.
pub fn reference(numbers: [u32; 3]) -> Vec<u8> {
    let mut bytes = vec![90, 0, 3, 119, 3];
    bytes.extend(b"vm1");
    bytes.extend(7u32.to_be_bytes());
    for number in numbers {
        bytes.extend(number.to_be_bytes());
    }
    bytes
}

impl Vm for Noted {
    fn send(&self, to: Term<'_>, message: Term<'_>) -> bool {
        let to = pid_bytes(to).expect("a pid");
        let is_dead = to == pid("vm1", 404, 0);
        if !is_dead {
            let message = (to, format!("{message:?}"));
            self.sent.lock().expect("no panic").push(message);
        }
        !is_dead
    }

    fn is_atom(&self, name: &str) -> bool {
        assert_ne!(name, "the_vm_panics");
        name.starts_with("vm_has_")
    }

    fn whereis(&self, name: &str) -> Option<Vec<u8>> {
        (name == "registered").then(|| pid("vm1", 77, 0))
    }

    fn is_alive(&self, external: &[u8]) -> bool {
        external != pid("vm1", 404, 0)
    }

    fn make_reference(&self) -> Vec<u8> {
        reference([1, 2, 3])
    }

    fn released(&self, kept: &[u64]) {
        self.released.lock().expect("no panic").extend(kept);
    }
}

pub fn in_env<R>(work: impl for<'a> FnOnce(Env<'a>) -> R) -> R {
    set_vm(&VM);
    OwnedEnv::new().run(work)
}

/// The bytes of a term, as it is sent.
pub fn written(term: Term<'_>) -> Vec<u8> {
    let mut writer = Writer::default();
    encode(&mut writer, term).expect("it can be written");
    writer.bytes
}

/// The term of bytes.
pub fn read<'a>(env: Env<'a>, bytes: &[u8]) -> Term<'a> {
    let mut reader = Reader::new(bytes);
    let term = decode(&mut reader, env).expect("they can be read");
    reader.end().expect("they end");
    term
}

/// A copy in another environment: in_env of rustler's asks for one lifetime.
pub fn copied<'b>(term: Term<'_>, env: Env<'b>) -> Term<'b> {
    // SAFETY: a valid term; the copy is of the environment.
    unsafe { Term::new(env, enif_make_copy(env.as_c_arg(), term.as_c_arg())) }
}

/// Whether terms of two environments are the same.
pub fn identical(left: Term<'_>, right: Term<'_>) -> bool {
    // SAFETY: valid terms.
    unsafe { enif_is_identical(left.as_c_arg(), right.as_c_arg()) != 0 }
}
