//! Compiled code, kept by its source: compiling `1+1` costs 70 times what running it does.

use crate::interpreter::python::Helpers;
use pyo3::prelude::*;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// How many compiled sources are kept.
const LIMIT: usize = 1_024;

/// Sources longer than this are compiled each time: they are whole programs, run once.
const LONGEST: usize = 64 << 10;

#[derive(Clone, Copy)]
pub enum Kind {
    Exec,
    Eval,
}

struct Kept {
    code: Py<PyAny>,
    used: u64,
}

#[derive(Default)]
struct Cache {
    kept: HashMap<Vec<u8>, Kept>,
    clock: u64,
}

static CACHE: Mutex<Option<Cache>> = Mutex::new(None);

/// The code object for a source, or for an expression with variables a function of these.
pub fn compiled<'py>(
    py: Python<'py>,
    helpers: &Helpers,
    kind: Kind,
    source: &str,
    names: &[String],
) -> PyResult<Bound<'py, PyAny>> {
    let key = key(kind, source, names);
    if let Some(code) = find(py, &key) {
        return Ok(code);
    }
    let code = match kind {
        Kind::Exec => helpers.compile_exec.bind(py).call1((source,))?,
        Kind::Eval => helpers
            .compile_eval
            .bind(py)
            .call1((source, names.to_vec()))?,
    };
    if source.len() <= LONGEST {
        let evicted = keep(key, code.clone().unbind());
        // Dropped here, with the GIL and without the lock.
        drop(evicted);
    }
    Ok(code)
}

fn key(kind: Kind, source: &str, names: &[String]) -> Vec<u8> {
    // Unambiguous: names have no NUL in them (they would not be identifiers), and the source
    // follows the first empty name.
    let mut key = Vec::with_capacity(source.len() + 2 + names.len() * 8);
    key.push(kind as u8);
    for name in names {
        key.extend_from_slice(name.as_bytes());
        key.push(0);
    }
    key.push(0);
    key.extend_from_slice(source.as_bytes());
    key
}

fn find<'py>(py: Python<'py>, key: &[u8]) -> Option<Bound<'py, PyAny>> {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = cache.get_or_insert_default();
    cache.clock += 1;
    let kept = cache.kept.get_mut(key)?;
    kept.used = cache.clock;
    Some(kept.code.bind(py).clone())
}

/// Keeps a code object. Returns those that had to go, the half that was used least recently.
fn keep(key: Vec<u8>, code: Py<PyAny>) -> Vec<Kept> {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = cache.get_or_insert_default();
    let mut evicted = Vec::new();
    if cache.kept.len() >= LIMIT {
        let mut times: Vec<u64> = cache.kept.values().map(|kept| kept.used).collect();
        let (_, middle, _) = times.select_nth_unstable(LIMIT / 2);
        let middle = *middle;
        evicted.extend(
            cache
                .kept
                .extract_if(|_, kept| kept.used <= middle)
                .map(|(_, kept)| kept),
        );
    }
    let used = cache.clock;
    evicted.extend(cache.kept.insert(key, Kept { code, used }));
    evicted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_when_kind_names_or_source_do() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| name.to_string())
                .collect::<Vec<_>>()
        };
        let keys = [
            key(Kind::Eval, "ab", &[]),
            key(Kind::Exec, "ab", &[]),
            key(Kind::Eval, "b", &names(&["a"])),
            key(Kind::Eval, "", &names(&["ab"])),
            key(Kind::Eval, "", &names(&["a", "b"])),
        ];
        for (at, one) in keys.iter().enumerate() {
            for other in &keys[at + 1..] {
                assert_ne!(one, other);
            }
        }
    }
}
