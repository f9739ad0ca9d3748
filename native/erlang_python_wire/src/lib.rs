//! What goes between the VM and a Python process: frames, and terms in them.
//!
//! A frame is a length, a kind and fields (`frame`). Numbers are little-endian. Terms are in the external term
//! format without its version byte, with tags of our own for what only these two know (`tag`).

pub mod frame;
pub mod node;
pub mod reader;
pub mod shape;
pub mod tag;
pub mod writer;

pub use reader::{Broken, Reader};
pub use shape::Shape;
pub use writer::Writer;

/// Both sides must be of the same build; this is what a worker says it is of.
pub const VERSION: u32 = 1;

/// How deep terms may be nested: the deepest value that is converted, within an operation. Its 1,000 levels may be
/// sets, which are two levels of terms each.
pub const MAX_DEPTH: usize = 2_100;

/// Binaries of so many bytes cross beside the frames, in memory that both sides see, where there is such memory.
pub const BESIDE: usize = 1 << 20;

/// How many bytes a frame may have. So many may be beside it.
pub const MAX_FRAME: usize = 1 << 31;
