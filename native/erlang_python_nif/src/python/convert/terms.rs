//! Reading terms: their pairs, elements, bytes and names.

use super::{Failure, Step, Unconvertible, words};
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

/// The pairs of a map.
pub struct Pairs<'a> {
    env: rustler::Env<'a>,
    raw: sys::ErlNifMapIterator,
}

impl<'a> Pairs<'a> {
    /// `map` must be a map.
    pub fn new(map: Term<'a>) -> Self {
        let env = map.get_env();
        let mut raw = MaybeUninit::uninit();
        // SAFETY: a valid map of a valid environment; the iterator is written when that is so.
        let created = unsafe {
            sys::enif_map_iterator_create(
                env.as_c_arg(),
                map.as_c_arg(),
                raw.as_mut_ptr(),
                sys::ErlNifMapIteratorEntry::ERL_NIF_MAP_ITERATOR_HEAD,
            )
        };
        assert_ne!(created, 0, "not a map");
        Pairs {
            env,
            // SAFETY: just created.
            raw: unsafe { raw.assume_init() },
        }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Term<'a>, Term<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (mut key, mut value) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        let env = self.env.as_c_arg();
        // SAFETY: the iterator is valid; key and value are written when there is a pair.
        unsafe {
            if sys::enif_map_iterator_get_pair(
                env,
                &mut self.raw,
                key.as_mut_ptr(),
                value.as_mut_ptr(),
            ) == 0
            {
                return None;
            }
            sys::enif_map_iterator_next(env, &mut self.raw);
            Some((
                Term::new(self.env, key.assume_init()),
                Term::new(self.env, value.assume_init()),
            ))
        }
    }
}

impl Drop for Pairs<'_> {
    fn drop(&mut self) {
        // SAFETY: created in `new`, destroyed once.
        unsafe { sys::enif_map_iterator_destroy(self.env.as_c_arg(), &mut self.raw) }
    }
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

/// An atom's text by way of the external term format.
fn wide_atom_text(atom: Term<'_>) -> Option<String> {
    const VERSION: u8 = 131;
    const ATOM: u8 = 118;
    const SMALL_ATOM: u8 = 119;
    let encoded = atom.to_binary();
    let text = match encoded.as_slice() {
        [VERSION, ATOM, _, _, text @ ..] | [VERSION, SMALL_ATOM, _, text @ ..] => text,
        _ => return None,
    };
    std::str::from_utf8(text).ok().map(str::to_owned)
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
