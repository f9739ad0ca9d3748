//! A context's own `__main__`.

use crate::interpreter::python::Helpers;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule};
use std::sync::{Mutex, PoisonError};

/// A module that takes the place of `__main__`. Its thread makes it when it starts and drops it
/// when it ends, so that what lives in it is born and dies on that thread.
#[derive(Default)]
pub struct Namespace(Mutex<Option<Py<PyModule>>>);

impl Namespace {
    /// For the current thread, which from then on finds it where others find `__main__`.
    pub fn make(&self, py: Python<'_>, helpers: &Helpers) -> PyResult<()> {
        let module = helpers.make_main.bind(py).call0()?;
        self.set(Some(module.cast_into::<PyModule>()?.unbind()));
        Ok(())
    }

    /// Empties the module and gives it up.
    pub fn clear(&self, py: Python<'_>) {
        if let Some(module) = self.set(None) {
            // Functions refer to the module's dict and it to them: only clearing it frees both now,
            // on this thread, and not whenever the garbage collector runs, wherever.
            let dict = module.bind(py).dict();
            // The builtins last: up to 3.9 a `__del__` method would not find them.
            for name in dict.keys() {
                if !name.eq("__builtins__").unwrap_or(false) {
                    let _ = dict.del_item(name);
                }
            }
            dict.clear();
        }
    }

    pub fn module<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyModule>> {
        self.lock().as_ref().map(|module| module.bind(py).clone())
    }

    fn set(&self, module: Option<Py<PyModule>>) -> Option<Py<PyModule>> {
        std::mem::replace(&mut *self.lock(), module)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Py<PyModule>>> {
        // Held for an assignment or a clone; nothing is dropped meanwhile.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A function like `function` that sees the names of `globals`.
pub fn rebound<'py>(
    function: &Bound<'py, PyAny>,
    globals: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let code = function.getattr("__code__")?;
    function.get_type().call1((code, globals))
}
