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
//! Files that use each other in a circle are in one folder, and at most four.

mod base;
mod engine;
#[path = "../../erlang_python_loader/src/entry.rs"]
pub mod entry;
mod nif;
mod pool;
mod python;
pub mod remote;

pub use nif::resources::register;
