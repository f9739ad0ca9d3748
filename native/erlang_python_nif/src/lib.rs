//! CPython inside the BEAM.
//!
//! Five floors, each of which uses only those below (`scripts/check_floors.exs` looks after that):
//!
//! - `nif/`: the functions that Elixir sees. They decode, then enqueue or run. `remote/`: the same for a VM that is
//!   another process.
//! - `engine/`: how the requests of a pool are run. `engine/main/`: by the one interpreter in the VM.
//! - `pool/`: which request runs next, who is answered, who gave up. `python/`: the interpreter and its threads,
//!   objects and terms. These two know nothing of each other.
//! - `base/`: terms, locks, a clock, and what is known of the VM and its process.
//!
//! There is a feature for each engine. The library of the VM with the interpreter in it and that of a Python process
//! have `main`. The library that looks after Python processes has `process` alone: it needs no libpython
//! (`native/erlang_python_process`, which is this crate under another name).
//!
//! Files that use each other in a circle are in one folder, and at most four.

// Each of the libraries uses a part of the lower floors. All features together use everything.
#![cfg_attr(
    not(all(feature = "main", feature = "process")),
    allow(dead_code, unused_imports)
)]

mod base;
mod engine;
#[path = "../../erlang_python_loader/src/entry.rs"]
pub mod entry;
mod nif;
mod pool;
#[cfg(feature = "main")]
mod python;
#[cfg(feature = "main")]
pub mod remote;

pub use nif::resources::register;

#[cfg(feature = "library")]
nif_init!(c"erlang_python_process", register);
