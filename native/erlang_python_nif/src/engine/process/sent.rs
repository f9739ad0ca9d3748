//! What is kept with a request that a worker process runs.

use super::encode::Encoder;
use super::encoded::{Encoded, Unsendable};
use super::everywhere::Everywhere;
use super::link::Link;
use super::object;
use crate::base::atoms;
use crate::base::lock::Mutex;
use crate::base::operands::Operands;
use crate::pool::request::Request;
use crate::pool::stream::Limits;
use rustler::{Atom, Encoder as _, Env, Term};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

pub struct Sent {
    /// Which no other request has, or had, in this VM.
    pub number: u64,
    operation: Mutex<Operation>,
    /// Of the stream that it opens.
    pub limits: Option<Limits>,
    /// It is for every worker.
    pub is_exec: bool,
    /// It is a small call with nothing in it that a worker or the VM has to keep.
    pub is_light: bool,
    /// How far it is, a bit each.
    progress: AtomicU8,
    link: OnceLock<Weak<Link>>,
    /// The requests that each worker has of it.
    pub everywhere: OnceLock<Arc<Everywhere>>,
}

/// What is asked of Python.
enum Operation {
    /// Its tag says all.
    Tag,
    Ready(Arc<Encoded>),
    Refused(Unsendable),
    Gone,
}

/// The frame that asks for it was sent.
const ASKED: u8 = 1;
/// It is to be cancelled.
const CANCELLED: u8 = 1 << 1;

impl Default for Sent {
    fn default() -> Self {
        Sent::new(Operation::Tag, None, false)
    }
}

impl Sent {
    fn new(operation: Operation, limits: Option<Limits>, is_exec: bool) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let is_light = matches!(&operation, Operation::Ready(encoded) if encoded.is_light());
        Sent {
            number: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            operation: Mutex::new(operation),
            is_light: is_light && limits.is_none() && !is_exec,
            limits,
            is_exec,
            progress: AtomicU8::new(0),
            link: OnceLock::new(),
            everywhere: OnceLock::new(),
        }
    }

    /// In the caller's NIF: makes bytes of what is asked.
    pub fn encode(operation: Term<'_>) -> Self {
        let tag = tag(operation);
        let is_exec = tag == Some(atoms::exec());
        let is_stream = tag == Some(atoms::stream());
        let (operation, limits) = match is_stream.then(|| limits(operation)).flatten() {
            Some((operation, limits)) => (operation, Some(limits)),
            None => (operation, None),
        };
        let operation = match encode_about(operation, target(operation)) {
            Ok(encoded) => Operation::Ready(Arc::new(encoded)),
            Err(error) => Operation::Refused(error),
        };
        Sent::new(operation, limits, is_exec)
    }

    /// The same operation for another request.
    pub fn again(&self) -> Option<Self> {
        let encoded = self.operation().ok()??;
        Some(Sent::new(Operation::Ready(encoded), None, false))
    }

    /// None for a request that is none of this engine's.
    pub fn of(request: &Request) -> Option<&Sent> {
        request.kept()
    }

    /// Of a stream's request, which was not prepared, too.
    pub fn of_any(request: &Request) -> Option<&Sent> {
        request.keep_for_engine()
    }

    /// The bytes; none for a request whose tag says all, and for one that has ended.
    pub fn operation(&self) -> Result<Option<Arc<Encoded>>, Unsendable> {
        match &*self.operation.lock() {
            Operation::Ready(encoded) => Ok(Some(Arc::clone(encoded))),
            Operation::Refused(error) => Err(*error),
            Operation::Tag | Operation::Gone => Ok(None),
        }
    }

    /// Lets go of what was to be sent.
    pub fn forget(&self) {
        let operation = std::mem::replace(&mut *self.operation.lock(), Operation::Gone);
        drop(operation);
    }

    /// The link whose worker runs it.
    pub fn link(&self) -> Option<Arc<Link>> {
        self.link.get()?.upgrade()
    }

    pub fn set_link(&self, link: &Arc<Link>) {
        let _ = self.link.set(Arc::downgrade(link));
    }

    /// It was asked for. Says whether it is to be cancelled.
    pub fn was_asked(&self) -> bool {
        self.progress.fetch_or(ASKED, Ordering::AcqRel) & CANCELLED != 0
    }

    /// It is to be cancelled. Says whether it was asked for, and not cancelled before.
    pub fn cancel(&self) -> bool {
        self.progress.fetch_or(CANCELLED, Ordering::AcqRel) == ASKED
    }

    pub fn is_asked(&self) -> bool {
        self.progress.load(Ordering::Acquire) & ASKED != 0
    }
}

pub fn encode(term: Term<'_>) -> Result<Encoded, Unsendable> {
    encode_about(term, None)
}

fn encode_about(term: Term<'_>, target: Option<Term<'_>>) -> Result<Encoded, Unsendable> {
    let find = |term: Term<'_>, is_handle: bool| is_handle.then(|| object::find(term)).flatten();
    let mut encoder = Encoder::new(find, target);
    encoder.add(term)?;
    encoder.finish()
}

/// The reference of the handle that an operation is about: it is there without its struct.
fn target(operation: Term<'_>) -> Option<Term<'_>> {
    let elements = Operands::of(operation)?;
    match elements.first()?.decode::<Atom>().ok()? {
        tag if tag == atoms::stream() => target(*elements.last()?),
        tag if tag == atoms::call()
            || tag == atoms::map()
            || tag == atoms::describe()
            || tag == atoms::array_of()
            || tag == atoms::table_of() =>
        {
            elements.get(1).copied().filter(|target| target.is_ref())
        }
        _ => None,
    }
}

pub fn tag(operation: Term<'_>) -> Option<Atom> {
    Operands::of(operation)?.first()?.decode().ok()
}

/// Of `{:stream, max_chunk, max_wait, prefetch, source}`; and the operation for the worker, which fetches nothing
/// before it is asked for: that is done here.
fn limits(operation: Term<'_>) -> Option<(Term<'_>, Limits)> {
    let env: Env<'_> = operation.get_env();
    let (tag, max_items, max_wait, prefetch, source): (Atom, usize, u64, usize, Term) =
        operation.decode().ok()?;
    let limits = Limits {
        max_items,
        max_wait: Duration::from_millis(max_wait),
        prefetch,
    };
    Some(((tag, max_items, max_wait, 0, source).encode(env), limits))
}
