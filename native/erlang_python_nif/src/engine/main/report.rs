//! What the interpreter says of itself, under the names of `priv/python/probe.py`, which says it of a program.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use rustler::{Encoder, Env, NewBinary, Term};

pub struct Report {
    version: (u32, u32, u32),
    build: String,
    implementation: String,
    debug: bool,
    free_threaded: bool,
    /// The bytes of its paths, by their names. None for what is no path.
    paths: Vec<(&'static str, Option<Vec<u8>>)>,
}

impl Report {
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        let sys = py.import("sys")?;
        let encode = py.import("os")?.getattr("fsencode")?;
        let path = |name: &str| -> PyResult<Option<Vec<u8>>> {
            let path = sys.getattr(name)?;
            if !path.is_truthy()? {
                return Ok(None);
            }
            let bytes = encode.call1((path,))?.cast_into::<PyBytes>()?;
            Ok(Some(bytes.as_bytes().to_owned()))
        };
        let names = [
            "executable",
            "prefix",
            "exec_prefix",
            "base_prefix",
            "base_exec_prefix",
        ];
        let version = sys.getattr("version_info")?.cast_into::<PyTuple>()?;
        let build: String = sys.getattr("version")?.extract()?;
        let flags: String = sys.getattr("abiflags")?.extract()?;
        Ok(Self {
            version: version.get_slice(0, 3).extract()?,
            build: build.split_whitespace().collect::<Vec<_>>().join(" "),
            implementation: sys.getattr("implementation")?.getattr("name")?.extract()?,
            debug: sys.hasattr("gettotalrefcount")?,
            free_threaded: flags.contains('t'),
            paths: names
                .into_iter()
                .map(|name| Ok((name, path(name)?)))
                .collect::<PyResult<_>>()?,
        })
    }
}

impl Encoder for Report {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        let version = <[u32; 3]>::from(self.version);
        let version_string = self.build.split(' ').next().unwrap_or_default();
        let mut pairs = vec![
            ("version", version.to_vec().encode(env)),
            ("version_string", version_string.encode(env)),
            ("build", self.build.encode(env)),
            ("implementation", self.implementation.encode(env)),
            ("debug", self.debug.encode(env)),
            ("free_threaded", self.free_threaded.encode(env)),
            ("pointer_bits", usize::BITS.encode(env)),
        ];
        for (name, path) in &self.paths {
            let path = path.as_ref().map(|path| {
                let mut binary = NewBinary::new(env, path.len());
                binary.as_mut_slice().copy_from_slice(path);
                Term::from(binary)
            });
            pairs.push((name, path.encode(env)));
        }
        let path = |name| self.paths.iter().find(|(known, _)| *known == name);
        let venv =
            path("prefix").map(|(_, path)| path) != path("base_prefix").map(|(_, path)| path);
        pairs.push(("venv", venv.encode(env)));
        pairs
            .into_iter()
            .fold(Term::map_new(env), |map, (name, value)| {
                // It fails on what is no map.
                map.map_put(name, value).unwrap_or(map)
            })
    }
}
