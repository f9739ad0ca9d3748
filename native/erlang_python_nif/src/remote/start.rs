//! The start of such a process, and its end.

use super::{PLACE, Place, streams};
use crate::base::bell::Bell;
use crate::base::blocks::BLOCKS;
use crate::base::term_env::{SavedTerm, Sender};
use crate::engine::main::main_thread;
use crate::engine::main::own::Main;
use crate::engine::main::start as main_start;
use crate::pool::worker::Wake;
use crate::pool::{Pool, Worker, handles};
use crate::python::compiled::Compiled;
use crate::python::convert::{Elixir, set_elixir};
use crate::python::interpreter::Setup;
use crate::python::reaper;
use rustler::{Atom, LocalPid, NifMap, Term};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use main_thread::End;

/// What the VM starts it with.
#[derive(NifMap)]
pub struct Settings<'a> {
    /// The name of the pool, or the process of the context.
    home: Term<'a>,
    /// Whether it is a context: its calls keep what they set.
    context: bool,
    decode: u16,
    keep_locals: bool,
    package: String,
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

/// The only worker of its pool.
const ID: u64 = 1;

/// Prepares the interpreter that runs, on its main thread, which must not hold the GIL. `owner`: a process of the VM.
pub fn start(settings: Settings<'_>, owner: LocalPid, compiled: Compiled) -> Result<(), String> {
    set_elixir(Elixir {
        set_version: settings.set_version,
        decimal: settings.decimal,
        fields: settings.fields,
    });
    main_start::start_in_running(&Setup {
        package: settings.package,
        stack_size: settings.stack_size,
        stdio: settings.stdio,
        logging: settings.logging,
        notebook: settings.notebook,
        paths: settings.paths,
        native_layouts: settings.native_layouts,
        native_memory: settings.native_memory,
        shares_the_vm: false,
        compiled,
    })?;
    let pool = Pool::new(
        owner,
        crate::pool::Settings {
            max_queue: usize::MAX,
            pinned: settings.context,
            // A context is a process: it has Python's `__main__` for itself.
            engine: Box::new(Main::new(false)),
            home: SavedTerm::save(settings.home),
            timeout: None,
            held: false,
        },
    );
    pool.set_settings(settings.decode);
    pool.keep_locals
        .store(settings.keep_locals, Ordering::Relaxed);
    let bell = Bell::new().map_err(|error| format!("cannot make a pipe: {error}"))?;
    let worker = Worker::new(ID, Wake::Main(bell));
    pool.join(&worker);
    let _ = PLACE.set(Place {
        pool: Arc::new(pool),
        worker,
    });
    Ok(())
}

/// Gives back what the start has needed and nothing else does.
pub fn tidy() {
    BLOCKS.give_back();
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: no preconditions.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Runs what the VM sends, on the main thread, until `stop`.
pub fn serve() -> End {
    match (PLACE.get(), Sender::own_thread()) {
        (Some(place), Some(sender)) => main_thread::serve(&place.pool, &place.worker, sender),
        _ => End::Closed,
    }
}

/// `stop` is at work.
static STOPS: AtomicBool = AtomicBool::new(false);

/// Takes no more, and ends what runs. The main thread may see that before all is given up.
pub fn stop() {
    if let (Some(place), Some(sender)) = (PLACE.get(), Sender::own_thread()) {
        STOPS.store(true, Ordering::SeqCst);
        streams::close_all(sender);
        handles::close(&place.pool, sender);
        STOPS.store(false, Ordering::SeqCst);
    }
}

/// Whether nothing waits for its finalizer that was given up.
pub fn has_given_up_all() -> bool {
    !STOPS.load(Ordering::SeqCst) && reaper::is_idle()
}
