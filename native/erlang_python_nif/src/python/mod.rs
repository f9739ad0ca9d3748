//! Python as it is used from here: the interpreter and its threads, objects and terms, and what is kept between
//! two calls. Nothing here knows of pools or requests.

pub mod arguments;
pub mod child;
mod class_names;
pub mod classes;
pub mod code;
pub mod compiled;
pub mod contextvars;
pub mod convert;
pub mod current;
pub mod exception;
pub mod growth;
pub mod handle;
pub mod helpers;
pub mod host;
pub mod interpreter;
pub mod made;
pub mod names;
pub mod namespace;
pub mod object;
pub mod reaper;
pub mod source;
pub mod weight;
