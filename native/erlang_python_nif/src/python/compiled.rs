//! Compiled code of the package `erlang`, which a Python process has from those before it: to compile takes longer than
//! all else at its start, and where Python writes no `.pyc` files each process would do so.
//!
//! It is in a dict: the name of a module, and a tuple of its file (path, time, size) and its code, or that in bytes. The
//! loader of the package looks there (`priv/python/erlang/__init__.py`).

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyModule, PyTuple};

/// Where compiled code comes from.
pub enum Compiled {
    /// There is one process, which keeps it to itself.
    Own,
    /// From a process before this one, which has had it from `tell`. Empty if there was none.
    Before(Vec<u8>),
    /// It is imported: by the process that this one was forked from.
    Forked,
}

/// What is known. None if nothing is to be.
pub fn known<'py>(py: Python<'py>, compiled: &Compiled) -> PyResult<Option<Bound<'py, PyDict>>> {
    Ok(match compiled {
        Compiled::Own | Compiled::Forked => None,
        Compiled::Before(bytes) => {
            let kind = kind(py)?;
            // That of another Python is not even looked at.
            let code = bytes.strip_prefix(kind.as_bytes());
            let known = code.and_then(|code| marshal(py, "loads", PyBytes::new(py, code)).ok());
            // Without it all is compiled again.
            Some(
                known
                    .and_then(|known| known.cast_into().ok())
                    .unwrap_or_else(|| PyDict::new(py)),
            )
        }
    })
}

/// Runs the package, and has its loader know what is known.
pub fn run(package: &Bound<'_, PyModule>, known: Option<Bound<'_, PyDict>>) -> PyResult<()> {
    let py = package.py();
    let loader = package.getattr("__loader__")?;
    package.setattr("_known", &known)?;
    let Some(known) = known else {
        return loader.call_method1("exec_module", (package,)).map(drop);
    };
    let name = package.name()?;
    let path = loader.getattr("path")?;
    let stats = loader.call_method1("path_stats", (&path,))?;
    let file = (path, stats.get_item("mtime")?, stats.get_item("size")?).into_pyobject(py)?;
    let found = match known.get_item(&name)? {
        Some(found) => found.cast_into::<PyTuple>()?,
        None => PyTuple::empty(py),
    };
    let code = if found.len() == 2 && found.get_item(0)?.eq(&file)? {
        found.get_item(1)?
    } else {
        let code = loader.call_method1("get_code", (&name,))?;
        known.set_item(&name, (file, &code))?;
        code
    };
    let code = match code.cast_into::<PyBytes>() {
        Ok(bytes) => marshal(py, "loads", bytes)?,
        Err(error) => error.into_inner(),
    };
    py.import("builtins")?
        .call_method1("exec", (code, package.dict()))
        .map(drop)
}

/// What the processes after this one need not compile, and forgets it. None if they know it, or are forked from where it
/// is known.
pub fn tell(py: Python<'_>) -> PyResult<Option<Vec<u8>>> {
    let package = py.import("erlang")?;
    let Ok(known) = package.getattr("_known")?.cast_into::<PyDict>() else {
        return Ok(None);
    };
    package.setattr("_known", py.None())?;
    let mut is_new = false;
    // Each in bytes of its own: code that has run is freed before the next is there.
    for (name, found) in known.iter() {
        let (file, code): (Bound<'_, PyAny>, Bound<'_, PyAny>) = found.extract()?;
        if !code.is_instance_of::<PyBytes>() {
            is_new = true;
            known.set_item(name, (file, marshal(py, "dumps", code)?))?;
        }
    }
    if !is_new {
        return Ok(None);
    }
    let code = marshal(py, "dumps", known.into_any())?.cast_into::<PyBytes>()?;
    Ok(Some([kind(py)?.as_bytes(), code.as_bytes()].concat()))
}

fn marshal<'py>(
    py: Python<'py>,
    what: &str,
    value: impl IntoPyObject<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    py.import("marshal")?.call_method1(what, (value,))
}

/// Whose code it is.
fn kind(py: Python<'_>) -> PyResult<String> {
    let sys = py.import("sys")?;
    let (version, flags) = (sys.getattr("version")?, sys.getattr("flags")?.repr()?);
    Ok(format!("{version}{flags}"))
}
