//! `ledger_*`: how much handles keep alive.

use crate::atoms;
use crate::ledger;
use rustler::Atom;

/// All processes were collected.
#[rustler::nif]
fn ledger_collected() -> Atom {
    ledger::collected();
    atoms::ok()
}
