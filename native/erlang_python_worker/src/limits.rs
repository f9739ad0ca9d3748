//! What the process may use, at most: the option `:limits`.

use rustler::{Atom, Term};
use std::io::Error;

rustler::atoms! {
    memory,
    files,
    processes,
    cpu,
}

/// What `setrlimit` takes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
type Resource = libc::c_int;

/// `limits`: a map with some of these: bytes of memory, open files, processes of this user, seconds of computing.
pub fn apply(limits: Term<'_>) -> Result<(), String> {
    let known: [(Atom, &str, Resource); 4] = [
        (memory(), "memory", libc::RLIMIT_AS),
        (files(), "files", libc::RLIMIT_NOFILE),
        (processes(), "processes", libc::RLIMIT_NPROC),
        (cpu(), "cpu", libc::RLIMIT_CPU),
    ];
    for (key, name, resource) in known {
        let Some(limit) = limits
            .map_get(key)
            .ok()
            .and_then(|limit| limit.decode::<u64>().ok())
        else {
            continue;
        };
        let mut had = libc::rlimit {
            rlim_cur: libc::RLIM_INFINITY,
            rlim_max: libc::RLIM_INFINITY,
        };
        // SAFETY: a resource that there is, and a place for its limits.
        unsafe { libc::getrlimit(resource, &mut had) };
        // One that is lower already stays. Where both are the same, the end is SIGKILL, which says nothing of its cause.
        let limit = limit as libc::rlim_t;
        let hard = limit.saturating_add((key == cpu()).into());
        let limit = libc::rlimit {
            rlim_cur: limit.min(had.rlim_max),
            rlim_max: hard.min(had.rlim_max),
        };
        // SAFETY: a resource that there is, and its limits.
        if unsafe { libc::setrlimit(resource, &limit) } != 0 {
            return Err(format!(
                "the limit {name}: {} cannot be set: {}",
                limit.rlim_cur,
                Error::last_os_error()
            ));
        }
    }
    Ok(())
}
