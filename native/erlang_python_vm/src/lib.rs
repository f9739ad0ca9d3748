//! The library that the VM loads: all of `erlang_python_nif`, with the function that the VM looks for.
//!
//! A crate of its own, as the library of a Python process has all of that too, and no such function.

erlang_python::nif_init!(c"erlang_python", erlang_python::register);
