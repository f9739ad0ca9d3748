//! What the interpreter keeps for a pool.

use crate::pool::Pool;
use crate::python::contextvars::Base;
use crate::python::namespace::Namespace;
use std::any::Any;
use std::sync::OnceLock;

pub struct Main {
    /// For a context: its own `__main__`. A pool has none and uses the interpreter's.
    pub namespace: Option<Namespace>,
    /// What its `:init` has left, if it has one: the context variables that calls begin with.
    pub base: OnceLock<Base>,
}

impl Main {
    /// `is_context`: with a `__main__` of its own.
    pub fn new(is_context: bool) -> Self {
        Main {
            namespace: is_context.then(Namespace::default),
            base: OnceLock::new(),
        }
    }

    /// None for a pool of another engine.
    pub fn of(pool: &Pool) -> Option<&Main> {
        (&*pool.engine as &dyn Any).downcast_ref()
    }
}

/// The `__main__` of a context.
pub fn namespace(pool: &Pool) -> Option<&Namespace> {
    if !pool.pinned {
        return None;
    }
    Main::of(pool)?.namespace.as_ref()
}
