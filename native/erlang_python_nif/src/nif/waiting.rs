//! A call of a function of Elixir that Python waits for, or the body of a `with`: in the VM, or in a process.

use crate::base::term_env::Sender;
#[cfg(feature = "main")]
use crate::engine::main::callback::CallbackHandle;
#[cfg(feature = "process")]
use crate::engine::process::{callback::RemoteCallback, run};
use crate::pool::request::Request;
use rustler::{Decoder, Env, Error, NifResult, ResourceArc, Term};
use std::sync::Arc;

pub enum Waiting {
    #[cfg(feature = "main")]
    Here(ResourceArc<CallbackHandle>),
    #[cfg(feature = "process")]
    Remote(ResourceArc<RemoteCallback>),
}

impl<'a> Decoder<'a> for Waiting {
    fn decode(term: Term<'a>) -> NifResult<Self> {
        let waiting = Err(Error::BadArg);
        #[cfg(feature = "main")]
        let waiting = waiting.or_else(|_| term.decode().map(Waiting::Here));
        #[cfg(feature = "process")]
        let waiting = waiting.or_else(|_| term.decode().map(Waiting::Remote));
        waiting
    }
}

impl Waiting {
    /// The request that it is for.
    pub fn request(&self) -> Option<Arc<Request>> {
        match self {
            #[cfg(feature = "main")]
            Waiting::Here(callback) => callback.0.request(),
            #[cfg(feature = "process")]
            Waiting::Remote(callback) => callback.0.as_ref()?.request(),
        }
    }

    /// Has the thread or the process that waits run a request of its own callback, if it is for the same pool.
    pub fn nest(&self, request: &Arc<Request>, _sender: Sender) -> bool {
        match self {
            #[cfg(feature = "main")]
            Waiting::Here(callback) => callback.0.nest(Arc::clone(request)).is_ok(),
            #[cfg(feature = "process")]
            Waiting::Remote(callback) => {
                let callback = callback.0.as_ref();
                callback.is_some_and(|callback| run::nest(callback, request, _sender))
            }
        }
    }

    /// The same for a request of a stream: by a thread only in the body of a `with`.
    pub fn nest_stream(&self, request: &Arc<Request>, sender: Sender) -> bool {
        match self {
            #[cfg(feature = "main")]
            Waiting::Here(callback) if !callback.0.is_hold() => false,
            _ => self.nest(request, sender),
        }
    }

    pub fn note_elsewhere(&self, request: &Arc<Request>, sender: Sender) {
        match self {
            #[cfg(feature = "main")]
            Waiting::Here(callback) => callback.0.note_elsewhere(request, sender),
            #[cfg(feature = "process")]
            Waiting::Remote(callback) => {
                if let Some(callback) = &callback.0 {
                    callback.note_elsewhere(request, sender);
                }
            }
        }
    }

    /// Should the calling process end, Python is told.
    pub fn watch(&self, env: Env<'_>) {
        // The calling process is alive, so it can be watched.
        let _ = match self {
            #[cfg(feature = "main")]
            Waiting::Here(callback) => env.monitor(callback, &env.pid()),
            #[cfg(feature = "process")]
            Waiting::Remote(callback) => env.monitor(callback, &env.pid()),
        };
    }

    /// Whether it needs no answer any more.
    pub fn is_answered(&self) -> bool {
        match self {
            #[cfg(feature = "main")]
            Waiting::Here(callback) => callback.0.is_answered(),
            #[cfg(feature = "process")]
            Waiting::Remote(callback) => callback.0.as_ref().is_none_or(|c| c.is_answered()),
        }
    }

    /// Answers. False if nobody waits any more.
    pub fn answer(&self, answer: Term<'_>) -> bool {
        match self {
            #[cfg(feature = "main")]
            Waiting::Here(callback) => callback.0.answer(answer),
            #[cfg(feature = "process")]
            Waiting::Remote(callback) => {
                let callback = callback.0.as_ref();
                callback.is_some_and(|callback| run::answer(callback, answer))
            }
        }
    }
}
