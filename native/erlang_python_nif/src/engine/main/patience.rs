//! How long code may wait for something.

use crate::base::sleepers::{Limit, Sleeping, Wake};
use crate::engine::main::interrupt::LOADS;
use crate::engine::main::runner::Runner;
use crate::pool::marks::{INTERRUPTED, TOLD};
use crate::pool::request::Request;
use crate::python::current;
use crate::python::interpreter::imports::Loading;
use pyo3::Python;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long a wait in a `finally` block lasts, at most. As long as such a block has before the next
/// interrupt.
const LEAVE: Duration = Duration::from_secs(1);

/// A wait ends when nobody waits for the request any more. But once its code knows that, it is
/// leaving, and what it waits for on its way out is part of that. A C library that has called the code
/// is not to be left by an exception, so such code waits for the answer. A module that is being loaded has some time
/// for it, as it has to be interrupted.
pub struct Patience {
    request: Arc<Request>,
    until: Option<Instant>,
    endless: bool,
    prolonged: bool,
}

impl Patience {
    /// For a wait of the request's code that begins now.
    pub fn of(py: Python<'_>, request: &Arc<Request>) -> Self {
        let runner = request.place().and_then(Runner::at);
        Patience {
            endless: runner.is_some_and(|runner| runner.is_in_callback(py)),
            until: request
                .marks
                .has(TOLD | INTERRUPTED)
                .then(|| Instant::now() + LEAVE),
            prolonged: false,
            request: Arc::clone(request),
        }
    }

    /// For a wait that is over. Whether it goes on all the same, as the code is loading a module.
    pub fn prolong(&mut self, py: Python<'_>) -> bool {
        let (Some(runner), Some(helpers)) = (
            self.request.place().and_then(Runner::at),
            current::helpers(),
        ) else {
            return false;
        };
        let first = !std::mem::replace(&mut self.prolonged, true);
        let loads = first
            && self.until.is_none()
            && helpers
                .imports
                .look(runner.codes(py, &self.request, helpers))
                != Loading::Nothing;
        if loads {
            self.until = Some(Instant::now() + LOADS);
        }
        loads
    }

    pub fn limit(&self) -> Limit {
        if self.endless || !self.request.is_over() {
            return Limit::Open;
        }
        match self.until {
            Some(until) if Instant::now() < until => Limit::At(until),
            _ => Limit::Over,
        }
    }

    /// `who` is woken when the limit may have changed, as long as the result lives.
    pub fn sleep(&self, who: Weak<dyn Wake>) -> Sleeping<'_> {
        self.request.sleepers.enter(who)
    }
}
