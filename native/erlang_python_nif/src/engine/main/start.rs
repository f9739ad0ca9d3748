//! Starting the interpreter: once per VM, on a thread of its own, never ended.

use crate::base::atoms;
use crate::base::clock;
use crate::base::fork;
use crate::base::term_env::{Sender, TermEnv};
use crate::engine::main::assistant;
use crate::engine::main::callback;
use crate::engine::main::foreign;
use crate::engine::main::interrupt;
use crate::engine::main::package;
use crate::engine::main::report::Report;
use crate::pool::ending;
use crate::python::compiled::Compiled;
use crate::python::convert;
use crate::python::current;
use crate::python::helpers;
use crate::python::host;
use crate::python::interpreter::{
    self, Setup, Start, config, environ, layouts, set_ready, stack, state,
};
use crate::python::reaper;
use pyo3::ffi;
use pyo3::prelude::*;
use rustler::Encoder;
use std::sync::OnceLock;

const NO_STACK: &str = "there is no memory for a stack";

static STARTED: OnceLock<()> = OnceLock::new();

pub fn is_started() -> bool {
    STARTED.get().is_some()
}

/// Begins to start the interpreter. What comes of it is sent to the owner. Starting a second time
/// would start a second set of threads, so the caller (`Python.Runtime`) asks `is_started` first.
pub fn start(start: Start) -> std::io::Result<()> {
    settle(&start.setup);
    std::thread::Builder::new()
        .name("py_main".into())
        .stack_size(start.setup.stack_size)
        .spawn(move || {
            let Some(sender) = Sender::own_thread() else {
                return;
            };
            let mut message = TermEnv::new();
            match initialize(&start) {
                Ok(report) => {
                    let _ = STARTED.set(());
                    message.send(sender, &start.owner, |env| {
                        (atoms::started(), report).encode(env)
                    });
                    drop(message);
                    reaper::run();
                }
                Err(text) => {
                    message.send(sender, &start.owner, |env| {
                        (atoms::failed(), text).encode(env)
                    });
                }
            }
        })
        .map(drop)
}

fn initialize(start: &Start) -> Result<Report, String> {
    // The VM ignores SIGCHLD, and `waitpid` then finds no children: `subprocess.run` would hang.
    // The VM's own children are those of a helper process, so it does not mind the default.
    // SAFETY: SIG_DFL is a valid disposition.
    #[cfg(unix)]
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
    }
    environ::set(&start.environment);
    ending::stay_first();
    // The threads first: without them there is to be no interpreter, which cannot be started a second time.
    surround()?;
    config::initialize(&start.program)?;
    // SAFETY: the interpreter has just been initialised by this thread, which holds the GIL and
    // lets it go here. Every later entry, this thread's too, goes through `interpreter::enter`.
    unsafe { ffi::PyEval_SaveThread() };
    prepare(&start.setup)?;
    interpreter::enter(|py, _| Report::new(py).map_err(|error| error.to_string()))
        .ok_or(NO_STACK)?
}

/// The same in a process of Python's own, where the interpreter runs already, on its main thread, which has
/// let go of the GIL. Exits, signals, the environment and its standard streams stay Python's.
pub fn start_in_running(setup: &Setup) -> Result<(), String> {
    settle(setup);
    ending::leave_alone();
    surround()?;
    reaper::spawn().map_err(no_thread)?;
    prepare(setup)?;
    let _ = STARTED.set(());
    Ok(())
}

/// Imports the package `erlang` in a process that others are forked from, where `start_in_running` finds it. Starts no
/// thread. `compiled`: what a process before this one has told.
pub fn import(py: Python<'_>, folder: &str, compiled: Vec<u8>) -> PyResult<()> {
    let compiled = Compiled::Before(compiled);
    helpers::import(py, folder, &compiled, package::add_to).map(drop)
}

/// What is decided before there is an interpreter.
fn settle(setup: &Setup) {
    stack::set_stack_size(setup.stack_size);
    layouts::set(setup.native_layouts);
    if !setup.native_layouts {
        convert::forget_vm();
    }
}

/// What an interpreter needs around it.
fn surround() -> Result<(), String> {
    host::set(&callback::Elixir);
    clock::start()
        .and_then(|()| interrupt::start())
        .and_then(|()| assistant::start())
        .map_err(no_thread)?;
    fork::install().map_err(|error| format!("forks cannot be told: {error}"))
}

fn no_thread(error: std::io::Error) -> String {
    format!("cannot start a thread: {error}")
}

fn prepare(setup: &Setup) -> Result<(), String> {
    interpreter::enter(|py, _| {
        #[cfg(unix)]
        if setup.native_memory {
            interpreter::memory::install(py);
        }
        #[cfg(all(unix, debug_assertions))]
        interpreter::checked::install(py);
        state::find_fields(py);
        foreign::install();
        current::install(py, setup, package::add_to)
    })
    .ok_or(NO_STACK)??;
    set_ready();
    Ok(())
}
