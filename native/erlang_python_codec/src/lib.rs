//! What the VM writes for a Python process and reads from one, to be tested, and measured, without one: the same
//! files as in `erlang_python_nif`, with functions of their own. `test/support/codec.ex` builds and loads it.

#[path = "../../erlang_python_nif/src/base/mod.rs"]
#[allow(dead_code)]
mod base;

#[path = "../../erlang_python_nif/src/engine"]
mod engine {
    pub mod process {
        #[allow(dead_code)]
        pub mod decode;
        #[allow(dead_code)]
        pub mod encode;
        #[allow(dead_code)]
        pub mod encoded;
        pub mod leaf;
        mod names;
        mod pid;
    }
}

mod fuzz;
mod measure;
mod objects;

use crate::base::term_env::{Sender, TermEnv};
use crate::base::{boxed, words};
use crate::engine::process::decode::decode;
use crate::engine::process::encode::Encoder;
use crate::engine::process::encoded::{Encoded, Unsendable};
use crate::engine::process::leaf;
use crate::objects::{Known, Thing};
use erlang_python_wire::{Broken, Reader, Writer};
use rustler::{Binary, Encoder as _, Env, OwnedBinary, ResourceArc, Term};

mod atoms {
    rustler::atoms! { ok, error, none, two_workers, too_large }
}

fn load(env: Env<'_>, _info: Term<'_>) -> bool {
    words::look(env);
    boxed::look(env);
    env.register::<Thing>().is_ok() && env.register::<Known>().is_ok()
}

/// How many bytes the largest integers have.
#[rustler::nif]
fn largest_integer() -> usize {
    leaf::largest_integer()
}

/// Whether layouts of the VM's memory are read from now on.
#[rustler::nif]
fn layouts(env: Env<'_>, read: bool) -> rustler::Atom {
    if read {
        words::look(env);
    } else {
        words::forget();
    }
    atoms::ok()
}

fn encoded(terms: &[Term<'_>]) -> Result<Encoded, Unsendable> {
    let mut encoder = Encoder::new(|term, _| objects::find(term), None);
    for term in terms {
        encoder.add(*term)?;
    }
    encoder.finish()
}

/// `{:ok, bytes, worker | :none, kept}`: what the VM writes. `kept` is to be known when it is read again.
#[rustler::nif]
fn encode<'a>(env: Env<'a>, terms: Vec<Term<'a>>) -> Term<'a> {
    let encoded = match encoded(&terms) {
        Ok(encoded) => encoded,
        Err(Unsendable::TwoWorkers) => return env.error_tuple(atoms::two_workers()),
        Err(Unsendable::TooLarge) => return env.error_tuple(atoms::too_large()),
    };
    let mut frame = Writer::default();
    encoded.write(&mut frame);
    assert_eq!(frame.bytes.len(), encoded.len());
    let worker = match encoded.worker() {
        Some(worker) => worker.encode(env),
        None => atoms::none().to_term(env),
    };
    let kept = ResourceArc::new(Known::of(&encoded));
    (atoms::ok(), binary(env, &frame.bytes), worker, kept).encode(env)
}

/// `{:ok, terms}`, or `{:error, text}`: what the VM reads. `worker` is the number of the worker that it is from.
#[rustler::nif]
fn read<'a>(
    env: Env<'a>,
    bytes: Binary<'a>,
    worker: u64,
    kept: Option<ResourceArc<Known>>,
) -> Term<'a> {
    result(env, all(env, &bytes, worker, kept.as_deref()))
}

/// The same on a thread that is none of the VM's: the result is sent to the calling process.
#[rustler::nif]
fn read_elsewhere(
    env: Env<'_>,
    bytes: Binary<'_>,
    worker: u64,
    kept: Option<ResourceArc<Known>>,
) -> rustler::Atom {
    let (pid, bytes) = (env.pid(), bytes.to_vec());
    std::thread::spawn(move || {
        let sender = Sender::own_thread().expect("it is none of the VM's");
        TermEnv::new().send(sender, &pid, |env| {
            result(env, all(env, &bytes, worker, kept.as_deref()))
        });
    });
    atoms::ok()
}

fn all<'a>(
    env: Env<'a>,
    bytes: &[u8],
    worker: u64,
    kept: Option<&Known>,
) -> Result<Vec<Term<'a>>, Broken> {
    let mut reader = Reader::new(bytes);
    let objects = objects::Table { worker, kept };
    let mut terms = Vec::new();
    while !reader.is_empty() {
        terms.push(decode(env, &mut reader, &objects)?);
    }
    Ok(terms)
}

fn result<'a>(env: Env<'a>, result: Result<Vec<Term<'a>>, Broken>) -> Term<'a> {
    match result {
        Ok(terms) => (atoms::ok(), terms).encode(env),
        Err(Broken(text)) => env.error_tuple(text),
    }
}

fn binary<'a>(env: Env<'a>, bytes: &[u8]) -> Term<'a> {
    let mut binary = OwnedBinary::new(bytes.len());
    binary.copy_from_slice(bytes);
    binary.release(env).encode(env)
}

rustler::init!("Elixir.Python.Codec", load = load);
