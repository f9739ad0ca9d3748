//! The caller's hold on its request.
//!
//! For a call that is waited for, nobody but the caller's own heap has it: when the caller dies,
//! its heap goes, and the request is cancelled with it. That costs nothing per call, where a
//! monitor costs two locks. Only the body of a `with` ends by itself when its process does, and then its request is given
//! up (`Request::leave_body`), so that its manager is told of that. A request that others may hold on to (`Python.Async`) is not tied to
//! its ticket but to a monitor on its owner.

use crate::base::resource::{self, Class, Kept};
use crate::base::term_env::Sender;
use crate::pool::request::Request;
use rustler::{Decoder, Error, NifResult, Term};
use std::ffi::CStr;
use std::sync::Arc;

pub struct Ticket(pub Arc<Request>);

impl Kept for Ticket {
    const NAME: &'static CStr = c"erlang_python_nif::pool::ticket::Ticket";

    fn class() -> &'static Class {
        static CLASS: Class = Class::new();
        &CLASS
    }

    fn down(&self, _sender: Sender) {
        self.0.cancel(false);
    }
}

impl<'a> Decoder<'a> for &'a Ticket {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        resource::of(term).ok_or(Error::BadArg)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.flags.cancel_on_drop() {
            self.0.dropped();
        }
    }
}
