//! By how much the memory of the VM's process has grown: all that can be known of memory that libraries in C take
//! for themselves.

use crate::base::deadline;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What it was the last time. 0: nobody has looked yet.
static BEFORE: AtomicUsize = AtomicUsize::new(0);

static LOOKED_AT: AtomicU64 = AtomicU64::new(0);

/// By how many bytes it has grown since the last time, at most once in some ms: to look takes 2 µs. 0 in
/// between, if it has become less, and where the system does not say.
pub fn growth() -> usize {
    let now = deadline::now();
    if LOOKED_AT.swap(now, Ordering::Relaxed) == now {
        return 0;
    }
    let Some(resident) = resident() else { return 0 };
    match BEFORE.swap(resident, Ordering::Relaxed) {
        0 => 0,
        before => resident.saturating_sub(before),
    }
}

#[cfg(target_os = "linux")]
fn resident() -> Option<usize> {
    use std::io::Read;

    let mut text = [0; 128];
    let length = std::fs::File::open("/proc/self/statm")
        .and_then(|mut file| file.read(&mut text))
        .ok()?;
    // All pages, and those that are in memory.
    let text = std::str::from_utf8(&text[..length]).ok()?;
    let pages: usize = text.split(' ').nth(1)?.parse().ok()?;
    // SAFETY: no preconditions.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.checked_mul(usize::try_from(page).ok()?)
}

#[cfg(not(target_os = "linux"))]
fn resident() -> Option<usize> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::{growth, resident};
    use std::time::Duration;

    #[test]
    fn it_grows_with_what_is_in_use() {
        growth();
        let before = resident().expect("the system says so");
        let filled = vec![1u8; 64 << 20];
        std::thread::sleep(Duration::from_millis(20));
        assert!(resident().is_some_and(|now| now > before + (32 << 20)));
        assert!(growth() > 32 << 20);
        assert_eq!(filled[1 << 20], 1);
    }
}
