//! The names of atoms beyond what the NIF interface of every OTP can read and find.

use erlang_python_wire::tag::{ATOM_UTF8, SMALL_ATOM_UTF8, VERSION};
use rustler::{Env, Term};

/// The atom of this name. None if there is none.
pub fn existing_atom(env: Env<'_>, name: &str) -> Option<rustler::Atom> {
    if let Ok(atom) = rustler::Atom::existing_from_utf8_bytes(env, name.as_bytes()) {
        return Some(atom);
    }
    // Before OTP 26 the NIF interface finds no atoms beyond Latin-1: by way of the external term
    // format, then.
    let length = u16::try_from(name.len()).ok()?;
    let mut encoded = vec![VERSION, ATOM_UTF8];
    encoded.extend(length.to_be_bytes());
    encoded.extend(name.as_bytes());
    // It makes no new atoms: this is the safe form, for what cannot be trusted.
    let (term, _) = env.binary_to_term(&encoded)?;
    term.decode().ok()
}

/// An atom's text by way of the external term format.
pub fn wide_atom_text(atom: Term<'_>) -> Option<String> {
    let encoded = atom.to_binary();
    let text = match encoded.as_slice() {
        [VERSION, ATOM_UTF8, _, _, text @ ..] | [VERSION, SMALL_ATOM_UTF8, _, text @ ..] => text,
        _ => return None,
    };
    std::str::from_utf8(text).ok().map(str::to_owned)
}
