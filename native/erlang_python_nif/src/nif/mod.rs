//! The functions that Elixir sees, one file a noun, named `noun_verb`.
//!
//! They decode their arguments, then enqueue or run. Those that may wait for the GIL or for a
//! thread run on dirty I/O schedulers, all others return within microseconds.

mod callback;
mod ledger;
mod pool;
mod process;
mod raw;
mod request;
pub mod resources;
mod runtime;
mod source;
mod stream;
mod worker;
