//! The engine whose Python runs in processes of its own.

// Until the link uses them.
#[allow(dead_code)]
pub mod decode;
#[allow(dead_code)]
pub mod encode;
#[allow(dead_code)]
pub mod encoded;
#[allow(dead_code)]
mod leaf;
#[allow(dead_code)]
mod names;
#[allow(dead_code)]
mod pid;
