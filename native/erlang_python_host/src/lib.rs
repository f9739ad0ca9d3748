//! The NIF interface outside of the VM.
//!
//! `erlang_python_nif` is written against the C functions `enif_*`, which the VM has. A Python process of the engine
//! `:process` has no VM, so these are here: terms in a memory of their own, environments, atoms, resources. What
//! needs the VM is asked of the other side (`Vm`).
//!
//! - A term is a word (`word`), or points into the arena of its environment (`arena`, `env`).
//! - Terms go to the VM and come from it as bytes (`encode`, `decode`); resources by numbers (`objects`), what only the
//!   VM has by its numbers (`kept`).
//! - The functions `enif_*` stand with what they are about. They are the interface of `erl_nif.h`, with its rules: terms
//!   are valid, of an environment that lives and is not changed by another thread meanwhile; pointers are valid.
//!   No panic leaves them: they have none, but for a lack of memory, at which the VM would end as well; what is asked of
//!   the other side is caught.
//!
//! Locks: one each for spare memory (only tried), the atoms that are added, the nodes of pids, the types of resources and what was said of them,
//! monitors, exported objects. None is held while a destructor or a callback runs, while the VM is asked, or while
//! another is taken, but for what was said of types, under their lock.

// In this crate an `unsafe fn` demands the above and nothing else, and nearly all of them do nothing but what that
// allows.
#![allow(unsafe_op_in_unsafe_fn)]
#![allow(clippy::missing_safety_doc)]

mod arena;
mod atom;
mod binary;
mod clock;
mod compare;
mod copy;
mod decode;
mod encode;
mod env;
mod hash;
mod iterator;
mod kept;
mod library;
mod map;
mod monitor;
mod number;
mod objects;
mod pid;
mod print;
mod reference;
mod resource;
mod sequence;
mod shared;
mod thread;
mod unsupported;
mod vm;
mod word;

pub use decode::decode;
pub use encode::{Unwritable, encode};
pub use library::{Library, Raised};
pub use monitor::{object_down, process_down};
pub use number::set_largest_integer;
pub use objects::{
    Exported, Extra, count as exported_count, describe_type, object, release, rustler_object,
};
pub use pid::set_node_of;
pub use reference::{request_number, request_reference};
pub use shared::{LARGE as LARGE_BINARY, Shared};
pub use vm::{Beside, Vm, pid_bytes, set_vm};
