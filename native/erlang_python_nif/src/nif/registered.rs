//! `callback_*`: whom the interpreter of the VM calls, and by which names.

use crate::base::atoms;
use crate::base::server;
use crate::engine::main::registered;
use rustler::{Atom, Env, Term};

/// The calling process is the one that callbacks are sent to. `names`: what is registered.
#[rustler::nif]
fn callback_serve<'a>(env: Env<'a>, names: Vec<(String, Term<'a>)>) -> Atom {
    registered::set_registered(names);
    server::set(env.pid());
    atoms::ok()
}

/// False if the Python package has something else by this name.
#[rustler::nif]
fn callback_register<'a>(name: &str, described: Term<'a>) -> bool {
    registered::register(name, described)
}

#[rustler::nif]
fn callback_unregister(name: &str) -> Atom {
    registered::unregister(name);
    atoms::ok()
}
