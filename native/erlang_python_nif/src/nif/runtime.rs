//! `runtime_*`: the interpreter as a whole.

use crate::base::atoms;
use crate::engine::main::start;
use crate::pool::ending;
use crate::python::compiled::Compiled;
use crate::python::convert::{self, Elixir, set_elixir};
use crate::python::current;
use crate::python::interpreter::{self, Setup, Start, coroutines, state, traced};
use crate::python::reaper;
use rustler::{Atom, Binary, Encoder, Env, LocalPid, NifMap, Term};

/// What `Python.Runtime` starts the interpreter with. See `Start` and `Elixir`.
#[derive(NifMap)]
struct Config<'a> {
    /// A path, which need not be UTF-8.
    program: Binary<'a>,
    package: String,
    environment: Vec<(String, String)>,
    stack_size: usize,
    stdio: bool,
    logging: bool,
    notebook: bool,
    paths: Vec<String>,
    native_layouts: bool,
    native_memory: bool,
    set_version: Option<i64>,
    decimal: bool,
    fields: Vec<(Atom, Vec<Atom>)>,
}

/// Begins to start the interpreter; `:started` or `{:failed, text}` follows as a message. `:started`
/// at once if it has been started before.
#[rustler::nif(schedule = "DirtyIo")]
fn runtime_start<'a>(env: Env<'a>, config: Config<'a>, owner: LocalPid) -> Term<'a> {
    if start::is_started() {
        return atoms::started().to_term(env);
    }
    set_elixir(Elixir {
        set_version: config.set_version,
        decimal: config.decimal,
        fields: config.fields,
    });
    let settings = Start {
        program: config.program.to_vec(),
        environment: config.environment,
        setup: Setup {
            package: config.package,
            stdio: config.stdio,
            logging: config.logging,
            notebook: config.notebook,
            paths: config.paths,
            native_layouts: config.native_layouts,
            native_memory: config.native_memory,
            stack_size: config.stack_size,
            shares_the_vm: true,
            compiled: Compiled::Own,
        },
        owner,
    };
    match start::start(settings) {
        Ok(()) => atoms::ok().to_term(env),
        Err(error) => (atoms::failed(), error.to_string()).encode(env),
    }
}

/// The application is about to end, and often the VM with it.
#[rustler::nif(schedule = "DirtyIo")]
fn runtime_ending() -> Atom {
    ending::stay_first();
    atoms::ok()
}

/// What the settings `native_layouts` and `native_memory` have led to: which layouts of memory were found, by name,
/// and whether Python's large pieces of memory come from us.
#[rustler::nif]
fn runtime_native() -> (Vec<&'static str>, bool) {
    let exceptions = current::helpers().is_some_and(|helpers| helpers.top.is_some());
    let others = [
        ("term", convert::reads_vm()),
        ("thread state", !state::are_entries_unknown()),
        ("trace function", traced::are_known()),
        ("coroutines", coroutines::are_known()),
        ("handled exceptions", exceptions),
    ];
    let others = others
        .into_iter()
        .filter_map(|(name, found)| found.then_some(name));
    #[cfg(unix)]
    let memory = interpreter::memory::is_installed();
    #[cfg(not(unix))]
    let memory = false;
    (convert::layouts_of_python().chain(others).collect(), memory)
}

/// How many references to Python objects wait to be given up.
#[rustler::nif]
fn runtime_pending_releases() -> usize {
    reaper::pending()
}

/// A finalizer that blocks: its object's class, where it is (`{file, line, function}` or `:none`), for how
/// many ms.
#[derive(NifMap)]
struct Blocked<'a> {
    class: String,
    place: Term<'a>,
    ms: u64,
}

/// The finalizers that block the threads on which references are given up.
#[rustler::nif]
fn runtime_blocked_finalizers<'a>(env: Env<'a>) -> Vec<Blocked<'a>> {
    let blocked = reaper::blocked().into_iter();
    let terms = blocked.map(|finalizer| Blocked {
        class: finalizer.class,
        place: match finalizer.place {
            Some(place) => place.encode(env),
            None => atoms::none().to_term(env),
        },
        ms: finalizer.ms,
    });
    terms.collect()
}

/// The version of this library.
#[rustler::nif]
fn runtime_nif_version() -> (Atom, &'static str) {
    (atoms::ok(), env!("CARGO_PKG_VERSION"))
}
