//! Terms without parts that only the VM can make.

use crate::base::name;
use erlang_python_wire::Broken;
use rustler::sys::ErlNifTerm;
use rustler::{Env, Term};

/// What the external term format begins with.
pub const VERSION: u8 = 131;

/// An atom that there is: the table of atoms has an end.
pub fn atom(env: Env<'_>, name: &[u8]) -> Result<ErlNifTerm, Broken> {
    let text = std::str::from_utf8(name).map_err(|_| Broken("the name of an atom is not UTF-8"))?;
    let atom = name::existing_atom(env, text).ok_or(Broken("there is no such atom"))?;
    Ok(atom.as_c_arg())
}

/// A term from its external form. It makes no atoms.
pub fn from_external(env: Env<'_>, bytes: &[u8]) -> Result<ErlNifTerm, Broken> {
    match env.binary_to_term(bytes) {
        Some((term, length)) if length == bytes.len() => Ok(term.as_c_arg()),
        _ => Err(Broken("the VM has no such term")),
    }
}

/// The external term format without its version.
pub fn external(term: Term<'_>) -> Vec<u8> {
    let external = term.to_binary();
    external.get(1..).unwrap_or_default().to_vec()
}
