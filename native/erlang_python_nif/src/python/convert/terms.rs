//! Reading terms: their pairs, elements, bytes and names.

use super::{Failure, Step, Unconvertible, words};
use crate::base::name::wide_atom_text;
pub use crate::base::pairs::Pairs;
use rustler::{Term, TermType, sys};
use std::mem::MaybeUninit;

type Result<T> = std::result::Result<T, Failure>;

/// An integer of 64 bits. None for others, and for other terms.
pub fn small_integer(term: Term<'_>) -> Option<i64> {
    let mut value = 0;
    // SAFETY: a valid term of a valid environment; the value is written on success.
    let fits =
        unsafe { sys::enif_get_int64(term.get_env().as_c_arg(), term.as_c_arg(), &mut value) != 0 };
    fits.then_some(value)
}

/// The elements of a proper list.
pub struct Cells<'a> {
    env: rustler::Env<'a>,
    pub length: u32,
    rest: sys::ErlNifTerm,
}

impl<'a> Cells<'a> {
    pub fn of(list: Term<'a>) -> Result<Self> {
        let env = list.get_env();
        let rest = list.as_c_arg();
        let mut length = 0;
        // SAFETY: a valid term of a valid environment; the length is written on success.
        if unsafe { sys::enif_get_list_length(env.as_c_arg(), rest, &mut length) } == 0 {
            return Err(Unconvertible::new("an improper list has no counterpart in Python").into());
        }
        Ok(Cells { env, length, rest })
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Term<'a>;

    #[inline]
    fn next(&mut self) -> Option<Term<'a>> {
        if words::has_cells() {
            // SAFETY: a valid term; its parts are of the same environment.
            return unsafe {
                let (head, tail) = words::cell(self.rest)?;
                self.rest = tail;
                Some(Term::new(self.env, head))
            };
        }
        let (mut head, mut tail) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        let env = self.env.as_c_arg();
        // SAFETY: `rest` is a list of the environment; head and tail are written when it is a cell,
        // and read only then.
        unsafe {
            if sys::enif_get_list_cell(env, self.rest, head.as_mut_ptr(), tail.as_mut_ptr()) == 0 {
                return None;
            }
            self.rest = tail.assume_init();
            Some(Term::new(self.env, head.assume_init()))
        }
    }
}

/// The elements of a tuple.
pub fn items<'a>(tuple: Term<'a>) -> Result<&'a [sys::ErlNifTerm]> {
    let (mut length, mut items) = (0, std::ptr::null());
    // SAFETY: a valid term of a valid environment; both are written on success, and live as long as the environment of
    // the term, which is 'a.
    unsafe {
        let env = tuple.get_env().as_c_arg();
        if sys::enif_get_tuple(env, tuple.as_c_arg(), &mut length, &mut items) == 0 {
            return Err(Unconvertible::new("this tuple cannot be read").into());
        }
        if length == 0 {
            return Ok(&[]);
        }
        Ok(std::slice::from_raw_parts(items, length as usize))
    }
}

/// The bytes of a binary. A bitstring has none.
pub fn bytes<'a>(term: Term<'a>) -> Result<&'a [u8]> {
    let mut binary = MaybeUninit::uninit();
    // SAFETY: a valid term of a valid environment; the structure is written on success. Its data
    // lives as long as the environment of the term, which is 'a.
    unsafe {
        if sys::enif_inspect_binary(
            term.get_env().as_c_arg(),
            term.as_c_arg(),
            binary.as_mut_ptr(),
        ) == 0
        {
            return Err(no_counterpart(TermType::Binary));
        }
        let binary = binary.assume_init();
        if binary.size == 0 {
            return Ok(&[]);
        }
        Ok(std::slice::from_raw_parts(binary.data, binary.size))
    }
}

pub fn no_counterpart(kind: TermType) -> Failure {
    let kind = match kind {
        TermType::Binary => "a bitstring whose size is not a multiple of 8 bits",
        _ => "this term",
    };
    Unconvertible::new(format!("{kind} has no counterpart in Python")).into()
}

/// The text of a name: an atom, or a binary.
pub fn name_text(term: Term<'_>) -> Option<String> {
    if term.is_atom() {
        // The NIF interface reads no atoms beyond Latin-1 before OTP 26.
        term.atom_to_string().ok().or_else(|| wide_atom_text(term))
    } else {
        text(term).map(str::to_owned)
    }
}

/// The text of a binary.
pub fn text<'a>(term: Term<'a>) -> Option<&'a str> {
    std::str::from_utf8(bytes(term).ok()?).ok()
}

/// A key as it is written in Elixir, for paths.
pub fn key_step(key: Term<'_>) -> Step {
    Step::Key(match key.get_type() {
        TermType::Binary => match name_text(key) {
            Some(text) => return Step::text(&text),
            None => "<<…>>".into(),
        },
        TermType::Atom => name_text(key).map_or_else(|| "…".into(), |text| format!(":{text}")),
        // A big one takes the VM seconds to print.
        TermType::Integer => key
            .decode::<i64>()
            .map_or_else(|_| "…".into(), |key| key.to_string()),
        TermType::Float => key
            .decode::<f64>()
            .map_or_else(|_| "…".into(), |key| format!("{key:?}")),
        TermType::Tuple => "{…}".into(),
        _ => "…".into(),
    })
}
