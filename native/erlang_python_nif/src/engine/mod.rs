//! Engines: how the requests of a pool are run.

pub mod main;

pub use crate::pool::engine::{Drained, Engine};
