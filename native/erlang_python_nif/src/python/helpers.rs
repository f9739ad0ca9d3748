//! The Python half: the `erlang` package, and what of it is called from here.

use crate::python::compiled::{self, Compiled};
use crate::python::contextvars::Base;
use crate::python::interpreter::Setup;
use crate::python::interpreter::delicate::Delicate;
use crate::python::interpreter::handled::Top;
use crate::python::interpreter::imports::Imports;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule};

/// Python objects that live as long as the interpreter.
pub struct Helpers {
    /// `__main__`, which `sys.modules` may lose to another, and its namespace.
    pub main: Py<PyModule>,
    pub main_names: Py<PyDict>,
    /// A module that takes the place of `__main__` on the current thread
    pub make_main: Py<PyAny>,
    /// Makes whatever is in the place of `__main__` by now one that contexts find themselves by
    pub take_over_main: Py<PyAny>,
    /// What the current thread has in the place of `__main__` from now on.
    pub adopt_main: Py<PyAny>,
    /// The builtins, which code may change, and some as they were
    pub builtins: Py<PyModule>,
    pub import: Py<PyAny>,
    /// The function in whose frame calls stand, and its code
    pub stand: Py<PyAny>,
    pub stand_code: Py<PyAny>,
    /// `sys.modules`
    pub modules: Py<PyDict>,
    /// `builtins.compile`, with sources remembered for tracebacks
    pub compile_exec: Py<PyAny>,
    pub compile_eval: Py<PyAny>,
    /// An exception, and those that caused it, as plain data
    pub describe: Py<PyAny>,
    /// The class and the text of an object, for `Inspect`
    pub represent: Py<PyAny>,
    /// Ends a module that took the place of `__main__`, in two steps
    pub begin_end: Py<PyAny>,
    pub finish_end: Py<PyAny>,
    /// The name of a class, whatever its metaclass says
    pub class_name: Py<PyAny>,
    /// Drops what `threading` keeps of a thread that ends
    pub forget_thread: Py<PyAny>,
    /// `iter`, of asynchronous iterables too
    pub iterate: Py<PyAny>,
    /// An iterator over what a function of the other side gives
    pub pulled: Py<PyAny>,
    /// Ends a generator early
    pub close_iterator: Py<PyAny>,
    /// What stands for an object that has no counterpart
    pub replaced: Py<PyAny>,
    /// `erlang.Function`, and what makes one of a `%Python.Function{}`
    pub function: Py<PyAny>,
    pub described: Py<PyAny>,
    /// `erlang.Error`
    pub error: Py<PyAny>,
    /// Where no thread is to be interrupted
    pub delicate: Delicate,
    pub imports: Imports,
    /// Code for an interrupt to strike in that comes too late
    pub absorb: Py<PyAny>,
    /// See `assistant.rs`
    pub one_mark: bool,
    /// The context variables that calls begin with
    pub base: Base,
    /// What copies of a context share, and the running event loop of an outer call
    pub renewal: Py<PyAny>,
    /// None where exceptions that are handled cannot be set aside as a whole
    pub top: Option<Top>,
    pub set_aside: Py<PyAny>,
    pub take_back: Py<PyAny>,
    /// Takes away the event loop that is said to run on the current thread
    pub leave_loop: Py<PyAny>,
    /// What is raised in a request that nobody waits for any more
    pub interrupt: Py<PyAny>,
    /// `sys.getswitchinterval`
    pub switch_interval: Py<PyAny>,
}

/// Puts functions and classes into the package.
pub type Add = fn(&Bound<'_, PyModule>) -> PyResult<()>;

/// Imports the `erlang` package, and prepares nothing: a process may fork after it.
pub fn import<'py>(
    py: Python<'py>,
    folder: &str,
    compiled: &Compiled,
    add: Add,
) -> PyResult<Bound<'py, PyModule>> {
    let package = package(py, folder)?;
    modules(py)?.set_item("erlang", &package)?;
    compiled::run(&package, compiled::known(py, compiled)?)?;
    add(&package)?;
    // Which imports the others.
    py.import("erlang._bootstrap")?;
    let function = py.import("erlang._function")?;
    package.setattr("Function", function.getattr("Function")?)?;
    let decode = py.import("erlang._decode")?;
    package.setattr("register_decoder", decode.getattr("register_decoder")?)?;
    Ok(package)
}

fn modules(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    Ok(py.import("sys")?.getattr("modules")?.cast_into()?)
}

/// Lets the package prepare the interpreter, and finds what is called of it.
pub fn load(py: Python<'_>, setup: &Setup, add: Add) -> PyResult<Helpers> {
    let modules = modules(py)?;
    let package = match &setup.compiled {
        // The process that this one was forked from has imported it.
        Compiled::Forked => py.import("erlang")?,
        compiled => import(py, &setup.package, compiled, add)?,
    };
    let bootstrap = py.import("erlang._bootstrap")?;
    bootstrap.call_method1(
        "prepare",
        (
            setup.stack_size,
            setup.stdio,
            setup.logging,
            setup.notebook,
            &setup.paths,
            setup.shares_the_vm,
        ),
    )?;
    let code = py.import("erlang._code")?;
    let errors = py.import("erlang._errors")?;
    let streams = py.import("erlang._stream")?;
    let locks = py.import("erlang._locks")?;
    let end = py.import("erlang._end")?;
    let interrupts = py.import("erlang._interrupts")?;
    let isolation = py.import("erlang._isolation")?;
    let renewal = isolation.getattr("renewal")?;
    let ahead = py.import("erlang._ahead")?;
    let main = py.import("erlang._main")?;
    let stand_code = main.getattr("STAND")?.getattr("__code__")?.unbind();
    let unfinished = py.import("erlang._unfinished")?;
    let imports = Imports::new(&unfinished)?;
    let function = py.import("erlang._function")?;
    let builtins = py.import("builtins")?;
    let decode = py.import("erlang._decode")?;
    // All that it has is there.
    py.import("erlang._names")?.call_method0("watch")?;
    Ok(Helpers {
        main: main.getattr("MAIN")?.cast_into::<PyModule>()?.unbind(),
        main_names: main.getattr("NAMES")?.cast_into::<PyDict>()?.unbind(),
        make_main: main.getattr("make")?.unbind(),
        take_over_main: main.getattr("take_over")?.unbind(),
        adopt_main: main.getattr("adopt")?.unbind(),
        import: builtins.getattr("__import__")?.unbind(),
        builtins: builtins.unbind(),
        stand: main.getattr("STAND")?.unbind(),
        stand_code,
        modules: modules.unbind(),
        compile_exec: code.getattr("compile_exec")?.unbind(),
        compile_eval: code.getattr("compile_eval")?.unbind(),
        describe: errors.getattr("describe")?.unbind(),
        represent: errors.getattr("represent")?.unbind(),
        begin_end: end.getattr("begin")?.unbind(),
        finish_end: end.getattr("finish")?.unbind(),
        class_name: errors.getattr("class_name")?.unbind(),
        iterate: streams.getattr("iterate")?.unbind(),
        pulled: streams.getattr("Pulled")?.unbind(),
        close_iterator: streams.getattr("close")?.unbind(),
        forget_thread: bootstrap.getattr("forget_thread")?.unbind(),
        function: function.getattr("Function")?.unbind(),
        described: function.getattr("described")?.unbind(),
        replaced: decode.getattr("replaced")?.unbind(),
        error: package.getattr("Error")?.unbind(),
        delicate: Delicate::new(&locks, &ahead)?,
        imports,
        absorb: interrupts.getattr("absorb")?.unbind(),
        one_mark: interrupts.getattr("ONE_MARK")?.extract()?,
        base: Base::of_current(py, &renewal)?,
        renewal: renewal.unbind(),
        top: Top::find(&isolation)?,
        set_aside: isolation.getattr("set_aside")?.unbind(),
        take_back: isolation.getattr("take_back")?.unbind(),
        leave_loop: py.import("erlang._loops")?.getattr("leave")?.unbind(),
        interrupt: package.getattr("Interrupt")?.unbind(),
        switch_interval: py.import("sys")?.getattr("getswitchinterval")?.unbind(),
    })
}

/// The package, not executed yet. What `importlib.util` does for that, which takes ms to be imported.
fn package<'py>(py: Python<'py>, folder: &str) -> PyResult<Bound<'py, PyModule>> {
    let file = format!("{folder}/__init__.py");
    // What `importlib.machinery` has them from, which takes time as well.
    let loaders = py.import("_frozen_importlib_external")?;
    let machinery = py.import("_frozen_importlib")?;
    let loader = loaders.call_method1("SourceFileLoader", ("erlang", &file))?;
    let options = PyDict::new(py);
    options.set_item("origin", &file)?;
    options.set_item("is_package", true)?;
    let spec = machinery.call_method("ModuleSpec", ("erlang", &loader), Some(&options))?;
    spec.setattr("submodule_search_locations", [folder])?;
    // So that compiled code is kept where that is possible.
    spec.setattr("has_location", true)?;

    let package = PyModule::new(py, "erlang")?;
    // Of its own: see `priv/python/erlang/_builtins.py`.
    package.setattr("__builtins__", py.import("builtins")?.dict().copy()?)?;
    package.setattr("__spec__", &spec)?;
    package.setattr("__loader__", &loader)?;
    package.setattr("__package__", "erlang")?;
    package.setattr("__path__", [folder])?;
    package.setattr("__file__", &file)?;
    package.setattr("__cached__", spec.getattr("cached")?)?;
    Ok(package)
}
