//! What is read of files before anybody knows what they are.

use std::fs::{self, File};
use std::io::{Error, ErrorKind, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// All that is in a file, unless that is more than so many bytes. Anything else than a file is not opened: a pipe would be
/// waited for.
pub fn read(file: &Path, most: usize) -> Result<Vec<u8>, Error> {
    let found = fs::metadata(file)?;
    if !found.is_file() || found.len() > most as u64 {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    File::open(file)?
        .take(most as u64)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The names of what is in a folder. None if it cannot be read.
pub fn names(folder: &Path) -> Option<Vec<Vec<u8>>> {
    fs::read_dir(folder)
        .ok()?
        .map(|entry| Some(entry.ok()?.file_name().into_vec()))
        .collect()
}
