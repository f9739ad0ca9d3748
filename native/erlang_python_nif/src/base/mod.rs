//! What everything else stands on: terms and locks, a clock, and what is known of the VM and its process. Nothing
//! here knows Python.

#[cfg(unix)]
mod allocator;
pub mod apart;
pub mod atoms;
pub mod bell;
pub mod binaries;
#[cfg(unix)]
pub mod blocks;
pub mod boxed;
pub mod clock;
pub mod column;
pub mod copies;
pub mod deadline;
pub mod flags;
pub mod fork;
pub mod guard;
pub mod inbox;
pub mod later;
pub mod ledger;
pub mod lock;
pub mod lookout;
pub mod mailbox;
pub mod map;
pub mod name;
pub mod numbers;
pub mod once;
pub mod operands;
pub mod pairs;
pub mod pipe;
pub mod processes;
pub mod resident;
pub mod resource;
pub mod segment;
pub mod server;
pub mod side;
pub mod signals;
pub mod sleepers;
pub mod term_env;
pub mod thread;
#[cfg(unix)]
pub mod tidiness;
pub mod waker;
pub mod words;

/// File, line and function.
pub type Location = (String, i64, String);
