//! How long it takes, in ns, in the best of some rounds, and what the VM takes for the same.

use crate::base::term_env::TermEnv;
use crate::engine::process::decode::decode;
use crate::objects::Table;
use crate::{atoms, encoded};
use erlang_python_wire::Reader;
use rustler::{Atom, Binary, Encoder, Env, Term};
use std::time::Instant;

rustler::atoms! { copy, external, scheduler }

fn best(rounds: u32, mut work: impl FnMut()) -> u64 {
    let round = |_| {
        let begun = Instant::now();
        work();
        begun.elapsed().as_nanos() as u64
    };
    (0..rounds).map(round).min().unwrap_or(0)
}

/// `:ok` is ours, `:copy` what a request in the VM takes, `:external` the external term format.
#[rustler::nif(schedule = "DirtyCpu")]
fn time_to_write(term: Term<'_>, how: Atom, rounds: u32) -> u64 {
    if how == copy() {
        best(rounds, || {
            TermEnv::new().copy(term);
        })
    } else if how == external() {
        best(rounds, || drop(term.to_binary()))
    } else {
        best(rounds, || {
            assert!(encoded(&[term]).is_ok());
        })
    }
}

/// On a `:scheduler`, or on a thread of our own.
#[rustler::nif(schedule = "DirtyCpu")]
fn time_to_read<'a>(env: Env<'a>, bytes: Binary<'a>, how: Atom, rounds: u32) -> Term<'a> {
    let bytes = bytes.to_vec();
    let ours = move || {
        best(rounds, || {
            let own = TermEnv::new();
            let objects = Table {
                worker: 0,
                kept: None,
            };
            let term = decode(own.env(), &mut Reader::new(&bytes), &objects);
            assert!(term.is_ok());
        })
    };
    if how == scheduler() {
        ours().encode(env)
    } else {
        match std::thread::spawn(ours).join() {
            Ok(time) => time.encode(env),
            Err(_) => atoms::error().encode(env),
        }
    }
}

/// The VM's own reading of its external term format.
#[rustler::nif(schedule = "DirtyCpu")]
fn time_to_read_external(bytes: Binary<'_>, rounds: u32) -> u64 {
    best(rounds, || {
        let own = TermEnv::new();
        assert!(own.env().binary_to_term(&bytes).is_some());
    })
}
