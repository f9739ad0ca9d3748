//! The one interpreter of this VM, and the threads that enter it.
//!
//! Rules: no Python code runs on a scheduler's own stack (`stack`); a thread that has entered
//! Python keeps its thread state for good, so that `threading.local` and context variables last;
//! nothing here is called with a lock held (`lock`).

pub mod assistant;
#[cfg(unix)]
mod blocks;
#[cfg(all(unix, debug_assertions))]
mod checked;
mod delicate;
mod environ;
pub mod foreign;
mod frame;
mod gil_cell;
pub mod handled;
pub mod interrupt;
#[cfg(unix)]
mod memory;
pub mod python;
pub mod reaper;
pub mod signals;
mod stack;
pub mod stand;
mod start;
mod symbol;
mod thread;
mod traced;
mod tracing;

pub use frame::Location;
pub use gil_cell::GilCell;
pub use stack::stack_size;
pub use start::{Start, is_started, start, start_once};
pub use symbol::symbol;
pub use thread::{PythonThread, enter, is_any_aimed_at, leave_for_good};
