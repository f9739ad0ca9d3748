//! `source_*`: sources of code that came as text.

use crate::python::source;

/// A line of code that is said to be in a file, or nil.
#[rustler::nif]
fn source_line(file: &str, number: u32) -> Option<String> {
    source::line(file, number)
}
