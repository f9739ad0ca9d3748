//! Monitors. There are no processes here: the worker says which one of the VM has ended, or that an object of
//! ours has lost the process it was for.

use crate::env::HostEnv;
use crate::objects;
use crate::pid::{self, RawPid};
use crate::reference;
use crate::resource;
use crate::thread::OnScheduler;
use crate::word::{NONE, Word};
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// What an `ErlNifMonitor` is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Raw {
    number: u64,
    spare: [usize; 3],
}

/// A monitor does not keep its object; the object's end takes it away.
struct Monitor {
    pid: Word,
    object: *const c_void,
}

// SAFETY: the object is used after it has been kept, which fails if it is being destroyed, and `forget`, which comes
// before its end, waits for the lock.
unsafe impl Send for Monitor {}

static MONITORS: LazyLock<Mutex<HashMap<u64, Monitor>>> = LazyLock::new(Mutex::default);
static NEXT: AtomicU64 = AtomicU64::new(1);

fn monitors() -> MutexGuard<'static, HashMap<u64, Monitor>> {
    MONITORS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The object is about to end.
pub fn forget(object: *mut c_void) {
    monitors().retain(|_, monitor| !std::ptr::eq(monitor.object, object));
}

/// A process of the VM has ended. Returns how many objects were told.
pub fn process_down(external: &[u8]) -> usize {
    pid::local(external).map_or(0, |pid| down(|monitor| monitor.pid == pid))
}

/// The processes that are monitored for an exported object have ended, or count as such. Returns how many were.
pub fn object_down(number: u64) -> usize {
    let Some(object) = objects::object(number) else {
        return 0;
    };
    let told = down(|monitor| std::ptr::eq(monitor.object, object.as_ptr()));
    drop(object);
    told
}

fn down(is_meant: impl Fn(&Monitor) -> bool) -> usize {
    let meant: Vec<(u64, Monitor)> = {
        let mut monitors = monitors();
        let meant = monitors.extract_if(|_, monitor| is_meant(monitor));
        // SAFETY: it has not ended as long as the lock is held (`forget`).
        meant
            .filter(|(_, monitor)| unsafe { resource::try_keep(monitor.object) })
            .collect()
    };
    for (number, monitor) in &meant {
        // SAFETY: kept above.
        unsafe {
            if let Some(down) = resource::class(monitor.object).down {
                let _on_scheduler = OnScheduler::enter(OnScheduler::NORMAL);
                let mut env = HostEnv::new(NONE);
                let raw = Raw {
                    number: *number,
                    spare: [0; 3],
                };
                down(&mut env, monitor.object.cast_mut(), &monitor.pid, &raw);
            }
            resource::release(monitor.object);
        }
    }
    meant.len()
}

/// Whether the process lives is not asked: that it has ended is told.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_monitor_process(
    _env: *mut HostEnv,
    object: *const c_void,
    pid: *const RawPid,
    raw: *mut Raw,
) -> c_int {
    if resource::class(object).down.is_none() {
        return -1;
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    resource::mark_monitored(object);
    monitors().insert(number, Monitor { pid: *pid, object });
    if !raw.is_null() {
        let spare = [0; 3];
        raw.write(Raw { number, spare });
    }
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_demonitor_process(
    _env: *mut HostEnv,
    object: *const c_void,
    raw: *const Raw,
) -> c_int {
    let mut monitors = monitors();
    let number = (*raw).number;
    let is_its = |monitor: &Monitor| std::ptr::eq(monitor.object, object);
    if monitors.get(&number).is_some_and(is_its) {
        monitors.remove(&number);
        0
    } else {
        1
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_compare_monitors(left: *const Raw, right: *const Raw) -> c_int {
    (*left).number.cmp(&(*right).number) as c_int
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_monitor_term(env: *mut HostEnv, raw: *const Raw) -> Word {
    reference::request(&mut *env, (*raw).number)
}
