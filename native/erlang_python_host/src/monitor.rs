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

struct Monitor {
    number: u64,
    pid: Word,
}

/// An object. Its monitors do not keep it; its end takes them away.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Object(*const c_void);

// SAFETY: it is used after it has been kept, which fails if it is being destroyed, and `forget`, which comes before its
// end, waits for the lock.
unsafe impl Send for Object {}

type Monitors = HashMap<Object, Vec<Monitor>>;

static MONITORS: LazyLock<Mutex<Monitors>> = LazyLock::new(Mutex::default);
static NEXT: AtomicU64 = AtomicU64::new(1);

fn monitors() -> MutexGuard<'static, Monitors> {
    MONITORS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The object is about to end.
pub fn forget(object: *const c_void) {
    monitors().remove(&Object(object));
}

/// A process of the VM has ended. Returns how many objects were told.
pub fn process_down(external: &[u8]) -> usize {
    let Ok(pid) = pid::local(external) else {
        return 0;
    };
    let mut down = Vec::new();
    monitors().retain(|object, its| {
        let of_process = its.extract_if(.., |monitor| monitor.pid == pid);
        down.extend(of_process.filter_map(|monitor| Down::new(*object, monitor)));
        !its.is_empty()
    });
    down.into_iter().map(Down::tell).count()
}

/// The processes that are monitored for an exported object have ended, or count as such. Returns how many were.
pub fn object_down(number: u64) -> usize {
    let Some(exported) = objects::object(number) else {
        return 0;
    };
    let object = Object(exported.as_ptr());
    let its = monitors().remove(&object).unwrap_or_default();
    let down = its
        .into_iter()
        .filter_map(|monitor| Down::new(object, monitor));
    down.map(Down::tell).count()
}

/// A monitor that has been taken away, and whose object is kept.
struct Down(Object, Monitor);

impl Down {
    /// None if the object is being destroyed. That it has not ended yet must be certain.
    fn new(object: Object, monitor: Monitor) -> Option<Self> {
        // SAFETY: called with the lock, for which `forget` waits, or with the object kept.
        let kept = unsafe { resource::try_keep(object.0) };
        kept.then_some(Down(object, monitor))
    }

    fn tell(self) {
        let Down(Object(object), Monitor { number, pid }) = self;
        // SAFETY: kept.
        unsafe {
            if let Some(down) = resource::class(object).down {
                let _on_scheduler = OnScheduler::enter(OnScheduler::NORMAL);
                let mut env = HostEnv::new(NONE);
                let spare = [0; 3];
                down(&mut env, object.cast_mut(), &pid, &Raw { number, spare });
            }
            resource::release(object);
        }
    }
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
    let monitor = Monitor { number, pid: *pid };
    monitors().entry(Object(object)).or_default().push(monitor);
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
    let Some(its) = monitors.get_mut(&Object(object)) else {
        return 1;
    };
    let Some(place) = its
        .iter()
        .position(|monitor| monitor.number == (*raw).number)
    else {
        return 1;
    };
    its.swap_remove(place);
    if its.is_empty() {
        monitors.remove(&Object(object));
    }
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_compare_monitors(left: *const Raw, right: *const Raw) -> c_int {
    (*left).number.cmp(&(*right).number) as c_int
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_monitor_term(env: *mut HostEnv, raw: *const Raw) -> Word {
    reference::request(&mut *env, (*raw).number)
}
