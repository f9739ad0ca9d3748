//! What a worker names by numbers, as terms.

use super::callback::{Callback, RemoteCallback};
use super::decode::Objects;
use super::link::Link;
use super::object::RemoteObject;
use super::sent::Sent;
use super::stream::Items;
use crate::pool::marks::{BESIDE, NESTED};
use crate::pool::request::Request;
use crate::pool::stream::Consumer;
use erlang_python_wire::{Broken, tag};
use rustler::{Encoder, Env, ResourceArc, Term};
use std::sync::Arc;

pub struct Decoding<'l> {
    pub link: &'l Arc<Link>,
    /// What the terms are for: a stream is its caller's, and a body of a `with` is too.
    pub request: Option<&'l Arc<Request>>,
    /// Callbacks are bodies of `with`.
    pub is_hold: bool,
}

impl Objects for Decoding<'_> {
    fn object<'a>(
        &self,
        env: Env<'a>,
        kind: u8,
        number: u64,
        extra: u64,
    ) -> Result<Term<'a>, Broken> {
        let link = self.link;
        match kind {
            tag::object::CALLBACK => {
                let request = match self.request {
                    Some(request) => Some(Arc::clone(request)),
                    None => link.request(extra),
                };
                let callback = Callback::new(link, number, request, self.is_hold);
                Ok(ResourceArc::new(RemoteCallback(Some(callback))).encode(env))
            }
            tag::object::STREAM => {
                let request = self
                    .request
                    .ok_or(Broken("a stream that nobody has asked for"))?;
                let mut limits = Sent::of(request)
                    .and_then(|sent| sent.limits)
                    .ok_or(Broken("a stream that nobody has asked for"))?;
                if request.marks.has(NESTED) && !request.marks.has(BESIDE) {
                    // What is read where its worker waits is asked for by the one it waits for.
                    limits.prefetch = 0;
                }
                let items = Items::new(link, number);
                let consumer = Consumer::new(request, Box::new(items), limits);
                Ok(ResourceArc::new(consumer).encode(env))
            }
            _ => Ok(ResourceArc::new(RemoteObject::new(link, kind, number)).encode(env)),
        }
    }

    fn kept<'a>(&self, env: Env<'a>, number: u64) -> Result<Term<'a>, Broken> {
        self.link
            .kept(env, number)
            .ok_or(Broken("a term that the VM does not keep"))
    }

    fn beside<'a>(
        &self,
        env: Env<'a>,
        memory: u64,
        at: u64,
        size: u64,
    ) -> Result<Term<'a>, Broken> {
        if memory != 0 {
            return Err(Broken("a binary is in memory that is not its tray"));
        }
        self.link.tray.read(env, at, size)
    }
}
