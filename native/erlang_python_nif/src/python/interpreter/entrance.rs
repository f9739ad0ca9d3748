//! Threads that come into Python for the first time, and what must not happen meanwhile.
//!
//! The thread state that such a thread gets takes memory before the thread has the GIL. If `tracemalloc` is on, its
//! hook waits for the GIL then, and reads what `tracemalloc.stop` frees: it must not be called meanwhile
//! (mended in CPython 3.12.9 and 3.13.2).

use pyo3::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// How many threads are on their way in.
static ENTERING: AtomicUsize = AtomicUsize::new(0);
/// How many calls want nobody to be.
static ALONE: AtomicUsize = AtomicUsize::new(0);

const MOMENT: Duration = Duration::from_micros(50);

/// Counts as long as it lives.
pub struct Counted(&'static AtomicUsize);

impl Counted {
    fn new(count: &'static AtomicUsize) -> Self {
        count.fetch_add(1, SeqCst);
        Counted(count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// For a thread that comes in, until it has its state. It waits for a call that must be alone, without the GIL.
pub fn enter() -> Counted {
    loop {
        let entering = Counted::new(&ENTERING);
        if ALONE.load(SeqCst) == 0 {
            return entering;
        }
        drop(entering);
        std::thread::sleep(MOMENT);
    }
}

/// Calls a function that does not let go of the GIL, while no thread comes in. Not for a forked child, where those that were on
/// their way do not exist.
#[pyfunction]
#[pyo3(name = "_alone")]
pub fn alone<'py>(function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let _alone = Counted::new(&ALONE);
    // Who is on the way in needs the GIL for it.
    while ENTERING.load(SeqCst) > 0 {
        function.py().detach(|| std::thread::sleep(MOMENT));
    }
    function.call0()
}
