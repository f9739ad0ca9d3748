//! A context's own `__main__`.

use crate::base::lock::Mutex;
use crate::python::current;
use crate::python::helpers::Helpers;
use crate::python::interpreter::{stand, symbol};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyModule};
use std::sync::atomic::Ordering;

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

    /// Ends what lives in the module, as when a Python program ends, and gives it up.
    pub fn clear(&self, py: Python<'_>, helpers: &Helpers) {
        let Some(module) = self.set(None) else { return };
        let begun = helpers.begin_end.bind(py).call1((&module,));
        match begun {
            Ok(left) => {
                drop(module);
                if let Err(error) = helpers.finish_end.bind(py).call1((left,)) {
                    error.write_unraisable(py, None);
                }
            }
            // For want of memory or stack. Functions refer to the module's dict and it to them: clearing
            // it frees both.
            Err(_) => module.bind(py).dict().clear(),
        }
    }

    pub fn module<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyModule>> {
        self.lock().as_ref().map(|module| module.bind(py).clone())
    }

    fn set(&self, module: Option<Py<PyModule>>) -> Option<Py<PyModule>> {
        std::mem::replace(&mut *self.lock(), module)
    }

    fn lock(&self) -> crate::base::lock::MutexGuard<'_, Option<Py<PyModule>>> {
        // Held for an assignment or a clone; nothing is dropped meanwhile.
        self.0.lock()
    }
}

/// Before a context's request: its code is to find itself, whoever has replaced `__main__`. Gives what is there, for
/// `settle_main`.
pub fn look_at_main<'py>(py: Python<'py>, own: Option<&Namespace>) -> Option<Bound<'py, PyAny>> {
    let (Some(_), Some(helpers)) = (own, current::helpers()) else {
        return None;
    };
    let found = main(py, helpers)?;
    let seen = &current::get().seen_as_main;
    if seen.swap(found.as_ptr(), Ordering::Relaxed) != found.as_ptr() {
        // It fails if the module resists: then it is what it wants to be.
        let _ = helpers.take_over_main.bind(py).call0();
    }
    Some(found)
}

/// After it: what its code has put in the place of `__main__` is its own, and all others have back what was there.
pub fn settle_main(py: Python<'_>, own: Option<&Namespace>, before: Option<Bound<'_, PyAny>>) {
    let (Some(_), Some(helpers)) = (own, current::helpers()) else {
        return;
    };
    let found = main(py, helpers);
    let same = match (&found, &before) {
        (Some(found), Some(before)) => found.is(before),
        // Python's own, which serves everybody, is back.
        (Some(found), None) => found.is(helpers.main.bind(py)),
        (None, before) => before.is_none(),
    };
    if same {
        return;
    }
    let modules = helpers.modules.bind(py);
    let name = intern!(py, "__main__");
    let restored = match before {
        Some(before) => modules.set_item(name, before),
        None => modules.del_item(name),
    };
    let adopted = restored.and_then(|()| match found {
        Some(found) if !found.is(helpers.main.bind(py)) => {
            helpers.adopt_main.bind(py).call1((found,)).map(drop)
        }
        _ => Ok(()),
    });
    // For want of memory, or as the request was given up just now.
    if let Err(error) = adopted {
        error.write_unraisable(py, None);
    }
}

/// What is in the place of `__main__`.
fn main<'py>(py: Python<'py>, helpers: &Helpers) -> Option<Bound<'py, PyAny>> {
    let found = helpers.modules.bind(py).get_item(intern!(py, "__main__"));
    found.ok().flatten()
}

/// The names of the `__main__` that code sees. `own`: if it is a context's.
pub fn names<'py>(
    py: Python<'py>,
    helpers: &Helpers,
    own: Option<&Namespace>,
) -> Bound<'py, PyDict> {
    let own = own.and_then(|own| own.module(py));
    own.map_or_else(
        || helpers.main_names.bind(py).clone(),
        |module| module.dict(),
    )
}

/// The same for code, which needs builtins: `globals().clear()` takes them away.
pub fn names_for_code<'py>(
    py: Python<'py>,
    helpers: &Helpers,
    own: Option<&Namespace>,
) -> PyResult<Bound<'py, PyDict>> {
    let names = names(py, helpers, own);
    let key = intern!(py, "__builtins__");
    if !names.contains(key)? {
        names.set_item(key, helpers.builtins.bind(py))?;
    }
    Ok(names)
}

/// Does something as if it stood in there.
pub fn within<R>(py: Python<'_>, own: Option<&Namespace>, work: impl FnOnce() -> R) -> R {
    let Some(helpers) = current::helpers() else {
        return work();
    };
    let main = helpers.stand.bind(py);
    // What fails here fails for want of memory. Up to 3.9 code has its builtins from the frame that it is run
    // from, if that has the same names.
    match names_for_code(py, helpers, own) {
        Ok(names) if own.is_some() => match rebound(main, &names) {
            Ok(stand) => stand::within(&stand, work),
            Err(_) => stand::within(main, work),
        },
        _ => stand::within(main, work),
    }
}

/// The same for a thread that does nothing else yet.
pub fn at_bottom<R>(py: Python<'_>, own: Option<&Namespace>, work: impl FnOnce() -> R) -> R {
    if !stand::stays() {
        return within(py, own, work);
    }
    if let Some(helpers) = current::helpers() {
        // It fails for want of memory.
        let _ = names_for_code(py, helpers, own);
    }
    work()
}

/// A function like `function` that sees the names of `globals`.
pub fn rebound<'py>(
    function: &Bound<'py, PyAny>,
    globals: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let code = function.getattr("__code__")?;
    function.get_type().call1((code, globals))
}

/// Has the garbage collector take objects for new ones: its next young collection looks at them.
#[pyfunction]
#[pyo3(name = "_make_young")]
pub fn make_young(objects: &Bound<'_, PyList>) {
    for object in objects.iter() {
        // SAFETY: the GIL is held, and the garbage collector knows the object, as the caller has asked it.
        // The object is whole: the list holds it.
        unsafe {
            ffi::PyObject_GC_UnTrack(object.as_ptr().cast());
            ffi::PyObject_GC_Track(object.as_ptr().cast());
        }
    }
}

/// Runs the finalizers of objects, each once, as the garbage collector does with what nobody can reach: while all is
/// still in place.
#[pyfunction]
#[pyo3(name = "_finalize")]
pub fn finalize(py: Python<'_>, objects: &Bound<'_, PyList>) {
    type Finalize = unsafe extern "C" fn(*mut ffi::PyObject);
    // SAFETY: what it is in every version.
    let Some(finalize) = (unsafe { symbol::<Finalize>(c"PyObject_CallFinalizer") }) else {
        return;
    };
    for object in objects.iter() {
        // SAFETY: the GIL is held, and the object is whole: the list holds it.
        unsafe { finalize(object.as_ptr()) };
        if let Some(error) = PyErr::take(py) {
            error.write_unraisable(py, Some(&object));
        }
    }
}
