//! `table_*`: columns of data frames.

use crate::base::column::{Column, Items};
use rustler::{Encoder, Env, Term};

/// The cells of a list in one piece of memory: `{kind, length, missing, present, data, places}`. `present` has a bit for
/// each, or is nil if none is missing; `places` are those of texts. Nil if they are of several kinds, or of others.
#[rustler::nif(schedule = "DirtyCpu")]
fn table_pack<'a>(env: Env<'a>, list: Term<'a>, texts: bool) -> Option<Term<'a>> {
    let column = Column::of(list, texts)?;
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
