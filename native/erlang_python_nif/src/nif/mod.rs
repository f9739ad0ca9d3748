//! The functions that Elixir sees, one file a noun, named `noun_verb`.
//!
//! They decode their arguments, then enqueue or run. Those that may wait for the GIL or for a
//! thread run on dirty I/O schedulers, all others return within microseconds.

mod callback;
#[cfg(feature = "main")]
mod event_loop;
#[cfg(feature = "main")]
mod ledger;
mod pool;
#[cfg(feature = "process")]
mod process;
mod raw;
#[cfg(feature = "main")]
mod registered;
mod request;
pub mod resources;
#[cfg(feature = "main")]
mod runtime;
#[cfg(feature = "main")]
mod source;
mod stream;
mod table;
mod waiting;
#[cfg(feature = "main")]
mod worker;
