//! Compiled code, kept by its source: compiling `1+1` costs 70 times what running it does.

use crate::base::lock::Mutex;
use crate::python::helpers::Helpers;
use crate::python::source;
use lru::LruCache;
use pyo3::intern;
use pyo3::prelude::*;
use std::num::NonZeroUsize;

/// How many compiled sources are kept, those that were used last.
const LIMIT: NonZeroUsize = NonZeroUsize::new(1_024).unwrap();

/// Sources longer than this are compiled each time: they are whole programs, run once.
const LONGEST: usize = 64 << 10;

#[derive(Clone, Copy)]
pub enum Kind {
    Exec,
    Eval,
    /// In an event loop, which runs the coroutine that code with `await` is.
    ExecInLoop,
    EvalInLoop,
}

/// Where code stands, as its author says: the file's name, if there is one, and the first line.
#[derive(Clone, Copy)]
pub struct Place<'p> {
    pub file: Option<&'p str>,
    pub line: u32,
}

impl Default for Place<'_> {
    fn default() -> Self {
        Place {
            file: None,
            line: 1,
        }
    }
}

/// The compiled code of an interpreter.
pub struct Code(Mutex<Option<LruCache<Vec<u8>, Py<PyAny>>>>);

impl Code {
    pub const fn new() -> Self {
        Code(Mutex::new(None))
    }

    /// The code object for a source, or for an expression with variables a function of these.
    pub fn compiled<'py>(
        &self,
        py: Python<'py>,
        helpers: &Helpers,
        kind: Kind,
        source: &str,
        names: &[String],
        place: Place<'_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let key = key(kind, source, names, place);
        if let Some(code) = self.find(py, &key) {
            return Ok(code);
        }
        let code = match kind {
            Kind::Exec | Kind::ExecInLoop => {
                let awaits = matches!(kind, Kind::ExecInLoop);
                let arguments = (source, place.file, place.line, awaits);
                helpers.compile_exec.bind(py).call1(arguments)?
            }
            Kind::Eval | Kind::EvalInLoop => {
                let awaits = matches!(kind, Kind::EvalInLoop);
                let arguments = (source, names.to_vec(), place.file, place.line, awaits);
                helpers.compile_eval.bind(py).call1(arguments)?
            }
        };
        remember(&code, place, source);
        if source.len() <= LONGEST {
            let evicted = self.keep(key, code.clone().unbind());
            // Dropped here, with the GIL and without the lock.
            drop(evicted);
        }
        Ok(code)
    }

    fn find<'py>(&self, py: Python<'py>, key: &[u8]) -> Option<Bound<'py, PyAny>> {
        let mut cache = self.0.lock();
        Some(cache.as_mut()?.get(key)?.bind(py).clone())
    }

    /// Keeps a code object. Returns the one that had to go.
    fn keep(&self, key: Vec<u8>, code: Py<PyAny>) -> Option<(Vec<u8>, Py<PyAny>)> {
        let mut cache = self.0.lock();
        cache
            .get_or_insert_with(|| LruCache::new(LIMIT))
            .push(key, code)
    }
}

/// Keeps the source for those who show a line of it.
fn remember(compiled: &Bound<'_, PyAny>, place: Place<'_>, source: &str) {
    // Of variables it is a function.
    let own = compiled.getattr(intern!(compiled.py(), "__code__"));
    let code = own.as_ref().unwrap_or(compiled);
    let file = code.getattr(intern!(code.py(), "co_filename"));
    if let Ok(file) = file.and_then(|file| file.extract::<String>()) {
        source::remember(&file, place.line, source);
    }
}

fn key(kind: Kind, source: &str, names: &[String], place: Place<'_>) -> Vec<u8> {
    // Unambiguous: names have no NUL in them (they would not be identifiers), and neither have files;
    // the source follows the first empty name.
    let file = place.file.unwrap_or_default();
    let mut key = Vec::with_capacity(source.len() + file.len() + 7 + names.len() * 8);
    key.push(kind as u8);
    key.extend_from_slice(&place.line.to_ne_bytes());
    key.extend_from_slice(file.as_bytes());
    key.push(0);
    for name in names {
        key.extend_from_slice(name.as_bytes());
        key.push(0);
    }
    key.push(0);
    key.extend_from_slice(source.as_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_when_kind_names_place_or_source_do() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| name.to_string())
                .collect::<Vec<_>>()
        };
        let at = |file, line| Place { file, line };
        let keys = [
            key(Kind::Eval, "ab", &[], Place::default()),
            key(Kind::Exec, "ab", &[], Place::default()),
            key(Kind::Exec, "ab", &[], at(Some("a"), 1)),
            key(Kind::Exec, "ab", &[], at(Some("a"), 2)),
            key(Kind::Exec, "ab", &[], at(None, 2)),
            key(Kind::Eval, "b", &names(&["a"]), Place::default()),
            key(Kind::Eval, "b", &[], at(Some("a"), 1)),
            key(Kind::Eval, "", &names(&["ab"]), Place::default()),
            key(Kind::Eval, "", &names(&["a", "b"]), Place::default()),
        ];
        for (at, one) in keys.iter().enumerate() {
            for other in &keys[at + 1..] {
                assert_ne!(one, other);
            }
        }
    }
}
