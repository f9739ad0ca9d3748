//! Messages to calls and contexts, on their way to a worker.

use super::link::Link;
use super::sent;
use crate::base::mailbox::Mailbox;
use erlang_python_wire::Writer;

/// Hands messages on, in their order.
pub fn send(link: &Link, kind: u8, number: u64, mailbox: &Mailbox) {
    while let Some((env, message)) = mailbox.take_now() {
        let mut frame = Writer::frame(kind);
        frame.u64(number);
        if let Ok(encoded) = sent::encode(env.term(message)) {
            link.send_terms(frame, &[&encoded]);
        }
    }
}
