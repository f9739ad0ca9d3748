//! What the interpreter keeps for a pool.

use crate::base::apart::Apart;
use crate::engine::main::at_once::Callers;
use crate::pool::Pool;
use crate::python::contextvars::Base;
use crate::python::namespace::Namespace;
use std::sync::OnceLock;

pub struct Main {
    /// For a context: its own `__main__`. A pool has none and uses the interpreter's.
    pub namespace: Option<Namespace>,
    /// What its `:init` has left, if it has one: the context variables that calls begin with.
    pub base: OnceLock<Base>,
    /// Its requests run in event loops, and nowhere else.
    pub in_loops: bool,
    pub callers: Apart<Callers>,
}

impl Main {
    /// `is_context`: with a `__main__` of its own.
    pub fn new(is_context: bool) -> Self {
        Main {
            namespace: is_context.then(Namespace::default),
            base: OnceLock::new(),
            in_loops: false,
            callers: Apart::default(),
        }
    }

    /// None for a pool whose requests run elsewhere.
    pub fn of(pool: &Pool) -> Option<&Main> {
        pool.engine.in_the_vm()?.downcast_ref()
    }

    /// Whether any thread that is in Python can run the requests of a pool.
    pub fn runs_anywhere(pool: &Pool) -> bool {
        !pool.pinned && Main::of(pool).is_some_and(|main| !main.in_loops)
    }
}

/// The `__main__` of a context.
pub fn namespace(pool: &Pool) -> Option<&Namespace> {
    if !pool.pinned {
        return None;
    }
    Main::of(pool)?.namespace.as_ref()
}
