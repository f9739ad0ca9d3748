//! The children of this process: the program, and what it has left behind.

use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

/// How long it tries. What another user runs cannot be killed, and what waits in the kernel does not end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a child has ended, which can still be waited for.
pub fn has_ended(child: libc::pid_t) -> bool {
    ended(libc::P_PID, child as libc::id_t) == Some(child)
}

/// A child that has ended, which can still be waited for.
fn ended(which: libc::idtype_t, id: libc::id_t) -> Option<libc::pid_t> {
    look(which, id).filter(|pid| *pid != 0)
}

/// The same; 0 if none has. None if there is no such child.
fn look(which: libc::idtype_t, id: libc::id_t) -> Option<libc::pid_t> {
    let mut found = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: what is found is written; all zeroes says that nothing was.
    unsafe {
        let looked = libc::waitid(which, id, found.as_mut_ptr(), options);
        (looked == 0).then(|| found.assume_init_ref().si_pid())
    }
}

/// The status of a child that has ended.
pub fn reap(child: libc::pid_t) -> Option<libc::c_int> {
    let mut status = 0;
    // SAFETY: a place for the status.
    let waited = unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) };
    (waited == child).then_some(status)
}

/// Waits for orphans that have ended.
pub fn reap_others(child: libc::pid_t) {
    while let Some(pid) = ended(libc::P_ALL, 0)
        && pid != child
    {
        reap(pid);
    }
}

/// Kills all, until there are none: what is killed leaves its own children to this process. `but_guards`: those of
/// forked workers live on.
pub fn end_all(child: libc::pid_t, but_guards: bool) {
    let begun = Instant::now();
    // The program is still there if all is to end. Its number is its group's as long as nobody has waited for it.
    let mut is_there = true;
    while begun.elapsed() < PATIENCE {
        if is_there {
            // SAFETY: no preconditions. Zero sends nothing, and tells whether it is a child of ours.
            is_there = unsafe { libc::getpgid(child) } == child && is_own(child);
        }
        if is_there {
            // SAFETY: no preconditions.
            unsafe { libc::kill(-child, libc::SIGKILL) };
        }
        let mut others = running();
        if but_guards {
            others.retain(|pid| !is_guard(*pid));
            if others.is_empty() && !is_there {
                return;
            }
        }
        for pid in others {
            // SAFETY: no preconditions. A child that nobody has waited for.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        loop {
            // SAFETY: it may tell nothing.
            match unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } {
                -1 => return,
                0 => break,
                _ => {}
            }
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Whether it is a child of this process that has not been waited for.
fn is_own(child: libc::pid_t) -> bool {
    look(libc::P_PID, child as libc::id_t).is_some()
}

/// Whether a process runs this program.
fn is_guard(pid: libc::pid_t) -> bool {
    let program = |pid: &str| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    program("self").is_some_and(|own| program(&pid.to_string()) == Some(own))
}

/// The children of this process.
#[cfg(target_os = "linux")]
fn running() -> Vec<libc::pid_t> {
    let own = std::process::id();
    // Not every kernel has this file.
    if let Ok(list) = std::fs::read_to_string(format!("/proc/self/task/{own}/children")) {
        return list
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect();
    }
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| parent(*pid) == Some(own))
        .collect()
}

#[cfg(target_os = "linux")]
fn parent(pid: libc::pid_t) -> Option<u32> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // After the name, which may have anything in it, and the state.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// Where it cannot be found out, orphans are not adopted either.
#[cfg(not(target_os = "linux"))]
fn running() -> Vec<libc::pid_t> {
    Vec::new()
}
