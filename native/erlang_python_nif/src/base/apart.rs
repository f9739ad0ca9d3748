//! Data that has cache lines of its own.

use std::ops::Deref;

/// What one processor changes all the time would slow others down that look at what is beside it. Processors fetch
/// lines of 64 bytes in pairs.
#[derive(Default)]
#[repr(align(128))]
pub struct Apart<T>(T);

impl<T> Apart<T> {
    pub const fn new(value: T) -> Self {
        Apart(value)
    }
}

impl<T> Deref for Apart<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
