//! What the VM charges for a native function, for the benchmarks to compare with. A library of its own, which
//! `bench/support/native_floors.exs` builds and loads.

use rustler::{Atom, Env, LocalPid};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

mod atoms {
    rustler::atoms! { ok }
}

/// Nothing, on a normal scheduler.
#[rustler::nif]
fn nif() -> Atom {
    atoms::ok()
}

/// Nothing, on a dirty I/O scheduler.
#[rustler::nif(schedule = "DirtyIo")]
fn dirty() -> Atom {
    atoms::ok()
}

/// Answers that have been given and not been taken. Held for an addition, on a scheduler too.
static ANSWERS: Mutex<u64> = Mutex::new(0);
static ANSWERED: Condvar = Condvar::new();

const PATIENCE: Duration = Duration::from_secs(10);

/// Sends `pid` a message and waits for its `answer`, `count` times: what a callback costs without Python. False if
/// an answer takes longer than 10 s.
#[rustler::nif(schedule = "DirtyIo")]
fn ask(env: Env<'_>, pid: LocalPid, count: u64) -> bool {
    (0..count).all(|_| env.send(&pid, atoms::ok()).is_ok() && take_answer())
}

#[rustler::nif]
fn answer() -> Atom {
    *answers() += 1;
    ANSWERED.notify_one();
    atoms::ok()
}

fn take_answer() -> bool {
    let (mut answers, _) = ANSWERED
        .wait_timeout_while(answers(), PATIENCE, |answers| *answers == 0)
        .unwrap_or_else(PoisonError::into_inner);
    let answered = *answers > 0;
    *answers = answers.saturating_sub(1);
    answered
}

fn answers() -> MutexGuard<'static, u64> {
    ANSWERS.lock().unwrap_or_else(PoisonError::into_inner)
}

rustler::init!("Elixir.Bench.NativeFloors");
