//! Iterators in worker processes, as streams read them.

use super::link::Link;
use crate::pool::stream::Source;
use erlang_python_wire::Writer;
use erlang_python_wire::frame::to_worker;
use std::sync::{Arc, Weak};

/// As `RemoteObject`.
pub struct Items {
    held: Weak<Link>,
    /// The numbers of the link, of its worker in the pool, and of the iterator there.
    pub link: u64,
    worker: u64,
    pub number: u64,
}

impl Items {
    pub fn new(link: &Arc<Link>, number: u64) -> Self {
        link.wear.stream_opened();
        Items {
            held: Arc::downgrade(link),
            link: link.number,
            worker: link.worker.id,
            number,
        }
    }
}

impl Source for Items {
    fn worker(&self) -> u64 {
        self.worker
    }

    fn flush(&self) {
        let mut frame = Writer::frame(to_worker::FLUSH);
        frame.u64(self.number);
        if let Some(link) = self.held.upgrade() {
            link.send(frame);
        }
    }

    /// The worker closes what nobody has any more. So it is enough that the stream goes.
    fn release(&self) {}

    fn close(&self) {}
}

impl Drop for Items {
    fn drop(&mut self) {
        if let Some(link) = self.held.upgrade() {
            link.wear.stream_closed();
            link.release(self.number);
        }
    }
}
