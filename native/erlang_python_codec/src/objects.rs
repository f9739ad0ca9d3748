//! Objects of a worker, as the VM has them.

use crate::base::term_env::OwnedTerm;
use crate::engine::process::decode::Objects;
use crate::engine::process::encoded::{Encoded, Object};
use erlang_python_wire::Broken;
use rustler::{Encoder, Env, Resource, ResourceArc, Term};
use std::collections::HashMap;

/// Stands for an object.
pub struct Thing(pub Object);

impl Resource for Thing {}

/// Terms that are kept for the worker.
pub struct Known(HashMap<u64, OwnedTerm>);

impl Resource for Known {}

impl Known {
    pub fn of(encoded: &Encoded) -> Self {
        let kept = encoded.kept();
        Known(
            kept.map(|(number, term)| (number, OwnedTerm::new(term)))
                .collect(),
        )
    }
}

pub fn find(reference: Term<'_>) -> Option<Object> {
    let thing: ResourceArc<Thing> = reference.decode().ok()?;
    Some(thing.0)
}

/// A reference that stands for an object of a worker.
#[rustler::nif]
fn object(worker: u64, kind: u8, number: u64, extra: u64) -> ResourceArc<Thing> {
    ResourceArc::new(Thing(Object {
        worker,
        kind,
        number,
        extra,
    }))
}

/// What an object is: `{worker, kind, number, extra}`.
#[rustler::nif]
fn describe(thing: ResourceArc<Thing>) -> (u64, u8, u64, u64) {
    let Object {
        worker,
        kind,
        number,
        extra,
    } = thing.0;
    (worker, kind, number, extra)
}

/// What a link knows of its worker: objects of less than a thousand, and terms that are kept for it.
pub struct Table<'k> {
    pub worker: u64,
    pub kept: Option<&'k Known>,
}

impl Objects for Table<'_> {
    fn object<'a>(
        &self,
        env: Env<'a>,
        kind: u8,
        number: u64,
        extra: u64,
    ) -> Result<Term<'a>, Broken> {
        if !(1..=4).contains(&kind) || number >= 1_000 {
            return Err(Broken("there is no such object"));
        }
        let object = Object {
            worker: self.worker,
            kind,
            number,
            extra,
        };
        Ok(ResourceArc::new(Thing(object)).encode(env))
    }

    fn kept<'a>(&self, env: Env<'a>, number: u64) -> Result<Term<'a>, Broken> {
        let term = self.kept.and_then(|known| known.0.get(&number));
        term.map(|term| term.in_env(env))
            .ok_or(Broken("no such term is kept"))
    }
}
