//! How a term begins: the tags of the external term format, and ours from 200 on.

/// What a term in that format begins with, outside of frames.
pub const VERSION: u8 = 131;

pub const NEW_FLOAT: u8 = 70;
pub const BIT_BINARY: u8 = 77;
pub const NEW_PID: u8 = 88;
pub const NEW_PORT: u8 = 89;
pub const NEWER_REFERENCE: u8 = 90;
pub const SMALL_INTEGER: u8 = 97;
pub const INTEGER: u8 = 98;
pub const SMALL_TUPLE: u8 = 104;
pub const LARGE_TUPLE: u8 = 105;
pub const NIL: u8 = 106;
pub const STRING: u8 = 107;
pub const LIST: u8 = 108;
pub const BINARY: u8 = 109;
pub const SMALL_BIG: u8 = 110;
pub const LARGE_BIG: u8 = 111;
pub const MAP: u8 = 116;
pub const ATOM_UTF8: u8 = 118;
pub const SMALL_ATOM_UTF8: u8 = 119;
pub const V4_PORT: u8 = 120;

/// An integer of 64 bits.
pub const INT64: u8 = 200;
/// An object of the worker's: a kind (`object`), its number, and a number more.
pub const OBJECT: u8 = 202;
/// A term that the VM keeps: a kind (`kept`), its number, and bytes by which it can be told from others.
pub const KEPT: u8 = 203;
/// A binary beside the frame (`BESIDE`): the `u64` number of the memory that it is in, `u64` where in that, `u64` its
/// size. What comes from a worker is in its tray, whose number is 0.
pub const BLOB: u8 = 204;

/// What an `OBJECT` is.
pub mod object {
    /// A handle to an object of Python's.
    pub const HANDLE: u8 = 1;
    /// A call of Elixir's that Python waits for. Its second number is that of the request it is for, or 0.
    pub const CALLBACK: u8 = 2;
    pub const STREAM: u8 = 3;
    pub const OTHER: u8 = 4;
}

/// What a `KEPT` is.
pub mod kept {
    pub const FUNCTION: u8 = 1;
    pub const REFERENCE: u8 = 2;
    pub const PORT: u8 = 3;
    pub const OTHER: u8 = 4;
}
