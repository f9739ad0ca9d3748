//! `floor_*`: what the VM charges for a native function, for the benchmarks to compare with.

use crate::base::atoms;
use crate::base::lock::{Condvar, Mutex, MutexGuard};
use crate::base::term_env::{Sender, TermEnv};
use rustler::{Atom, Encoder, Env, LocalPid};
use std::time::Duration;

/// Nothing, on a normal scheduler.
#[rustler::nif]
fn floor_nif() -> Atom {
    atoms::ok()
}

/// Nothing, on a dirty I/O scheduler.
#[rustler::nif(schedule = "DirtyIo")]
fn floor_dirty() -> Atom {
    atoms::ok()
}

/// Answers that have been given and not been taken. Held for an addition, on a scheduler too.
static ANSWERS: Mutex<u64> = Mutex::new(0);
static ANSWERED: Condvar = Condvar::new();

const PATIENCE: Duration = Duration::from_secs(10);

/// Sends `pid` a message and waits for its `floor_answer`, `count` times: what a callback costs
/// without Python. False if an answer takes longer than 10 s.
#[rustler::nif(schedule = "DirtyIo")]
fn floor_ask(env: Env<'_>, pid: LocalPid, count: u64) -> bool {
    let mut message = TermEnv::new();
    (0..count).all(|_| {
        message.send(Sender::scheduler(env), &pid, |env| atoms::ok().encode(env)) && take_answer()
    })
}

#[rustler::nif]
fn floor_answer() -> Atom {
    *answers() += 1;
    ANSWERED.notify_one();
    atoms::ok()
}

fn take_answer() -> bool {
    let (mut answers, _) =
        ANSWERED.wait_timeout_while(answers(), PATIENCE, |answers| *answers == 0);
    let answered = *answers > 0;
    *answers = answers.saturating_sub(1);
    answered
}

fn answers() -> MutexGuard<'static, u64> {
    ANSWERS.lock()
}
