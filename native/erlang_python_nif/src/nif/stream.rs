//! `stream_*`: what the consumer of a stream asks for. The stream itself is opened by a request.

use crate::base::atoms;
use crate::base::term_env::Sender;
use crate::nif::waiting::Waiting;
use crate::pool::Submitted;
use crate::pool::request::Request;
use crate::pool::stream::{Consumer, Demanded, Flushed, Waiter};
use rustler::{Atom, Env, ResourceArc, Term};
use std::sync::Arc;

/// Asks for the next chunk. `:coming`: `{reference, answer}` follows as a message; `:ended`: there is
/// none; `:overloaded` or `:closed`: the pool takes no request. `callbacks`: what the calling process runs.
#[rustler::nif]
fn stream_demand<'a>(
    env: Env<'a>,
    consumer: ResourceArc<Consumer>,
    reference: Term<'a>,
    callbacks: Vec<Waiting>,
) -> Atom {
    let sender = Sender::scheduler(env);
    let nest = nest(&callbacks, sender);
    match consumer.0.demand(env.pid(), reference, &nest, sender) {
        Demanded::Coming | Demanded::Refused(Submitted::Queued) => atoms::coming(),
        Demanded::Ended => atoms::ended(),
        Demanded::Refused(Submitted::Overloaded) => atoms::overloaded(),
        Demanded::Refused(Submitted::Closed) => atoms::closed(),
    }
}

/// Asks for what there is of a chunk that is long in the making. `:sent`: the message is there;
/// `:early`: it is not long in the making yet; `:empty`: there is nothing of it.
#[rustler::nif]
fn stream_flush(env: Env<'_>, consumer: ResourceArc<Consumer>) -> Atom {
    match consumer.0.flush(Sender::scheduler(env)) {
        Flushed::Sent => atoms::sent(),
        Flushed::Early => atoms::early(),
        Flushed::Empty => atoms::empty(),
    }
}

/// Gives up the chunk that was asked for, as `request_cancel/2` does with a request; the place is
/// told to the one who waits.
#[rustler::nif]
fn stream_cancel(consumer: ResourceArc<Consumer>) -> Atom {
    super::request::progress(consumer.0.cancel())
}

/// Stops waiting. False if something is in the mailbox already, or about to be.
#[rustler::nif]
fn stream_stop_listening(consumer: ResourceArc<Consumer>) -> bool {
    consumer.0.stop_listening()
}

/// Closes the iterator. True if it is closed; otherwise `{reference, {:ok, :closed}}` follows when it
/// has been.
#[rustler::nif]
fn stream_close<'a>(
    env: Env<'a>,
    consumer: ResourceArc<Consumer>,
    reference: Term<'a>,
    callbacks: Vec<Waiting>,
) -> bool {
    let waiter = Waiter::new(env.pid(), reference);
    let sender = Sender::scheduler(env);
    consumer
        .0
        .close(Some(waiter), &nest(&callbacks, sender), sender)
}

/// A body of a `with` that the process is in takes the requests of streams of its pool. `callbacks`: what the
/// process runs, the innermost first.
fn nest(callbacks: &[Waiting], sender: Sender) -> impl Fn(&Arc<Request>) -> bool {
    move |request| callbacks.iter().any(|c| c.nest_stream(request, sender))
}
