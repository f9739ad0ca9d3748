//! The end of a worker process: what it was at is answered, and nobody waits for it.

use super::ahead;
use super::guard::Guard;
use super::lines::Lines;
use super::link::{Killed, Left, Link, Stage};
use super::own::Process;
use super::owner;
use super::run::{self, Ending};
use crate::base::atoms;
use crate::base::term_env::{OwnedTerm, SavedTerm, Sender, TermEnv};
use crate::pool::worker::Taker;
use erlang_python_wire::Broken;
use rustler::{Atom, Encoder, Env, Term};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A worker that ends sooner, and without a call that it could have ended for, has failed.
const SOON: Duration = Duration::from_secs(1);

/// How a process has ended.
#[derive(Clone, Copy)]
struct Status {
    signal: Option<i32>,
    code: Option<i32>,
}

/// What Python has written about its fatal error, if it had one, or about why it cannot start.
pub fn note_report(link: &Link, lines: &Lines) {
    let starts = link.stage() == Stage::Starting;
    if let Some(report) = lines.report().or_else(|| lines.last().filter(|_| starts)) {
        link.set_report(report);
    }
}

/// What it has sent makes no sense. It is killed.
pub fn broken(link: &Arc<Link>, Broken(text): Broken, sender: Sender) {
    link.set_report(format!(
        "erlang_python cannot read what the process sends: {text}"
    ));
    link.kill(Killed::Broken);
    settle(link, Ended::new(link, None), sender);
}

/// What those get that it was at.
pub fn reason<'a>(link: &Link, env: Env<'a>) -> Term<'a> {
    Ended::new(link, None).term(env)
}

/// Its process has ended.
pub fn over(link: &Arc<Link>, sender: Sender) {
    let status = link.forget_guard().and_then(wait);
    let ended = Ended::new(link, status);
    settle(link, ended.clone(), sender);
    let Some(process) = Process::of(&link.pool) else {
        return;
    };
    match link.stage() {
        // Another one, which is started by itself, takes the place of one that could not be forked, or not wholly.
        Stage::Starting if link.template.get().is_some() => {
            link.end_template();
            gone(link, &ended, sender);
        }
        Stage::Starting | Stage::Opening => fail(link, process, &ended, sender),
        _ if link.wear.is_template => gone(link, &ended, sender),
        stage => {
            let was_idle = stage == Stage::Ready && !link.was_busy();
            if was_idle && link.born.elapsed() < SOON && !link.was_killed() {
                process.failed();
            } else if stage == Stage::Ready {
                process.succeeded();
            }
            gone(link, &ended, sender);
        }
    }
}

fn gone(link: &Arc<Link>, ended: &Ended, sender: Sender) {
    link.advance(Stage::Ended);
    run::leave(link, sender);
    owner::tell(link, sender, |message| {
        let env = message.env();
        let reason = ended.term(env);
        let term = (atoms::python_process(), atoms::ended(), reason).encode(env);
        SavedTerm::save(term)
    });
}

/// It has never been ready: those who call are told why, if there is no other worker.
fn fail(link: &Arc<Link>, process: &Process, ended: &Ended, sender: Sender) {
    link.set_reason({
        let env = TermEnv::new();
        let env = env.env();
        OwnedTerm::new(why_not(process, ended.term(env)))
    });
    failed(link, process, sender);
}

/// Why a worker was not started: with the options that may be the cause.
pub fn why_not<'a>(process: &Process, reason: Term<'a>) -> Term<'a> {
    let env = reason.get_env();
    let started_by = process.started_by.in_env(env);
    (atoms::not_started(), (started_by, reason)).encode(env)
}

/// It cannot be started at all.
pub fn not_started(link: &Arc<Link>, reason: OwnedTerm, sender: Sender) {
    link.set_reason(reason);
    if let Some(process) = Process::of(&link.pool) {
        failed(link, process, sender);
    }
}

fn failed(link: &Arc<Link>, process: &Process, sender: Sender) {
    link.close();
    // It may have been on its way while the pool was closed.
    if link.is_over() || link.pool.is_closed() {
        return gone(link, &Ended::new(link, None), sender);
    }
    link.advance(Stage::Failed);
    if !link.wear.is_template {
        process.failed();
    }
    let pause = process.pause().as_millis() as u64;
    if link.wear.has_entered() && process.hopes().is_empty() {
        // It answers what waits with the reason.
        Arc::clone(link).take(sender);
    } else {
        run::leave(link, sender);
    }
    let reason = link.reason();
    owner::tell(link, sender, |message| {
        let env = message.env();
        let reason = match &reason {
            Some(reason) => reason.in_env(env),
            None => atoms::nil().to_term(env),
        };
        let term = (atoms::python_process(), atoms::failed(), reason, pause).encode(env);
        SavedTerm::save(term)
    });
}

/// Answers what it was at.
fn settle(link: &Arc<Link>, ended: Ended, sender: Sender) {
    ahead::shut(link, sender);
    let Left {
        requests,
        callbacks,
        ..
    } = link.close();
    for callback in callbacks {
        callback.over(sender);
    }
    if !requests.is_empty() {
        link.set_was_busy();
    }
    for request in requests {
        let env = TermEnv::new();
        let answer = SavedTerm::save(env.env().error_tuple(ended.term(env.env())));
        run::end(link, &request, Ending::Answer(env, answer, true), sender);
    }
}

#[derive(Clone)]
struct Ended {
    status: Option<Status>,
    report: Option<String>,
    /// By us, for what others have done.
    by_us: bool,
}

impl Ended {
    fn new(link: &Link, status: Option<Status>) -> Self {
        let killed = link.killed.load(Ordering::Acquire);
        Ended {
            status,
            report: link.report(),
            by_us: killed == Killed::Stuck as u8 || link.stage() == Stage::Stopping,
        }
    }

    /// `{:crashed, signal, exit status, report}`, or `:worker_down` if it was ended by us.
    fn term<'a>(&self, env: Env<'a>) -> Term<'a> {
        if self.by_us {
            return atoms::worker_down().to_term(env);
        }
        let nil = atoms::nil().to_term(env);
        let signal = self.status.and_then(|status| status.signal);
        let signal = signal.map_or(nil, |signal| signal_name(env, signal));
        let code = self.status.and_then(|status| status.code);
        let report = self.report.as_ref();
        (
            atoms::crashed(),
            signal,
            code.map_or(nil, |code| code.encode(env)),
            report.map_or(nil, |report| report.encode(env)),
        )
            .encode(env)
    }
}

/// Waits for a process that has ended, or was killed this moment.
fn wait(guard: Guard) -> Option<Status> {
    let status = guard.wait()?;
    Some(Status {
        signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
        code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
    })
}

const SIGNALS: [(i32, &str); 20] = [
    (libc::SIGHUP, "sighup"),
    (libc::SIGINT, "sigint"),
    (libc::SIGQUIT, "sigquit"),
    (libc::SIGILL, "sigill"),
    (libc::SIGTRAP, "sigtrap"),
    (libc::SIGABRT, "sigabrt"),
    (libc::SIGBUS, "sigbus"),
    (libc::SIGFPE, "sigfpe"),
    (libc::SIGKILL, "sigkill"),
    (libc::SIGUSR1, "sigusr1"),
    (libc::SIGSEGV, "sigsegv"),
    (libc::SIGUSR2, "sigusr2"),
    (libc::SIGPIPE, "sigpipe"),
    (libc::SIGALRM, "sigalrm"),
    (libc::SIGTERM, "sigterm"),
    (libc::SIGXCPU, "sigxcpu"),
    (libc::SIGXFSZ, "sigxfsz"),
    (libc::SIGVTALRM, "sigvtalrm"),
    (libc::SIGPROF, "sigprof"),
    (libc::SIGSYS, "sigsys"),
];

/// `:sigsegv`; the number of one that has no name everywhere.
fn signal_name(env: Env<'_>, signal: i32) -> Term<'_> {
    let known = SIGNALS.iter().find(|(number, _)| *number == signal);
    match known.and_then(|(_, name)| Atom::from_str(env, name).ok()) {
        Some(name) => name.to_term(env),
        None => signal.encode(env),
    }
}
