//! CPython inside the BEAM.
//!
//! From the outside in, each layer calling only the next:
//!
//! - `nif/`: the functions that Elixir sees. They decode, then enqueue or run.
//! - `pool`, `queue`, `worker`, `request`: which thread runs what, who is answered, who gave up. `deadline`,
//!   `on_interrupt`, `stuck`: until when a request may take, what ends its waits, and those that do not end.
//! - `call`, `arguments`, `stream`: what a request asks of Python; `callback`, `package`, `output`,
//!   `mailbox`: what Python asks of us.
//! - `names`, `code`, `source`, `namespace`, `object`, `exception`: what Python keeps for us between two calls;
//!   `weight`, `ledger`: how much that is.
//! - `made`: what the objects of our classes hold.
//! - `convert/`: terms to objects and back; the only place that knows both.
//! - `interpreter/`: the one interpreter, its threads, their stacks.
//! - `resources`: what the VM's garbage collector owns, and why this library stays for its life.
//! - `ending`: how the VM's process ends.
//! - `processes`: those that Python starts for itself.
//! - `fork`: copies of the VM, in which nothing of this but Python goes on.
//! - `term_env`: environments for terms that outlive a NIF, and sending them.

mod base;
mod engine;
#[path = "../../erlang_python_loader/src/entry.rs"]
mod entry;
mod nif;
mod pool;
mod python;

nif_init!(c"erlang_python", nif::resources::register);
