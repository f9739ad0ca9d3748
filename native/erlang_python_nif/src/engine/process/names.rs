//! Atoms as bytes. Each thread knows those that it has written last.

use super::leaf::external;
use crate::base::term_env::SavedTerm;
use erlang_python_wire::tag;
use rustler::Term;
use rustler::sys::{self, ErlNifCharEncoding, ErlNifTerm};
use std::cell::RefCell;
use std::mem::MaybeUninit;

const PLACES: usize = 128;

/// Longer ones, with tag and length, are not known.
const LONGEST: usize = 30;

/// An atom is the same word as long as the VM lives, and that is no other term's.
#[derive(Clone, Copy)]
struct Known {
    atom: SavedTerm,
    length: u8,
    bytes: [u8; LONGEST],
}

pub struct Names([Option<Known>; PLACES]);

/// With those of this thread.
pub fn with<R>(work: impl FnOnce(&mut Names) -> R) -> R {
    thread_local! {
        static NAMES: RefCell<Names> = const { RefCell::new(Names([None; PLACES])) };
    }
    NAMES.with_borrow_mut(work)
}

impl Names {
    /// Adds an atom that is known. False if this is none.
    #[inline]
    pub fn write_known(&self, term: ErlNifTerm, bytes: &mut Vec<u8>) -> bool {
        let term = SavedTerm::from_c_arg(term);
        match &self.0[term.mix() % PLACES] {
            Some(known) if known.atom == term => {
                // All of it, for a number that is known when this is compiled; then what is too much is taken back.
                let end = bytes.len() + usize::from(known.length);
                bytes.extend_from_slice(&known.bytes);
                bytes.truncate(end);
                true
            }
            _ => false,
        }
    }

    /// Adds an atom.
    pub fn write(&mut self, atom: Term<'_>, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        append(atom, bytes);
        let written = &bytes[start..];
        if written.len() <= LONGEST {
            let mut known = Known {
                atom: SavedTerm::save(atom),
                length: written.len() as u8,
                bytes: [0; LONGEST],
            };
            known.bytes[..written.len()].copy_from_slice(written);
            self.0[known.atom.mix() % PLACES] = Some(known);
        }
    }
}

fn append(atom: Term<'_>, bytes: &mut Vec<u8>) {
    const MOST: usize = 256;
    let mut name = [MaybeUninit::<u8>::uninit(); MOST];
    // SAFETY: a valid term of a valid environment, and room for the longest name, with its end.
    let length = unsafe {
        sys::enif_get_atom(
            atom.get_env().as_c_arg(),
            atom.as_c_arg(),
            name.as_mut_ptr().cast(),
            MOST as u32,
            ErlNifCharEncoding::ERL_NIF_LATIN1,
        )
    };
    if length < 1 {
        // It has characters beyond Latin-1.
        return bytes.extend_from_slice(&external(atom));
    }
    // SAFETY: so much was written, with a zero behind it.
    let name =
        unsafe { std::slice::from_raw_parts(name.as_ptr().cast::<u8>(), length as usize - 1) };
    if name.is_ascii() {
        bytes.extend([tag::SMALL_ATOM_UTF8, name.len() as u8]);
        return bytes.extend_from_slice(name);
    }
    let name: String = name.iter().map(|&byte| char::from(byte)).collect();
    bytes.push(tag::ATOM_UTF8);
    bytes.extend((name.len() as u16).to_be_bytes());
    bytes.extend_from_slice(name.as_bytes());
}
