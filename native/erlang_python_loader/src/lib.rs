//! What has to happen before libpython is in the process.
//!
//! erts binds every symbol of a NIF library when it loads it, so a library that calls CPython can
//! only be loaded after libpython. This one calls none: it always loads, opens libpython for the
//! whole process, and reads the report of the interpreter probe (`priv/python/probe.py`), because
//! OTP has no JSON reader of its own before 27.
//!
//! It knows nothing of Python objects, and nothing of the crate that is loaded after it.

#[cfg(target_os = "linux")]
mod elf;
mod entry;
#[cfg(target_os = "linux")]
mod known;
mod library;
mod nif;
#[cfg(target_os = "linux")]
mod plain;
mod report;

nif_init!(c"erlang_python_loader", |_, _| true);
