//! A Python process that works for a VM: an extension module, which the user's own interpreter imports.
//!
//! It has all that the VM's library has (`erlang_python_nif`), with terms in memory of its own
//! (`erlang_python_host`), and a socket to the VM (`wire`).
//!
//! | thread | does |
//! |---|---|
//! | Python's main thread | runs requests, and handles signals |
//! | `py_control` | reads the socket. It never takes the GIL, so it ends the process whatever Python does |
//! | those of `erlang_python_nif` | clock, interrupter, reaper, … |

mod control;
mod descriptors;
mod limits;
mod link;
mod mapping;
mod memory;
mod messages;
mod processes;
mod questions;
mod receiving;
mod serve;
mod slot;
mod template;
mod tray;

use pyo3::prelude::*;

#[pymodule]
fn _erlang_python_worker(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(serve::serve, module)?)?;
    module.add_function(wrap_pyfunction!(template::template_begin, module)?)?;
    module.add_function(wrap_pyfunction!(template::template_import, module)?)?;
    module.add_function(wrap_pyfunction!(template::template_compiled, module)?)?;
    module.add_function(wrap_pyfunction!(template::template_threads, module)?)?;
    module.add_function(wrap_pyfunction!(template::template_can_fork, module)?)?;
    module.add_function(wrap_pyfunction!(template::template_fail, module)?)?;
    module.add_function(wrap_pyfunction!(template::template_serve, module)?)
}
