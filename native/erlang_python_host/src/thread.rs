//! Which thread is what the VM would call a scheduler: one that runs a function of the library.

use std::cell::Cell;
use std::ffi::c_int;

thread_local! {
    static TYPE: Cell<c_int> = const { Cell::new(0) };
}

/// For the time of a call.
pub struct OnScheduler(c_int);

impl OnScheduler {
    pub const NORMAL: c_int = 1;

    pub fn enter(scheduler: c_int) -> Self {
        OnScheduler(TYPE.replace(scheduler))
    }
}

impl Drop for OnScheduler {
    fn drop(&mut self) {
        TYPE.set(self.0);
    }
}

/// 0: none of the VM's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_thread_type() -> c_int {
    TYPE.try_with(Cell::get).unwrap_or(0)
}
