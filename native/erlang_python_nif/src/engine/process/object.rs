//! Objects of worker processes, as Elixir holds them.

use super::callback::RemoteCallback;
use super::encoded::Object;
use super::link::Link;
use super::stream::Items;
use crate::pool::stream::{Consumer, Stream};
use erlang_python_wire::tag;
use rustler::{Resource, ResourceArc, Term};
use std::any::Any;
use std::sync::{Arc, Weak};

/// An object of a worker process. When nobody has it any more, the worker gives it up. Who has it keeps nothing of the
/// worker: somebody may for long after that has ended.
pub struct RemoteObject {
    link: Weak<Link>,
    /// Of the worker; 0 in that which keeps the type.
    worker: u64,
    kind: u8,
    number: u64,
}

impl Resource for RemoteObject {}

impl RemoteObject {
    pub fn new(link: &Arc<Link>, kind: u8, number: u64) -> Self {
        RemoteObject {
            link: Arc::downgrade(link),
            worker: link.number,
            kind,
            number,
        }
    }

    /// For `resources::register`: it stands for nothing.
    pub fn spare() -> Self {
        RemoteObject {
            link: Weak::new(),
            worker: 0,
            kind: tag::object::OTHER,
            number: 0,
        }
    }
}

impl Drop for RemoteObject {
    fn drop(&mut self) {
        if let Some(link) = self.link.upgrade() {
            link.release(self.number);
        }
    }
}

/// The object that a reference stands for, if it is one of a worker's.
pub fn find(reference: Term<'_>) -> Option<Object> {
    let of = |worker, kind, number| Object {
        worker,
        kind,
        number,
        extra: 0,
    };
    if let Ok(object) = reference.decode::<ResourceArc<RemoteObject>>() {
        return (object.worker > 0).then(|| of(object.worker, object.kind, object.number));
    }
    if let Ok(callback) = reference.decode::<ResourceArc<RemoteCallback>>() {
        let callback = callback.0.as_ref()?;
        return Some(of(callback.worker, tag::object::CALLBACK, callback.number));
    }
    let consumer = reference.decode::<ResourceArc<Consumer>>().ok()?;
    let items = items(&consumer.0)?;
    Some(of(items.link, tag::object::STREAM, items.number))
}

/// What a stream of this engine's reads.
pub fn items(stream: &Stream) -> Option<&Items> {
    (&*stream.source as &dyn Any).downcast_ref()
}
