//! `floor_*`: what the VM charges for a native function, for the benchmarks to compare with.

use crate::atoms;
use rustler::Atom;

/// Nothing, on a normal scheduler.
#[rustler::nif]
fn floor_nif() -> Atom {
    atoms::ok()
}

/// Nothing, on a dirty I/O scheduler.
#[rustler::nif(schedule = "DirtyIo")]
fn floor_dirty() -> Atom {
    atoms::ok()
}
