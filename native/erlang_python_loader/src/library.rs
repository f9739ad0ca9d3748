//! libpython, opened once for the life of the process.

use std::error::Error;
use std::ffi::{CStr, c_char};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use libloading::Library;

// Here, since this file is tested as a crate of its own.
#[cfg(target_os = "linux")]
#[path = "gil.rs"]
mod gil;

/// Why a library could not be opened, with a text for people.
#[derive(Debug, PartialEq)]
pub enum OpenError {
    /// Another libpython is in this process already.
    AlreadyOpen(String),
    /// The file is missing, or the dynamic linker refused it.
    Failed(String),
    /// It has no `Py_GetVersion`.
    NotPython(String),
    /// It was built for another kind of processor.
    WrongArchitecture(String),
    /// It looks where its stack ends, and cannot be told of a stack that is not the thread's own.
    NoStackProtection(String),
}

struct OpenLibrary {
    path: PathBuf,
    version: String,
    /// Never closed: everything that is loaded later holds pointers into it.
    _library: Library,
}

/// Held while libpython is opened, so that two callers cannot open two of them. Its holder takes
/// no other lock of ours; the dynamic linker's own lock is taken under it.
static OPEN: Mutex<Option<OpenLibrary>> = Mutex::new(None);

/// Opens the library at `path` with its symbols visible to everything that is loaded after it.
/// Opening the same file again does nothing.
pub fn open(path: &Path) -> Result<(), OpenError> {
    // One library has several names (libpython3.11.so is a link to libpython3.11.so.1.0).
    let path = path
        .canonicalize()
        .map_err(|error| OpenError::Failed(format!("{}: {error}", path.display())))?;

    let mut opened = OPEN.lock().unwrap_or_else(PoisonError::into_inner);

    match &*opened {
        Some(library) if library.path == path => Ok(()),
        Some(library) => Err(OpenError::AlreadyOpen(format!(
            "{} is open in this VM already, and a process can hold only one libpython",
            library.path.display()
        ))),
        None => {
            // The dynamic linker maps what is not there, and the process ends when that is touched.
            #[cfg(target_os = "linux")]
            if !is_whole(&path) {
                let text = format!("{} is shorter than its header says", path.display());
                return Err(OpenError::Failed(text));
            }
            // libpython comes second: symbols are bound to the first library that has them.
            #[cfg(target_os = "linux")]
            gil::become_global();
            let library = open_globally(&path).map_err(|error| explain(&path, &error))?;
            let version = read_version(&library)
                .map_err(|error| OpenError::NotPython(describe(&path, &error)))?;
            if looks_at_its_stack(&version) && !can_be_told_its_stack(&library) {
                let text = format!("{} has no {STACK_PROTECTION}", path.display());
                return Err(OpenError::NoStackProtection(text));
            }
            #[cfg(target_os = "linux")]
            gil::forward_to(&library)
                .map_err(|error| OpenError::NotPython(describe(&path, &error)))?;
            *opened = Some(OpenLibrary {
                path,
                version,
                _library: library,
            });
            Ok(())
        }
    }
}

/// What `Py_GetVersion` of the opened library says.
pub fn version() -> Option<String> {
    let opened = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    opened.as_ref().map(|library| library.version.clone())
}

#[cfg(unix)]
fn open_globally(path: &Path) -> Result<Library, libloading::Error> {
    use libloading::os::unix;

    // RTLD_GLOBAL is what lets the next NIF library, and Python's own extension modules, find the
    // symbols. RTLD_NOW tells here, not in the middle of a call, that a symbol is missing.
    //
    // SAFETY: opening a library runs its constructors. The path is that of the libpython which the
    // interpreter itself named, and CPython's does nothing there that depends on the calling thread.
    let library = unsafe { unix::Library::open(Some(path), unix::RTLD_NOW | unix::RTLD_GLOBAL) }?;
    Ok(library.into())
}

#[cfg(not(unix))]
fn open_globally(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: as on Unix. Windows looks symbols up by library name, so there is nothing to make
    // global.
    unsafe { Library::new(path) }
}

/// Whether a file holds all that its header has the dynamic linker map: copies that were broken off do not. What is no
/// 64-bit library of Linux counts as whole; the linker says what it is.
#[cfg(target_os = "linux")]
pub fn is_whole(path: &Path) -> bool {
    lacks(path).is_none_or(|lacks| !lacks)
}

#[cfg(target_os = "linux")]
fn lacks(path: &Path) -> Option<bool> {
    use std::os::unix::fs::FileExt;

    const HEADER: usize = 64;
    const SEGMENT: usize = 56;
    const LOAD: u32 = 1;

    let found = std::fs::metadata(path).ok()?;
    let size = found.is_file().then_some(found.len())?;
    let file = std::fs::File::open(path).ok()?;
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0).ok()?;
    if !cfg!(target_endian = "little") || !header.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let long = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..at + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let count = usize::from(u16::from_le_bytes([header[56], header[57]]));
    let mut segments = vec![0; count * SEGMENT];
    let start = long(&header, 32)?;
    if file.read_exact_at(&mut segments, start).is_err() {
        return Some(true);
    }
    let is_there = |segment: &[u8]| {
        let end = long(segment, 8)?.checked_add(long(segment, 32)?)?;
        Some(!segment.starts_with(&LOAD.to_le_bytes()) || end <= size)
    };
    let (segments, _) = segments.as_chunks::<SEGMENT>();
    let is_whole = |segment: &[u8; SEGMENT]| is_there(segment) == Some(true);
    Some(!segments.iter().all(is_whole))
}

/// Came with one of the first patch releases of 3.14: https://github.com/python/cpython/issues/139653
const STACK_PROTECTION: &str = "PyUnstable_ThreadState_SetStackProtection";

/// Whether that Python compares the stack pointer with the bounds of the thread's stack. Outside of them
/// it frees nothing any more that the garbage collector knows of.
fn looks_at_its_stack(version: &str) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) >= (3, 14),
        _ => false,
    }
}

fn can_be_told_its_stack(library: &Library) -> bool {
    // SAFETY: it is only asked whether there is such a symbol; what it stands for is not used.
    unsafe { library.get::<*const ()>(STACK_PROTECTION.as_bytes()) }.is_ok()
}

fn read_version(library: &Library) -> Result<String, libloading::Error> {
    // SAFETY: this is the signature of Py_GetVersion in every CPython.
    let get_version =
        unsafe { library.get::<unsafe extern "C" fn() -> *const c_char>(b"Py_GetVersion\0") }?;
    // SAFETY: Py_GetVersion may be called before Python is initialised and without the GIL. It
    // writes to a static buffer: the lock on OPEN keeps a second caller of ours away.
    let version = unsafe { get_version() };
    // SAFETY: it returns that static, NUL-terminated buffer, never null; the text is copied out
    // before the lock is released.
    let version = unsafe { CStr::from_ptr(version) };
    Ok(version.to_string_lossy().into_owned())
}

/// Why the dynamic linker refused: the words differ between systems, so a library for another
/// processor is told by its header where it has one that is easy to read.
fn explain(path: &Path, error: &libloading::Error) -> OpenError {
    let text = describe(path, error);
    let other = match (elf_target(path), elf_target(Path::new("/proc/self/exe"))) {
        (Some(library), Some(own)) => library != own,
        _ => text.contains("incompatible architecture"),
    };

    if other {
        OpenError::WrongArchitecture(text)
    } else {
        OpenError::Failed(text)
    }
}

fn describe(path: &Path, error: &libloading::Error) -> String {
    let cause = match error.source() {
        Some(source) => source.to_string(),
        None => error.to_string(),
    };
    let path = path.display().to_string();
    // dlopen's own text mostly names the file.
    if cause.contains(&path) {
        cause
    } else {
        format!("{path}: {cause}")
    }
}

/// Word size, byte order and machine in the header of an ELF file.
fn elf_target(path: &Path) -> Option<(u8, u8, [u8; 2])> {
    use std::io::Read;

    let mut header = [0; 20];
    std::fs::File::open(path)
        .ok()?
        .read_exact(&mut header)
        .ok()?;
    elf_header_target(&header)
}

fn elf_header_target(header: &[u8; 20]) -> Option<(u8, u8, [u8; 2])> {
    match header {
        [0x7f, b'E', b'L', b'F', class, order, .., m0, m1] => Some((*class, *order, [*m0, *m1])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[cfg(target_os = "linux")]
    use super::is_whole;
    use super::{OpenError, elf_header_target, looks_at_its_stack, open, version};

    #[test]
    fn a_file_that_is_missing_or_no_library_is_refused_by_name() {
        let no_library = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        for path in [Path::new("/nonexistent/Cargo.toml"), &no_library] {
            match open(path) {
                Err(OpenError::Failed(text)) => assert!(text.contains("Cargo.toml"), "{text}"),
                other => panic!("{path:?}: {other:?}"),
            }
        }
        assert_eq!(version(), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_library_without_python_in_it_is_refused() {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let libc = maps.lines().find_map(|line| {
            line.find('/')
                .map(|at| &line[at..])
                .filter(|path| path.contains("libc.so"))
        });
        match open(Path::new(libc.unwrap())) {
            Err(OpenError::NotPython(text)) => assert!(text.contains("Py_GetVersion"), "{text}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_library_that_was_cut_off_is_refused() {
        let own = std::env::current_exe().unwrap();
        assert!(is_whole(&own));
        let cut = std::env::temp_dir().join(format!("cut_{}", std::process::id()));
        std::fs::copy(&own, &cut).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&cut).unwrap();
        for size in [65_536, 4_096, 100] {
            file.set_len(size).unwrap();
            assert!(!is_whole(&cut), "{size}");
            match open(&cut) {
                Err(OpenError::Failed(text)) => assert!(text.contains("shorter"), "{text}"),
                other => panic!("{size}: {other:?}"),
            }
        }
        std::fs::remove_file(&cut).unwrap();
        assert!(is_whole(&cut), "what is not there is left to the linker");
    }

    #[test]
    fn python_looks_at_its_stack_from_3_14_on() {
        for (version, looks) in [
            ("3.8.18 (default, Jan  1 2024, 10:00:00)", false),
            ("3.13.0 (main, Oct  7 2024)", false),
            ("3.14.0 (main, Oct  7 2025)", true),
            ("3.15.0a1 (main)", true),
            ("4.0.0", true),
            ("nonsense", false),
        ] {
            assert_eq!(looks_at_its_stack(version), looks, "{version}");
        }
    }

    #[test]
    fn the_header_of_an_elf_file_tells_what_it_was_built_for() {
        let mut header = [0; 20];
        header[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        header[18] = 62;
        assert_eq!(elf_header_target(&header), Some((2, 1, [62, 0])));
        assert_eq!(elf_header_target(b"#!/bin/sh\nexec pytho"), None);
    }
}
