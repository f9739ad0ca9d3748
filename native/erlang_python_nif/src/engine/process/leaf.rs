//! Terms without parts that only the VM can make.

use crate::base::name;
use crate::base::term_env::TermEnv;
use erlang_python_wire::{Broken, node, tag};
use rustler::sys::ErlNifTerm;
use rustler::{Env, Term};
use std::cell::RefCell;
use std::sync::OnceLock;

/// How many atoms a thread knows: the VM takes a while for each, and most are the same few.
const PLACES: usize = 64;

/// Longer ones are not known.
const LONGEST: usize = 15;

/// An atom is the same word as long as the VM lives.
#[derive(Clone, Copy)]
struct Known {
    atom: ErlNifTerm,
    length: u8,
    name: [u8; LONGEST],
}

/// An atom that there is: the table of atoms has an end.
#[inline]
pub fn atom(env: Env<'_>, name: &[u8]) -> Result<ErlNifTerm, Broken> {
    thread_local! {
        static KNOWN: RefCell<[Option<Known>; PLACES]> = const { RefCell::new([None; PLACES]) };
    }
    let (Some(&first), true) = (name.first(), name.len() <= LONGEST) else {
        return existing(env, name);
    };
    let place = (usize::from(first) + 7 * name.len()) % PLACES;
    KNOWN.with_borrow_mut(|places| {
        if let Some(known) = &places[place]
            && known.name[..known.length.into()] == *name
        {
            return Ok(known.atom);
        }
        let mut known = Known {
            atom: existing(env, name)?,
            length: name.len() as u8,
            name: [0; LONGEST],
        };
        known.name[..name.len()].copy_from_slice(name);
        places[place] = Some(known);
        Ok(known.atom)
    })
}

fn existing(env: Env<'_>, name: &[u8]) -> Result<ErlNifTerm, Broken> {
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

/// The same of a pid, reference or port. Its node is in UTF-8, whatever the VM writes: by these bytes it is told from
/// others.
pub fn identity(term: Term<'_>) -> Vec<u8> {
    let external = external(term);
    node::in_utf8(&external).unwrap_or(external)
}

/// How many bytes the largest integers of this VM have. A worker must not send larger ones.
pub fn largest_integer() -> usize {
    static FOUND: OnceLock<usize> = OnceLock::new();
    // A number of words that is one less than a power of two, in every OTP so far.
    let sizes = (10..=24).rev().map(|power| ((1 << power) - 1) * 8);
    *FOUND.get_or_init(|| {
        let mut fit = sizes.filter(|&size| is_integer(size));
        fit.next().unwrap_or(1 << 13)
    })
}

/// Whether there are integers of so many bytes.
fn is_integer(size: usize) -> bool {
    let mut external = vec![tag::VERSION, tag::LARGE_BIG];
    external.extend((size as u32).to_be_bytes());
    external.push(0);
    external.resize(external.len() + size, 0xFF);
    from_external(TermEnv::new().env(), &external).is_ok()
}
