//! Objects of worker processes, as Elixir holds them.

use super::callback::RemoteCallback;
use super::encoded::Object;
use super::link::Link;
use super::stream::Items;
use crate::pool::stream::{Consumer, Stream};
use erlang_python_wire::tag;
use rustler::{Resource, ResourceArc, Term};
use std::any::Any;
use std::sync::Arc;

/// An object of a worker process. When nobody has it any more, the worker gives it up.
pub struct RemoteObject {
    /// None in that which keeps the type.
    link: Option<Arc<Link>>,
    kind: u8,
    number: u64,
}

impl Resource for RemoteObject {}

impl RemoteObject {
    pub fn new(link: Arc<Link>, kind: u8, number: u64) -> Self {
        RemoteObject {
            link: Some(link),
            kind,
            number,
        }
    }

    /// For `resources::register`: it stands for nothing.
    pub fn spare() -> Self {
        RemoteObject {
            link: None,
            kind: tag::object::OTHER,
            number: 0,
        }
    }
}

impl Drop for RemoteObject {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            link.release(self.number);
        }
    }
}

/// The object that a reference stands for, if it is one of a worker's.
pub fn find(reference: Term<'_>) -> Option<Object> {
    if let Ok(object) = reference.decode::<ResourceArc<RemoteObject>>() {
        let link = object.link.as_ref()?;
        return Some(of(link, object.kind, object.number, 0));
    }
    if let Ok(callback) = reference.decode::<ResourceArc<RemoteCallback>>() {
        let callback = callback.0.as_ref()?;
        return Some(of(
            &callback.link,
            tag::object::CALLBACK,
            callback.number,
            0,
        ));
    }
    let consumer = reference.decode::<ResourceArc<Consumer>>().ok()?;
    let items = items(&consumer.0)?;
    Some(of(&items.link, tag::object::STREAM, items.number, 0))
}

fn of(link: &Link, kind: u8, number: u64, extra: u64) -> Object {
    Object {
        worker: link.number,
        kind,
        number,
        extra,
    }
}

/// What a stream of this engine's reads.
pub fn items(stream: &Stream) -> Option<&Items> {
    (&*stream.source as &dyn Any).downcast_ref()
}
