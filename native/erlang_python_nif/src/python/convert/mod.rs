//! Terms to Python objects and back, in one pass each way. The only place that knows both worlds.
//!
//! Both directions recurse, on a stack that is big enough for [`MAX_DEPTH`] levels. What cannot
//! cross is an [`Unconvertible`] with the path to the element.

mod buffer;
mod copy;
mod function;
mod integer;
mod keys;
mod layout;
mod level;
mod opaque;
mod replaced;
mod shapes;
mod structs;
mod table;
mod terms;
mod to_python;
mod to_term;
mod unconvertible;

use crate::base::{map, words};

pub use buffer::Shown;
pub use function::registered as registered_function;
pub use layout::{found as layouts_of_python, look as look_at_python};
pub use opaque::{add_to, atom_name, existing_atom, keep, kept, local_pid};
pub use replaced::mark_decoders;
pub use structs::{Elixir, array_from, described_function, set_elixir};
pub use table::{Form, from as table_from};
pub use terms::{name_text, text};
pub use to_python::Encoder;
pub use to_term::{Decoder, Immediate, word};
pub use unconvertible::{Failure, Step, Unconvertible};
pub use words::{as_expected as reads_vm, forget as forget_vm};

/// How deep values may be nested. Python's own recursion limit is of the same size, so little
/// could be done with deeper ones there.
pub const MAX_DEPTH: usize = 1_000;

/// How many elements one value may have in all. A structure that shares its parts can be tiny in
/// Python and endless as a term.
pub const MAX_ITEMS: usize = 100_000_000;

/// How many bytes of text, data and big integers may be copied for one value, for the same reason:
/// a list can have one string a million times.
pub const MAX_COPIED: usize = 4 << 30;
