//! `ledger_*`: how much handles keep alive.

use crate::base::atoms;
use crate::base::ledger;
use rustler::Atom;

/// All processes were collected.
#[rustler::nif]
fn ledger_collected() -> Atom {
    ledger::collected();
    atoms::ok()
}
