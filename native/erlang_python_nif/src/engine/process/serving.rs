//! What all workers are told of: the process that callbacks are sent to, and the functions that are registered.

use super::compiled;
use super::leaf;
use super::link::{Link, Stage};
use super::own::{self, Process};
use super::sent;
use crate::base::atoms;
use crate::base::lock::Mutex;
use crate::base::term_env::{OwnedTerm, TermEnv};
use erlang_python_wire::Writer;
use erlang_python_wire::frame::to_worker;
use rustler::{Encoder, Env, LocalPid, Term};
use std::collections::HashMap;
use std::sync::Arc;

/// Held for a look-up or a copy.
static SERVING: Mutex<Option<Serving>> = Mutex::new(None);

#[derive(Default)]
struct Serving {
    /// How often it has changed.
    changes: u64,
    server: Option<LocalPid>,
    registered: HashMap<String, OwnedTerm>,
}

fn change<T>(with: impl FnOnce(&mut Serving) -> T) -> T {
    let mut serving = SERVING.lock();
    let serving = serving.get_or_insert_default();
    serving.changes += 1;
    with(serving)
}

/// Callbacks are sent to this process, and these functions are registered, and no others.
pub fn serve(server: LocalPid, names: Vec<(String, Term<'_>)>) {
    let names = names.into_iter();
    let registered: HashMap<_, _> = names
        .map(|(name, described)| (name, OwnedTerm::new(described)))
        .collect();
    let former = change(|serving| {
        serving.server = Some(server);
        std::mem::replace(&mut serving.registered, registered)
    });
    drop(former);
    each(|link, env| {
        let (server, registered) = terms(env);
        send(link, to_worker::SERVE, &[server, registered]);
    });
}

pub fn register(name: &str, described: Term<'_>) {
    let owned = OwnedTerm::new(described);
    let former = change(|serving| serving.registered.insert(name.into(), owned));
    drop(former);
    each(|link, env| {
        let described = described.in_env(env);
        send(link, to_worker::REGISTER, &[name.encode(env), described]);
    });
}

pub fn unregister(name: &str) {
    let former = change(|serving| serving.registered.remove(name));
    drop(former);
    each(|link, env| send(link, to_worker::UNREGISTER, &[name.encode(env)]));
}

/// For the workers that have been told of all this.
fn each(tell: impl Fn(&Link, Env<'_>)) {
    for link in own::all() {
        if link.is_told() && link.stage() <= Stage::Ready {
            tell(&link, TermEnv::new().env());
        }
    }
}

fn terms(env: Env<'_>) -> (Term<'_>, Term<'_>) {
    let (server, registered) = {
        let mut serving = SERVING.lock();
        let serving = serving.get_or_insert_default();
        (serving.server, serving.registered.clone())
    };
    let server = match server {
        Some(server) => server.encode(env),
        None => atoms::nil().to_term(env),
    };
    let registered = registered.iter();
    let registered: Vec<_> = registered
        .map(|(name, described)| (name, described.in_env(env)))
        .collect();
    (server, registered.encode(env))
}

fn send(link: &Link, kind: u8, terms: &[Term<'_>]) {
    let encoded: Result<Vec<_>, _> = terms.iter().map(|term| sent::encode(*term)).collect();
    if let Ok(encoded) = encoded {
        link.send_terms(Writer::frame(kind), &encoded.iter().collect::<Vec<_>>());
    }
}

/// Tells a template what is known of compiled code.
pub fn start_template(link: &Link) {
    if let Some(process) = Process::of(&link.pool) {
        link.send(start_frame(Some(&process.way)));
        link.kick.kick();
    }
}

/// The beginning of that by which a process starts. `way`: how it was started, if it is to have compiled code.
fn start_frame(way: Option<&[u8]>) -> Writer {
    let mut frame = Writer::frame(to_worker::START);
    let compiled = way.and_then(compiled::find).unwrap_or_default();
    frame.u32(compiled.len() as u32);
    frame.bytes(&compiled);
    frame
}

/// Tells a worker all that it has to know.
pub fn start(link: &Arc<Link>) {
    let Some(process) = Process::of(&link.pool) else {
        return;
    };
    let changes = changes();
    let env = TermEnv::new();
    let env = env.env();
    let (server, registered) = terms(env);
    let settings = process.settings.in_env(env);
    let settings = settings
        .map_put(atoms::server(), server)
        .and_then(|settings| settings.map_put(atoms::register(), registered))
        .and_then(|settings| settings.map_put(atoms::largest_integer(), leaf::largest_integer()));
    if let Ok(encoded) = settings
        .map_err(drop)
        .and_then(|settings| sent::encode(settings).map_err(drop))
    {
        let is_forked = link.template.get().is_some();
        let way = (!is_forked).then_some(&process.way[..]);
        link.send_terms(start_frame(way), &[&encoded]);
    }
    // What changes from here on is told besides.
    link.set_told();
    if self::changes() != changes {
        let (server, registered) = terms(env);
        send(link, to_worker::SERVE, &[server, registered]);
    }
}

fn changes() -> u64 {
    SERVING.lock().as_ref().map_or(0, |serving| serving.changes)
}
