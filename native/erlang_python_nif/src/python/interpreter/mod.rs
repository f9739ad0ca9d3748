//! The one interpreter of this VM, and the threads that enter it.
//!
//! Rules: no Python code runs on a scheduler's own stack (`stack`); a thread that has entered
//! Python keeps its thread state for good, so that `threading.local` and context variables last;
//! nothing here is called with a lock held (`lock`).

#[cfg(all(unix, debug_assertions))]
pub mod checked;
pub mod config;
pub mod coroutines;
pub mod delicate;
pub mod entrance;
pub mod environ;
mod frame;
mod gil_cell;
pub mod handled;
pub mod imports;
pub mod layouts;
#[cfg(unix)]
pub mod memory;
pub mod nudge;
mod probe;
mod ready;
mod settings;
pub mod stack;
pub mod stand;
pub mod state;
mod symbol;
mod thread;
pub mod traced;
mod tracing;

pub use config::{Setup, Start};
pub use frame::{Code, Frame, Location, Uncollected, remember_list};
pub use gil_cell::GilCell;
pub use ready::{set_ready, wait_for_python};
pub use settings::Settings;
pub use stack::stack_size;
pub use symbol::symbol;
pub use thread::{Detached, PythonThread, absorb, count_entry, enter, leave_for_good, raise_in};
