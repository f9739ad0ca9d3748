//! The NIFs: BEAM terms in, BEAM terms out. The work is done in `library` and `report`.

use std::path::PathBuf;

use rustler::types::atom::{error, nil, ok};
use rustler::{Atom, Binary, Encoder, Env, NewBinary, Term};

use crate::library::{self, OpenError};
use crate::report::{self, Item};

mod atoms {
    rustler::atoms! {
        already_open,
        not_a_report,
        not_open,
        no_stack_protection,
        not_python,
        open_failed,
        wrong_architecture,
    }
}

/// A tag to match and a text to read.
type Failure = (Atom, String);

/// Opens libpython for the whole process. Dirty: it reads files and runs their constructors.
#[rustler::nif(schedule = "DirtyIo")]
fn library_open<'a>(env: Env<'a>, path: Binary<'a>) -> Term<'a> {
    let opened =
        path_from_bytes(path.as_slice()).and_then(|path| library::open(&path).map_err(failure));

    // A Result would come out as `{:ok, :ok}`.
    match opened {
        Ok(()) => ok().encode(env),
        Err(failure) => (error(), failure).encode(env),
    }
}

/// The libpython of an interpreter whose files say all that is asked of it, or nil. Dirty: it reads files.
#[rustler::nif(schedule = "DirtyIo")]
fn library_plain<'a>(env: Env<'a>, executable: Binary<'a>, home: Binary<'a>) -> Term<'a> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStringExt;

        let paths = (path_from_bytes(&executable), path_from_bytes(&home));
        if let (Ok(executable), Ok(home)) = paths
            && let Some(libpython) = crate::plain::libpython(&executable, &home)
        {
            return Item::Text(libpython.into_os_string().into_vec()).encode(env);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (executable, home);
    nil().encode(env)
}

#[rustler::nif]
fn library_version() -> Result<String, Failure> {
    library::version().ok_or_else(|| {
        (
            atoms::not_open(),
            "no libpython has been opened".to_string(),
        )
    })
}

/// Whether it is certain that there is none of these files. What lies in an archive is there, and not for the system.
/// Dirty: it asks the system for each.
#[rustler::nif(schedule = "DirtyIo")]
fn files_missing(paths: Vec<Binary>) -> bool {
    cfg!(unix) && paths.iter().all(|path| is_missing(path))
}

fn is_missing(path: &[u8]) -> bool {
    path_from_bytes(path).is_ok_and(|path| {
        let found = std::fs::metadata(path);
        found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    })
}

/// Reads the report of the interpreter probe into a map with string keys.
#[rustler::nif]
fn report_read<'a>(env: Env<'a>, json: Binary<'a>) -> Result<Term<'a>, Failure> {
    match report::read(json.as_slice()) {
        Ok(report) => Ok(report.encode(env)),
        Err(text) => Err((atoms::not_a_report(), text)),
    }
}

fn failure(error: OpenError) -> Failure {
    match error {
        OpenError::AlreadyOpen(text) => (atoms::already_open(), text),
        OpenError::Failed(text) => (atoms::open_failed(), text),
        OpenError::NotPython(text) => (atoms::not_python(), text),
        OpenError::NoStackProtection(text) => (atoms::no_stack_protection(), text),
        OpenError::WrongArchitecture(text) => (atoms::wrong_architecture(), text),
    }
}

#[cfg(unix)]
fn path_from_bytes(bytes: &[u8]) -> Result<PathBuf, Failure> {
    use std::os::unix::ffi::OsStrExt;

    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(bytes)))
}

#[cfg(not(unix))]
fn path_from_bytes(bytes: &[u8]) -> Result<PathBuf, Failure> {
    match std::str::from_utf8(bytes) {
        Ok(path) => Ok(PathBuf::from(path)),
        Err(_) => Err((atoms::open_failed(), "the path is not UTF-8".to_string())),
    }
}

impl Encoder for Item {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self {
            Item::Null => nil().encode(env),
            Item::Boolean(boolean) => boolean.encode(env),
            Item::Integer(integer) => integer.encode(env),
            Item::Text(text) => {
                let mut binary = NewBinary::new(env, text.len());
                binary.as_mut_slice().copy_from_slice(text);
                binary.into()
            }
            Item::List(items) => items.encode(env),
            Item::Map(entries) => entries
                .iter()
                .fold(Term::map_new(env), |map, (key, value)| {
                    // map_put only fails on what is not a map.
                    map.map_put(key, value).unwrap_or(map)
                }),
        }
    }
}
