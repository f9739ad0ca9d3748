//! Pids as bytes, and back. The VM takes a while for each, and most are the same few.

use erlang_python_wire::{Broken, Reader, tag};
use rustler::{Env, Term};

/// Version and tag, in the external term format.
const VERSION: u8 = 131;
/// As older VMs write atoms.
const LATIN1_ATOM: u8 = 100;

/// Adds a pid.
pub fn write(bytes: &mut Vec<u8>, pid: Term<'_>) {
    let external = pid.to_binary();
    append(bytes, external.as_slice());
}

fn append(bytes: &mut Vec<u8>, external: &[u8]) {
    let [VERSION, tag::NEW_PID, node @ ..] = external else {
        return bytes.extend_from_slice(external.get(1..).unwrap_or_default());
    };
    bytes.push(tag::NEW_PID);
    match node {
        [LATIN1_ATOM, 0, length, rest @ ..] if rest[..usize::from(*length)].is_ascii() => {
            bytes.extend([tag::SMALL_ATOM_UTF8, *length]);
            bytes.extend_from_slice(rest);
        }
        _ => bytes.extend_from_slice(node),
    }
}

/// The rest of a pid, behind its tag.
pub fn read<'a>(env: Env<'a>, reader: &mut Reader<'_>) -> Result<Term<'a>, Broken> {
    let whole = reader.rest();
    node(reader)?;
    reader.bytes(4 + 4 + 4)?;
    let pid = &whole[..whole.len() - reader.len()];
    let mut external = vec![tag::NEW_PID];
    external.extend_from_slice(pid);
    from_external(env, &external)
}

/// Reads over the name of a node.
pub fn node(reader: &mut Reader<'_>) -> Result<(), Broken> {
    let length = match reader.u8()? {
        tag::SMALL_ATOM_UTF8 => reader.u8()?.into(),
        tag::ATOM_UTF8 | LATIN1_ATOM => reader.u16_be()?.into(),
        _ => return Err(Broken("the name of a node is not an atom")),
    };
    reader.bytes(length).map(drop)
}

/// A term that has no parts, from its external form without the version. It makes no atoms.
pub fn from_external<'a>(env: Env<'a>, bytes: &[u8]) -> Result<Term<'a>, Broken> {
    let mut external = Vec::with_capacity(1 + bytes.len());
    external.push(VERSION);
    external.extend_from_slice(bytes);
    match env.binary_to_term(&external) {
        Some((term, length)) if length == external.len() => Ok(term),
        _ => Err(Broken("the VM has no such term")),
    }
}
