//! The Python half: the `erlang` package, and what of it is called from here.

use super::Start;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule};
use std::sync::OnceLock;

/// Python objects that live as long as the interpreter.
pub struct Helpers {
    /// The namespace of `__main__`.
    pub main: Py<PyDict>,
    /// `sys.modules`
    pub modules: Py<PyDict>,
    /// `builtins.compile`, with sources remembered for tracebacks
    pub compile_exec: Py<PyAny>,
    pub compile_eval: Py<PyAny>,
    /// An exception, and those that caused it, as plain data
    pub describe: Py<PyAny>,
    /// The class and the text of an object, for `Inspect`
    pub represent: Py<PyAny>,
    /// The line that a thread is at
    pub location: Py<PyAny>,
    /// Drops what `threading` keeps of a thread that ends
    pub forget_thread: Py<PyAny>,
    /// `iter`, of asynchronous iterables too
    pub iterate: Py<PyAny>,
    /// An iterator over what a function of the other side gives
    pub pulled: Py<PyAny>,
    /// Ends a generator early
    pub close_iterator: Py<PyAny>,
    /// `erlang.Error`
    pub error: Py<PyAny>,
    /// `sys._current_frames`
    pub current_frames: Py<PyAny>,
    /// What is raised in a request that nobody waits for any more
    pub interrupt: Py<PyAny>,
}

static HELPERS: OnceLock<Helpers> = OnceLock::new();

/// None until the interpreter has started.
pub fn helpers() -> Option<&'static Helpers> {
    HELPERS.get()
}

/// Imports the `erlang` package from its folder, which stays off `sys.path`, and lets it prepare
/// the interpreter.
pub fn install(py: Python<'_>, start: &Start) -> Result<(), String> {
    let folder = &start.package;
    let helpers = load(py, folder, start)
        .map_err(|error| format!("the Python package in {folder} cannot be imported: {error}"))?;
    let _ = HELPERS.set(helpers);
    Ok(())
}

fn load(py: Python<'_>, folder: &str, start: &Start) -> PyResult<Helpers> {
    let modules = py
        .import("sys")?
        .getattr("modules")?
        .cast_into::<PyDict>()?;
    let util = py.import("importlib.util")?;
    let options = PyDict::new(py);
    options.set_item("submodule_search_locations", [folder])?;
    let spec = util.call_method(
        "spec_from_file_location",
        ("erlang", format!("{folder}/__init__.py")),
        Some(&options),
    )?;
    let package = util.call_method1("module_from_spec", (&spec,))?;
    modules.set_item("erlang", &package)?;
    spec.getattr("loader")?
        .call_method1("exec_module", (&package,))?;

    crate::package::add_to(package.cast::<PyModule>()?)?;
    py.import("erlang._bootstrap")?
        .call_method1("prepare", (start.stack_size, start.stdio, start.logging))?;
    let bootstrap = py.import("erlang._bootstrap")?;
    let code = py.import("erlang._code")?;
    let errors = py.import("erlang._errors")?;
    let streams = py.import("erlang._stream")?;
    Ok(Helpers {
        main: py
            .import("__main__")?
            .getattr("__dict__")?
            .cast_into::<PyDict>()?
            .unbind(),
        modules: modules.unbind(),
        compile_exec: code.getattr("compile_exec")?.unbind(),
        compile_eval: code.getattr("compile_eval")?.unbind(),
        describe: errors.getattr("describe")?.unbind(),
        represent: errors.getattr("represent")?.unbind(),
        location: errors.getattr("location")?.unbind(),
        iterate: streams.getattr("iterate")?.unbind(),
        pulled: streams.getattr("Pulled")?.unbind(),
        close_iterator: streams.getattr("close")?.unbind(),
        forget_thread: bootstrap.getattr("forget_thread")?.unbind(),
        error: package.getattr("Error")?.unbind(),
        current_frames: py.import("sys")?.getattr("_current_frames")?.unbind(),
        interrupt: package.getattr("Interrupt")?.unbind(),
    })
}
