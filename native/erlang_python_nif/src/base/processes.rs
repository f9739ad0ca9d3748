//! The processes that Python starts for itself: the workers of `multiprocessing`, of its copies and kin
//! (`multiprocess`, `billiard`), and of `loky`. They are not to outlive the VM.
//!
//! They are children of the VM, or of one another. The VM's own programs are children of a helper.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long each may take to end by itself.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long all of them may take. A `multiprocessing.Pool` starts others in the place of those that have ended.
const LONGEST: Duration = Duration::from_millis(400);

/// In the command of each of them.
const MARKS: [&str; 4] = [
    "--multiprocessing-fork",
    ".spawn import spawn_main",
    ".popen_loky_posix",
    ".forkserver import main",
];

struct Process {
    pid: libc::pid_t,
    parent: libc::pid_t,
}

/// The VM's process is about to end.
static OVER: AtomicBool = AtomicBool::new(false);

/// From here on no more are started.
pub fn refuse() {
    OVER.store(true, Ordering::Relaxed);
}

pub fn are_over() -> bool {
    OVER.load(Ordering::Relaxed)
}

/// Terminates them, and kills those that do not end, until there are none. They are left to be waited for. Does
/// nothing where there is no `/proc`.
pub fn end_workers() {
    let begun = Instant::now();
    // Since when those that were found have been told.
    let mut told: HashMap<libc::pid_t, Instant> = HashMap::new();
    loop {
        // One that has ended has no command any more.
        let running = workers();
        let late = begun.elapsed() >= LONGEST;
        for &pid in &running {
            match told.entry(pid) {
                Entry::Vacant(new) => {
                    new.insert(Instant::now());
                    signal(pid, libc::SIGTERM);
                }
                Entry::Occupied(since) if since.get().elapsed() >= PATIENCE => {
                    signal(pid, libc::SIGKILL);
                }
                Entry::Occupied(_) => {}
            }
            if late {
                signal(pid, libc::SIGKILL);
            }
        }
        if running.is_empty() || late {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn signal(pid: libc::pid_t, signal: libc::c_int) {
    // SAFETY: no preconditions. It was there a moment ago, and the system gives no number anew so soon.
    unsafe { libc::kill(pid, signal) };
}

/// Kills all children and theirs, of a process that has adopted those whose parents have ended. Does nothing where
/// there is no `/proc`.
pub fn kill_all() {
    // What is killed has children no more: they are found the next time. And Python may go on to start some.
    for _ in 0..ROUNDS {
        let running = descendants(|pid| !is_over(&read(pid, "stat")));
        if running.is_empty() {
            return;
        }
        for pid in running {
            signal(pid, libc::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How often it looks for more, at most.
const ROUNDS: u32 = 500;

fn workers() -> Vec<libc::pid_t> {
    descendants(|pid| is_worker(&read(pid, "cmdline")))
}

/// Children of this process that are `wanted`, and such children of theirs.
fn descendants(wanted: impl Fn(libc::pid_t) -> bool) -> Vec<libc::pid_t> {
    let mut candidates: Vec<Process> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| wanted(pid))
        .filter_map(|pid| {
            let parent = parent(&read(pid, "stat"))?;
            Some(Process { pid, parent })
        })
        .collect();
    // SAFETY: no preconditions.
    let mut family = HashSet::from([unsafe { libc::getpid() }]);
    let mut descendants = Vec::new();
    loop {
        let (found, rest): (Vec<_>, Vec<_>) = candidates
            .into_iter()
            .partition(|process| family.contains(&process.parent));
        if found.is_empty() {
            return descendants;
        }
        family.extend(found.iter().map(|process| process.pid));
        descendants.extend(found.iter().map(|process| process.pid));
        candidates = rest;
    }
}

fn read(pid: libc::pid_t, file: &str) -> Vec<u8> {
    fs::read(Path::new("/proc").join(pid.to_string()).join(file)).unwrap_or_default()
}

fn parent(stat: &[u8]) -> Option<libc::pid_t> {
    let stat = String::from_utf8_lossy(stat);
    // It comes after the state, and that after the name, which may have anything in it.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// Whether a process has ended, and only waits to be waited for.
fn is_over(stat: &[u8]) -> bool {
    let stat = String::from_utf8_lossy(stat);
    stat.rsplit_once(')')
        .is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

fn is_worker(command: &[u8]) -> bool {
    let command = String::from_utf8_lossy(command);
    MARKS.iter().any(|mark| command.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_told_whatever_the_name_is() {
        assert_eq!(parent(b"12 (a) b (c) S 7 12 12 0"), Some(7));
        assert_eq!(parent(b"12 (a S 7) Z 8 12"), Some(8));
        assert_eq!(parent(b""), None);
    }

    #[test]
    fn a_process_that_has_ended_is_told_from_others() {
        assert!(is_over(b"12 (a S 7) Z 8 12") && is_over(b""));
        assert!(!is_over(b"12 (a Z 7) S 8 12"));
    }

    #[test]
    fn workers_are_told_by_their_command() {
        for command in [
            "python\0-c\0from multiprocessing.spawn import spawn_main; spawn_main(5)\0--multiprocessing-fork\0",
            "python\0-c\0from billiard.spawn import spawn_main; spawn_main(5)\0--billiard-fork\0",
            "python\0-m\0joblib.externals.loky.backend.popen_loky_posix\0--pipe\x007\0",
        ] {
            assert!(is_worker(command.as_bytes()));
        }
        assert!(!is_worker(b"python\0server.py\0"));
    }
}
