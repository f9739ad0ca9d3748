//! `table_*`: columns of data frames.

use crate::base::atoms;
use crate::base::column::{Column, Items};
use crate::base::lock::Mutex;
use rustler::{Encoder, Env, Resource, ResourceArc, Term};

/// How many cells a scheduler reads at once. A tenth of a millisecond, at most.
const TURN: usize = 4_096;

/// A column that is being packed. Empty when it has been.
pub struct Packing(Mutex<Option<Column>>);

impl Resource for Packing {}

impl Packing {
    /// For `resources::register`.
    pub fn spare() -> Self {
        Packing(Mutex::new(None))
    }
}

/// Begins with a column of so many cells. `texts`: whether they may be texts.
#[rustler::nif]
fn table_begin(length: usize, texts: bool) -> ResourceArc<Packing> {
    ResourceArc::new(Packing(Mutex::new(Some(Column::new(length, texts)))))
}

/// Adds the first cells of a list, and returns the rest. Nil if they are of several kinds, or of others.
#[rustler::nif]
fn table_add<'a>(env: Env<'a>, packing: ResourceArc<Packing>, list: Term<'a>) -> Term<'a> {
    let rest = (packing.0.lock().as_mut()).and_then(|column| column.fill(list, TURN));
    rest.unwrap_or_else(|| atoms::nil().to_term(env))
}

/// All cells in one piece of memory: `{kind, length, missing, present, data, places}`. `present` has a bit for each, or is nil if
/// none is missing; `places` are those of texts. Nil if there is nothing in it, or a text is none.
#[rustler::nif(schedule = "DirtyCpu")]
fn table_end<'a>(env: Env<'a>, packing: ResourceArc<Packing>) -> Option<Term<'a>> {
    let column = packing.0.lock().take();
    let column = column.filter(Column::is_whole)?;
    let present = column.present(env);
    let (length, missing) = (column.length, column.missing);
    let (kind, data, places) = match column.items {
        Items::Unknown => return None,
        Items::Integers(items) => ("i", items.term(env)?, None),
        Items::Floats(items) => ("f", items.term(env)?, None),
        Items::Bools(items) => ("b", items.term(env)?, None),
        Items::Texts { data, places } => ("u", data.term(env)?, Some(places.term(env)?)),
    };
    Some((kind, length, missing, present, data, places).encode(env))
}
