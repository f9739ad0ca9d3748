//! Iterators in worker processes, as streams read them.

use super::link::Link;
use crate::pool::stream::Source;
use erlang_python_wire::Writer;
use erlang_python_wire::frame::to_worker;
use std::sync::Arc;

pub struct Items {
    pub link: Arc<Link>,
    pub number: u64,
}

impl Items {
    pub fn new(link: Arc<Link>, number: u64) -> Self {
        link.wear.stream_opened();
        Items { link, number }
    }
}

impl Source for Items {
    fn worker(&self) -> u64 {
        self.link.worker.id
    }

    fn flush(&self) {
        let mut frame = Writer::frame(to_worker::FLUSH);
        frame.u64(self.number);
        self.link.send(frame);
    }

    /// The worker closes what nobody has any more. So it is enough that the stream goes.
    fn release(&self) {}

    fn close(&self) {}
}

impl Drop for Items {
    fn drop(&mut self) {
        self.link.wear.stream_closed();
        self.link.release(self.number);
    }
}
