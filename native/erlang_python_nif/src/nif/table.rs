//! `table_*`: columns of data frames.

use crate::base::atoms;
use crate::base::column::{Column, Items, Part};
use crate::base::lock::Mutex;
use rustler::{Encoder, Env, Resource, ResourceArc, Term};
use std::sync::Arc;

/// How many cells a scheduler reads at once, before those of other columns. Some µs, and a part of its processor's cache.
const TURN: usize = 1_024;

/// A column that is being packed. Empty when it has been.
pub struct Packing(Mutex<Option<Column>>);

impl Resource for Packing {}

impl Packing {
    /// For `resources::register`.
    pub fn spare() -> Self {
        Packing(Mutex::new(None))
    }
}

/// Begins with a column of about so many cells. `texts`: whether they may be texts.
#[rustler::nif]
fn table_begin(length: usize, texts: bool) -> ResourceArc<Packing> {
    ResourceArc::new(Packing(Mutex::new(Some(Column::new(length, texts)))))
}

/// Adds the first cells of a list, and returns the rest. Nil if they are of several kinds, or of others, or the list is
/// improper.
#[rustler::nif]
fn table_add<'a>(env: Env<'a>, packing: ResourceArc<Packing>, list: Term<'a>) -> Term<'a> {
    let rest = (packing.0.lock().as_mut()).and_then(|column| column.fill(list, TURN));
    rest.unwrap_or_else(|| atoms::nil().to_term(env))
}

/// All cells, `{kind, length, missing, present, data, places}`. `present` has a bit for each, or is nil if none is missing;
/// `places` are those of texts. Nil if there is nothing in it. The memory is that of binaries, or of `Part`s, which only
/// Python in this VM can be given.
#[rustler::nif]
fn table_end<'a>(
    env: Env<'a>,
    packing: ResourceArc<Packing>,
    as_binaries: bool,
) -> Option<Term<'a>> {
    let column = Arc::new(packing.0.lock().take()?);
    let kind = match column.items {
        Items::Unknown => return None,
        Items::Integers(_) => "i",
        Items::Floats(_) => "f",
        Items::Bools(_) => "b",
        Items::Texts { .. } => "u",
    };
    let part = |read| {
        let part = ResourceArc::new(Part::of(&column, read)?);
        Some(if as_binaries {
            part.make_binary(env, Part::bytes).to_term(env)
        } else {
            part.encode(env)
        })
    };
    let (length, missing) = (column.length, column.missing);
    let parts = [Column::present, Column::data, Column::places].map(part);
    let [present, data, places] = parts;
    Some((kind, length, missing, present, data, places).encode(env))
}
