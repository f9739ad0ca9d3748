//! References: those of the VM, those that stand for its requests, and those of resources.

use crate::env::{self, HostEnv};
use crate::kept;
use crate::pid;
use crate::vm;
use crate::word::{self, Kind, Word};
use erlang_python_wire::{Writer, tag};
use rustler::{Env, Term};
use std::sync::atomic::{AtomicU64, Ordering};

/// A reference that stands for a request of the VM.
pub fn request(env: &mut HostEnv, number: u64) -> Word {
    env.boxed_word(Kind::Request, number as Word)
}

/// A reference that stands for a request of the VM.
pub fn request_reference<'a>(env: Env<'a>, number: u64) -> Term<'a> {
    // SAFETY: rustler's environment is one of ours.
    unsafe {
        let reference = request(&mut *env::of(env), number);
        env::term(env, reference)
    }
}

/// The number of the request that a reference stands for.
pub fn request_number(term: Term<'_>) -> Option<u64> {
    // SAFETY: a valid term.
    unsafe {
        let boxed = word::of_kind(env::word_of(term), Kind::Request)?;
        Some(*boxed.add(1) as u64)
    }
}

/// The first number of a reference of this process: they are kept apart by it.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Series {
    // Of the first number 18 bits count.
    Resource = (1 << 18) - 3,
    Request,
    Other,
}

/// A reference of this process in its external form: that of the VM's node.
fn own(series: Series, number: u64) -> Vec<u8> {
    let node = pid::local_node();
    let mut writer = Writer::default();
    writer.u8(tag::NEWER_REFERENCE);
    writer.u16_be(3);
    writer.bytes(&node.atom);
    writer.u32_be(node.creation);
    writer.u32_be(series as u32);
    writer.u32_be((number >> 32) as u32);
    writer.u32_be(number as u32);
    writer.bytes
}

/// The external form of a reference, port or kept term, by which they are ordered. Empty for others.
pub unsafe fn external(boxed: *const Word) -> Vec<u8> {
    match word::kind(boxed) {
        Kind::Port | Kind::Reference | Kind::Pid => word::bytes(boxed).to_vec(),
        Kind::Kept => kept::of(boxed).identity().to_vec(),
        Kind::Resource => own(Series::Resource, *boxed.add(1) as u64),
        Kind::Request => own(Series::Request, *boxed.add(1) as u64),
        _ => Vec::new(),
    }
}

static NEXT: AtomicU64 = AtomicU64::new(1);

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_ref(env: *mut HostEnv) -> Word {
    // Before there is a VM, nobody can have one of ours.
    let external = vm::make_reference()
        .unwrap_or_else(|| own(Series::Other, NEXT.fetch_add(1, Ordering::Relaxed)));
    (*env).boxed_bytes(Kind::Reference, &external)
}
