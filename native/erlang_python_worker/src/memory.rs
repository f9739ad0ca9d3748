//! Memory that the VM shares: large binaries that come from it. They are not copied until Python wants them as its own.

use crate::mapping::Mapping;
use crate::{messages, tray};
use erlang_python_host::Beside;
use erlang_python_wire::Broken;
use erlang_python_wire::frame::to_vm;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// By their numbers. Held for a look-up.
static ALL: Mutex<BTreeMap<u64, Memory>> = Mutex::new(BTreeMap::new());

struct Memory {
    mapping: Arc<Mapping>,
    /// The VM is to be told whenever nobody sees it any more.
    returned: bool,
    seen: Weak<Seen>,
}

/// There are binaries of it.
struct Seen {
    _mapping: Arc<Mapping>,
    returned: Option<u64>,
}

fn all() -> MutexGuard<'static, BTreeMap<u64, Memory>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The VM has some more.
pub fn add(number: u64, size: u64, returned: bool, file: OwnedFd) -> Result<(), Broken> {
    let memory = Memory {
        mapping: Arc::new(Mapping::new(&file, size, false).map_err(|error| {
            eprintln!("erlang_python: there is no memory for {size} bytes: {error}");
            Broken("its memory cannot be seen")
        })?),
        returned,
        seen: Weak::new(),
    };
    let _former = all().insert(number, memory);
    Ok(())
}

/// The VM refers to it no more.
pub fn forget(number: u64) {
    let _memory = all().remove(&number);
}

/// Bytes of it.
pub fn part(number: u64, at: u64, size: u64) -> Option<Beside> {
    let mut all = all();
    let memory = all.get_mut(&number)?;
    let end = at.checked_add(size)?;
    if end > memory.mapping.size() as u64 {
        return None;
    }
    let seen = memory.seen.upgrade().unwrap_or_else(|| {
        let seen = Arc::new(Seen {
            _mapping: Arc::clone(&memory.mapping),
            returned: memory.returned.then_some(number),
        });
        memory.seen = Arc::downgrade(&seen);
        seen
    });
    Some(Beside {
        data: memory.mapping.data().wrapping_add(at as usize),
        size: size as usize,
        owner: Box::new(seen),
    })
}

impl Drop for Seen {
    fn drop(&mut self) {
        // A forked child says nothing to the VM: another thread may have been at that when it was forked.
        if let Some(number) = self.returned
            && !tray::is_off()
        {
            messages::send_number(to_vm::FREE, number);
        }
    }
}
