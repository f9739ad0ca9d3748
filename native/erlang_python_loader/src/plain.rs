//! Interpreters whose files say all that has to be known before they are started in the VM, so that they need not be
//! run as a program first (`priv/python/probe.py`).
//!
//! Running one tells which libpython belongs to it, and whether it starts at all: code that is installed for its start
//! (`sitecustomize`, lines of `.pth` files) may end the process or never return. Here that is known without: the program
//! names the libpython that it is linked with, its standard library is beside it, and nothing is installed that would
//! run but what is known to end well (`known.rs`). So it is with Debian's, whose library has a place of its own. Whatever
//! is unusual is left to the program, which knows.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::elf::Elf;
use crate::known::{self, files};
use crate::library;

/// Of Python 3. What a later version runs at its start nobody knows yet.
const MINORS: std::ops::RangeInclusive<u32> = 8..=14;

/// Where the dynamic linker looks in a folder before it looks at the folder itself.
const KINDS_OF_PROCESSORS: [&str; 4] = ["glibc-hwcaps", "tls", "haswell", std::env::consts::ARCH];

/// A program that is linked with libpython has a few KB, and so has a `pyvenv.cfg` or a `.pth` file.
const LARGEST: usize = 1 << 20;

/// Modules that `site` imports where they are installed.
const CUSTOMIZING: [&[u8]; 2] = [b"sitecustomize", b"usercustomize"];

/// The libpython of the interpreter at `executable`, by the name that it has without links. The environment has nothing
/// in it that Python or the dynamic linker would look at; `home` is the user's folder.
pub fn libpython(executable: &Path, home: &Path) -> Option<PathBuf> {
    let bin = executable.parent()?;
    let program = executable.canonicalize().ok()?;
    let base_bin = program.parent()?;
    let base = base_bin.parent()?;
    let (minor, libpython) = match debian_libpython(&program) {
        Some(found) => found,
        None => linked_libpython(&read(&program)?, base_bin)?,
    };
    // One that was cut off would end the process that opens it.
    if !library::is_whole(&libpython) || !home.is_absolute() {
        return None;
    }
    let version = format!("python3.{minor}");

    // What makes Python look elsewhere for its library: a build that is not installed, a list of paths.
    for folder in [bin, base_bin] {
        if folder.join("pybuilddir.txt").exists() || has_file_of_paths(folder) {
            return None;
        }
    }
    let stdlib = base.join("lib").join(&version);
    let others = [
        base.join(format!("lib/python3{minor}.zip")),
        base_bin.join("lib").join(&version),
    ];
    if !is_whole(&stdlib) || others.iter().any(|path| path.exists()) {
        return None;
    }

    let mut sites = Vec::new();
    let mut is_alone = false;
    if bin.join("pyvenv.cfg").exists() {
        return None;
    }
    if let Some(config) = read_environment(bin.parent()?)? {
        // Python looks for its library beside that folder, by the name that it has there.
        if config.home.canonicalize().ok()? != base_bin
            || config.home.parent()?.canonicalize().ok()? != base
        {
            return None;
        }
        is_alone = !config.sees_system;
        sites.push(bin.parent()?.to_owned());
    }
    if !is_alone {
        sites.push(base.to_owned());
        // Where `pip install --user` installs.
        sites.push(home.join(".local"));
    }
    let nothing_unknown = sites
        .iter()
        .flat_map(|site| folders_of_packages(site, &version))
        .all(|folder| runs_nothing_unknown(&folder))
        && [stdlib.join("lib-dynload"), stdlib]
            .iter()
            .all(|folder| customizes_nothing(folder));
    nothing_unknown.then_some(libpython)
}

/// Debian builds the program and the library from the same source, and installs both in one version, but does not link
/// them. All files of one version are as old. What somebody else has put there is another Python, or a script.
fn debian_libpython(program: &Path) -> Option<(u32, PathBuf)> {
    let name = program.strip_prefix("/usr/bin").ok()?.as_os_str();
    let minor = minor(name.as_bytes().strip_prefix(b"python3.")?)?;
    let folder = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let library = Path::new(&folder).join(format!("libpython3.{minor}.so.1.0"));
    let library = library.canonicalize().ok()?;
    let written = |file: &Path| fs::metadata(file).ok()?.modified().ok();
    let is_debians =
        library.is_file() && written(program)? == written(&library)? && is_program(program);
    is_debians.then_some((minor, library))
}

/// Whether a file is no script.
fn is_program(file: &Path) -> bool {
    let mut magic = [0; 4];
    fs::metadata(file).is_ok_and(|file| file.is_file())
        && File::open(file).is_ok_and(|mut file| file.read_exact(&mut magic).is_ok())
        && magic == *b"\x7fELF"
}

/// Those of all kinds of Python, of which there are a few below one prefix.
fn folders_of_packages<'a>(
    prefix: &'a Path,
    version: &'a str,
) -> impl Iterator<Item = PathBuf> + 'a {
    ["lib", "lib64", "local/lib"]
        .into_iter()
        .flat_map(move |lib| [version, "python3"].map(|python| prefix.join(lib).join(python)))
        .flat_map(|python| ["site-packages", "dist-packages"].map(|name| python.join(name)))
}

fn read(program: &Path) -> Option<Elf> {
    Elf::parse(&files::read(program, LARGEST).ok()?)
}

/// The one of the names of libraries that is libpython's, and the file that the dynamic linker takes for it.
fn linked_libpython(elf: &Elf, folder: &Path) -> Option<(u32, PathBuf)> {
    let (minor, name) = elf
        .needed
        .iter()
        .find_map(|name| Some((minor_of(name)?, name)))?;
    for place in elf.search_path.as_ref()?.split(|byte| *byte == b':') {
        let place = match place.strip_prefix(b"$ORIGIN".as_slice()) {
            Some(rest) => Path::new(OsStr::from_bytes(
                &[folder.as_os_str().as_bytes(), rest].concat(),
            ))
            .to_owned(),
            None => PathBuf::from(OsStr::from_bytes(place)),
        };
        let has_others = || {
            KINDS_OF_PROCESSORS
                .iter()
                .any(|kind| place.join(kind).exists())
        };
        if !place.is_absolute() || place.as_os_str().as_bytes().contains(&b'$') || has_others() {
            return None;
        }
        let file = place.join(OsStr::from_bytes(name));
        if file.exists() {
            return Some((minor, file.canonicalize().ok()?));
        }
    }
    None
}

/// 11 of `libpython3.11.so.1.0`. Builds for debugging and free-threaded ones have a letter there.
fn minor_of(name: &[u8]) -> Option<u32> {
    let digits = name.strip_prefix(b"libpython3.".as_slice())?;
    minor(digits.strip_suffix(b".so.1.0".as_slice())?)
}

fn minor(digits: &[u8]) -> Option<u32> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let minor = std::str::from_utf8(digits).ok()?.parse().ok()?;
    MINORS.contains(&minor).then_some(minor)
}

/// `python3._pth` and the like.
fn has_file_of_paths(folder: &Path) -> bool {
    files::names(folder).is_none_or(|names| names.iter().any(|name| name.ends_with(b"._pth")))
}

fn is_whole(library: &Path) -> bool {
    ["os.py", "site.py", "encodings/__init__.py"]
        .iter()
        .all(|file| library.join(file).is_file())
        && library.join("lib-dynload").is_dir()
}

struct Environment {
    /// The folder of the program that it was made with.
    home: PathBuf,
    sees_system: bool,
}

/// `Some(None)` if the folder is no virtual environment, `None` if nobody can tell.
fn read_environment(folder: &Path) -> Option<Option<Environment>> {
    let text = match files::read(&folder.join("pyvenv.cfg"), LARGEST) {
        Ok(text) => String::from_utf8(text).ok()?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(None),
        Err(_) => return None,
    };
    // Python ends a line there too.
    if text.replace("\r\n", "\n").contains('\r') {
        return None;
    }
    // Without a word about it, it does.
    let (mut home, mut sees_system) = (None, None);
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        match key.trim().to_ascii_lowercase().as_str() {
            // Which of several counts is not the same in each version.
            "home" if home.is_some() => return None,
            "home" => home = Some(PathBuf::from(value.trim())),
            "include-system-site-packages" => {
                let sees = !value.trim().eq_ignore_ascii_case("false");
                sees_system = Some(sees || sees_system == Some(true));
            }
            _ => {}
        }
    }
    let home = home.filter(|home| home.is_absolute())?;
    Some(Some(Environment {
        home,
        sees_system: sees_system.unwrap_or(true),
    }))
}

/// Whether nothing unknown in a folder of packages runs when Python starts. That is so if there is no such folder.
fn runs_nothing_unknown(site: &Path) -> bool {
    if !site.exists() {
        return true;
    }
    let Some(names) = files::names(site) else {
        return false;
    };
    names.iter().all(|name| !customizes(site, name))
        && names
            .iter()
            .filter(|name| name.ends_with(b".pth"))
            .all(|name| ends_well(site, &site.join(OsStr::from_bytes(name))))
}

/// Whether the lines of a `.pth` file are known code, or names of folders in which is nothing that would run.
fn ends_well(site: &Path, file: &Path) -> bool {
    let Ok(text) = files::read(file, LARGEST) else {
        return false;
    };
    // Which other characters end a line is not the same in each version.
    if !text
        .iter()
        .all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~'))
    {
        return false;
    }
    text.split(|byte| matches!(byte, b'\n' | b'\r'))
        .all(|line| {
            let line = line.trim_ascii_end();
            if line.is_empty() || line.starts_with(b"#") {
                return true;
            }
            // The blanks are a part of the name.
            if line[0].is_ascii_whitespace() {
                return false;
            }
            let is_code = line.strip_prefix(b"import".as_slice()).is_some_and(|rest| {
                rest.first()
                    .is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'/')
            });
            match is_code {
                true => known::ends_well(site, line),
                false => customizes_nothing(&site.join(OsStr::from_bytes(line))),
            }
        })
}

fn customizes_nothing(folder: &Path) -> bool {
    if !folder.exists() {
        return true;
    }
    let customizes = |names: Vec<Vec<u8>>| names.iter().any(|name| customizes(folder, name));
    folder.is_dir() && files::names(folder).is_some_and(|names| !customizes(names))
}

/// Whether a file of a folder is a module that `site` imports, and not one that is known.
fn customizes(folder: &Path, name: &[u8]) -> bool {
    CUSTOMIZING.iter().any(|module| name.starts_with(module))
        && !known::customizes_well(&folder.join(OsStr::from_bytes(name)))
}
