//! A thread that runs requests, and how it is interrupted in one.

use crate::pool::Worker;
use crate::pool::marks::{INTERRUPTED, MISSED, NESTED, PUT_OFF, SKIP};
use crate::pool::request::{Place, Request};
use crate::python::current;
use crate::python::helpers::Helpers;
use crate::python::interpreter::nudge;
use crate::python::interpreter::traced::{Traced, Tracers};
use crate::python::interpreter::{self, Code, Frame, GilCell, PythonThread, Settings, absorb};
use pyo3::prelude::*;
use std::cell::{Cell, OnceCell};
use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// With the requests that it is running: one, or more when a callback into Elixir calls Python again.
pub struct Runner {
    thread: Arc<PythonThread>,
    running: GilCell<Vec<Running>>,
    /// An interrupt is aimed at one of its requests, or was.
    aimed_at: AtomicBool,
    /// One is aimed at code of its that belongs to no request, or was.
    loose: AtomicBool,
}

struct Running {
    request: Arc<Request>,
    /// How often the thread had come into Python when it began.
    entries: c_int,
    /// A library is at work that hands on what its callbacks raise: one callback may be interrupted.
    trusts: bool,
}

/// How many threads an interrupt is aimed at, or was.
static AIMED_AT: AtomicUsize = AtomicUsize::new(0);

/// Whether there is such a thread at all. A quick look, for the many who ask.
pub fn is_any_aimed_at() -> bool {
    AIMED_AT.load(Ordering::Relaxed) != 0
}

/// What a thread keeps from one time that it comes in to the next.
struct Own {
    runner: Arc<Runner>,
    /// That of the worker which it was last.
    place: Cell<Option<Arc<Place>>>,
}

thread_local! {
    static OWN: OnceCell<Own> = const { OnceCell::new() };
}

/// As `interpreter::enter`, for a thread that runs requests as this worker.
pub fn enter<R>(
    worker: &Arc<Worker>,
    work: impl FnOnce(Python<'_>, &Arc<Runner>, &Arc<Place>) -> R,
) -> Option<R> {
    interpreter::enter(|py, thread| {
        OWN.with(|cell| {
            let own = cell.get_or_init(|| Own {
                runner: Runner::of(Arc::clone(thread)),
                place: Cell::default(),
            });
            let kept = own.place.take();
            let place = kept
                .filter(|place| Arc::ptr_eq(&place.worker, worker))
                .unwrap_or_else(|| own.runner.place(worker));
            worker.is_here();
            let done = work(py, &own.runner, &place);
            own.place.set(Some(place));
            done
        })
    })
}

/// The code of a frame and of those that have called it: what is below the frame that they stand in belongs to another.
pub fn codes<'py>(frame: Option<Frame<'py>>, helpers: &Helpers) -> impl Iterator<Item = Code<'py>> {
    frame
        .into_iter()
        .flat_map(Frame::codes)
        .take_while(|code| !code.is(&helpers.stand_code))
}

impl Runner {
    fn of(thread: Arc<PythonThread>) -> Arc<Self> {
        Arc::new(Runner {
            thread,
            running: GilCell::new(Vec::new()),
            aimed_at: AtomicBool::new(false),
            loose: AtomicBool::new(false),
        })
    }

    /// Where the requests run that this thread runs as a worker.
    pub fn place(self: &Arc<Self>, worker: &Arc<Worker>) -> Arc<Place> {
        Arc::new(Place {
            worker: Arc::clone(worker),
            at: Arc::clone(self) as _,
        })
    }

    /// The thread of a place where a request of this engine runs.
    pub fn at(place: &Place) -> Option<&Runner> {
        place.at.downcast_ref()
    }

    /// The current thread, which Python started and which has a thread state of its own.
    pub fn of_foreign_thread(py: Python<'_>) -> Arc<Self> {
        Self::of(Arc::new(PythonThread::of_foreign_thread(py)))
    }

    /// The Python code that it is in, if it runs this request, or others on top of it.
    pub fn frame<'py>(&self, py: Python<'py>, request: &Arc<Request>) -> Option<Frame<'py>> {
        let runs = self.running.with(py, |running| {
            running.iter().any(|r| Arc::ptr_eq(&r.request, request))
        });
        if !runs {
            return None;
        }
        // SAFETY: the end of the request would take it out of the list, with the GIL, and comes before the
        // end of the thread.
        unsafe { self.thread.frame(py) }
    }

    /// The Python code that the thread is in, whatever it runs.
    ///
    /// # Safety
    ///
    /// The thread has not ended.
    pub unsafe fn any_frame<'py>(&self, py: Python<'py>) -> Option<Frame<'py>> {
        // SAFETY: as this function demands.
        unsafe { self.thread.frame(py) }
    }

    /// The code of the request, the innermost first.
    pub fn codes<'py>(
        &self,
        py: Python<'py>,
        request: &Arc<Request>,
        helpers: &Helpers,
    ) -> impl Iterator<Item = Code<'py>> {
        codes(self.frame(py, request), helpers)
    }

    /// As `PythonThread::resume_traced`.
    pub fn resume_traced<'py>(&self, py: Python<'py>, kept: Option<&Tracers>) -> Traced<'py> {
        self.thread.resume_traced(py, kept)
    }

    /// What is set in the thread this moment. On the thread itself.
    pub fn settings<'py>(&self, py: Python<'py>) -> Settings<'py> {
        self.thread.settings(py)
    }

    pub fn begin(&self, py: Python<'_>, request: &Arc<Request>) {
        self.end_of_nobodys(py);
        let begun = Running {
            request: Arc::clone(request),
            entries: self.thread.entries(py),
            trusts: false,
        };
        self.running.with(py, |running| running.push(begun));
    }

    /// The end of a request: from here on no interrupt can be aimed at it, and one that was and
    /// has not struck yet strikes in code of ours, so that it never hits the next.
    pub fn end(&self, py: Python<'_>, request: &Arc<Request>) {
        // What is taken out is dropped outside.
        let _ended = self.running.with(py, |running| {
            let at = running
                .iter()
                .rposition(|r| Arc::ptr_eq(&r.request, request));
            at.map(|at| running.remove(at))
        });
        if self.is_aimed_at() {
            let aimed_at = self.running.with(py, |running| {
                let below = running.iter();
                below
                    .clone()
                    .any(|r| r.request.marks.has(INTERRUPTED | PUT_OFF))
            });
            self.set_aimed_at(aimed_at);
        }
        if request.marks.has(INTERRUPTED) && self.take_back(py) {
            request.marks.set(MISSED);
        }
    }

    /// Whether an interrupt is aimed at one of its requests, or was.
    pub fn is_aimed_at(&self) -> bool {
        self.aimed_at.load(Ordering::Relaxed)
    }

    fn set_aimed_at(&self, aimed_at: bool) {
        match (self.aimed_at.swap(aimed_at, Ordering::Relaxed), aimed_at) {
            (false, true) => AIMED_AT.fetch_add(1, Ordering::Relaxed),
            (true, false) => AIMED_AT.fetch_sub(1, Ordering::Relaxed),
            _ => return,
        };
    }

    /// The request whose code the thread is in.
    pub fn innermost(&self, py: Python<'_>) -> Option<Arc<Request>> {
        self.running
            .with(py, |running| Some(Arc::clone(&running.last()?.request)))
    }

    /// How many callbacks of C libraries are on the thread's stack, in the request that it is at.
    fn callbacks(&self, py: Python<'_>) -> c_int {
        let begun = self.running.with(py, |running| {
            running.last().map(|r| r.entries + c_int::from(r.trusts))
        });
        begun.map_or(0, |begun| self.thread.entries(py) - begun)
    }

    /// Says whether the library that calls the thread's code hands on what that raises. An event loop in C does.
    pub fn trust_callbacks(&self, py: Python<'_>, trusts: bool) {
        self.running.with(py, |running| {
            if let Some(last) = running.last_mut() {
                last.trusts = trusts;
            }
        });
    }

    /// Whether a C library has called the code that the thread is in. See `foreign`.
    pub fn is_in_callback(&self, py: Python<'_>) -> bool {
        self.callbacks(py) > 0
    }

    /// The requests that run above this one because its own callbacks made them.
    pub fn nested_in(&self, py: Python<'_>, request: &Arc<Request>) -> Vec<Arc<Request>> {
        self.running.with(py, |running| {
            let running = running.iter().map(|r| &r.request);
            let above = running.skip_while(|r| !Arc::ptr_eq(r, request));
            above
                .skip(1)
                .take_while(|r| r.marks.has(NESTED))
                .cloned()
                .collect()
        })
    }

    /// Raises `exception` in the thread if it runs no request, but code that is left of one: for an event loop. Not in a
    /// callback of a C library. `entries`: how often the thread has come into Python where the loop calls its code.
    pub fn interrupt_nobody(&self, exception: &Bound<'_, PyAny>, entries: c_int) -> bool {
        let py = exception.py();
        let nobodys = self.running.with(py, |running| running.is_empty());
        if !nobodys || self.thread.entries(py) > entries {
            return false;
        }
        self.loose.store(true, Ordering::Relaxed);
        self.thread.state.aim(self.thread.ident, exception);
        nudge::nudge(self.thread.ident);
        true
    }

    /// On the thread itself: code of nobody has ended, and no interrupt that was aimed at it is to hit what follows.
    pub fn end_of_nobodys(&self, py: Python<'_>) {
        if self.loose.load(Ordering::Relaxed) {
            self.loose.store(false, Ordering::Relaxed);
            self.take_back(py);
        }
    }

    /// On the thread itself: whether an interrupt was aimed at code of nobody, and has struck.
    pub fn was_nobodys_struck(&self, py: Python<'_>) -> bool {
        self.loose.load(Ordering::Relaxed) && {
            let pending = self.thread.state.pending(py);
            pending.is_none_or(|pending| pending.is_null())
        }
    }

    /// How often the thread has come into Python, and not left.
    pub fn entries(&self, py: Python<'_>) -> c_int {
        self.thread.entries(py)
    }

    /// Takes the place of an interrupt that has struck or is about to: the caller raises one itself.
    pub fn pre_empt(&self, py: Python<'_>, request: &Request) {
        if request.marks.has(INTERRUPTED) {
            self.take_back(py);
        } else {
            request.marks.set(SKIP);
        }
    }

    /// Raises `exception` in the thread if it is at `request`, and nowhere deeper. Whoever ends the
    /// request holds the GIL, so that it cannot end meanwhile. In a callback of a C library it is left to
    /// the end of that.
    pub fn interrupt(&self, request: &Arc<Request>, exception: &Bound<'_, PyAny>) -> bool {
        let py = exception.py();
        let innermost = self.running.with(py, |running| {
            let last = running.last();
            last.is_some_and(|r| Arc::ptr_eq(&r.request, request))
        });
        if innermost && !request.marks.take(SKIP) {
            self.set_aimed_at(true);
            if self.is_in_callback(py) {
                request.marks.set(PUT_OFF);
            } else {
                self.aim(request, exception);
            }
        }
        innermost
    }

    fn aim(&self, request: &Request, exception: &Bound<'_, PyAny>) {
        request.marks.take(MISSED);
        request.marks.set(INTERRUPTED);
        self.thread.state.aim(self.thread.ident, exception);
        nudge::nudge(self.thread.ident);
    }

    /// For the thread itself, when it has come in: an interrupt that has not struck yet does not strike
    /// what a C library has called. `uncounted`: how many callbacks have begun that are not counted yet.
    pub fn put_off(&self, py: Python<'_>, uncounted: c_int) {
        let (Some(helpers), Some(request)) = (current::helpers(), self.innermost(py)) else {
            return;
        };
        let pending = match self.thread.state.pending(py) {
            Some(pending) => pending == helpers.interrupt.as_ptr(),
            // It may be.
            None => request.marks.has(INTERRUPTED),
        };
        if pending && self.callbacks(py) + uncounted > 0 {
            // Code that the thread is in the middle of may have an exception set.
            let error = PyErr::take(py);
            if self.take_back(py) {
                request.marks.set(PUT_OFF);
            }
            if let Some(error) = error {
                error.restore(py);
            }
        }
    }

    /// For the thread itself, when it is about to go back into a C library: what was put off is aimed at
    /// it again if that was its last callback. `counted`: how many are over and still counted.
    pub fn aim_again(&self, py: Python<'_>, counted: c_int) {
        let (Some(helpers), Some(request)) = (current::helpers(), self.innermost(py)) else {
            return;
        };
        if self.callbacks(py) == counted && request.marks.take(PUT_OFF) {
            self.aim(&request, helpers.interrupt.bind(py));
        }
    }

    /// Lets an interrupt strike that has not yet, where it does no harm. On the thread itself. Whether there was one.
    fn take_back(&self, py: Python<'_>) -> bool {
        let spared = self
            .thread
            .state
            .pending(py)
            .is_some_and(|pending| pending.is_null());
        !spared && absorb(py, self.thread.ident)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.set_aimed_at(false);
    }
}
