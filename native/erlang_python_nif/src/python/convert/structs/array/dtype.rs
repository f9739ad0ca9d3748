//! The types of items that arrays of Elixir's have: `{:f, 64}` and its kind.

use crate::base::atoms;
use rustler::types::atom::Atom;
use rustler::{Encoder, Env, Term};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dtype {
    kind: Kind,
    /// Of one item.
    bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Float,
    Brain,
    Signed,
    Unsigned,
    Complex,
    Bool,
}

/// By numpy's letter for the kind; bfloat16 has none that all agree on.
const KNOWN: [(Kind, char, &[usize]); 6] = [
    (Kind::Float, 'f', &[2, 4, 8]),
    (Kind::Brain, 'B', &[2]),
    (Kind::Signed, 'i', &[1, 2, 4, 8]),
    (Kind::Unsigned, 'u', &[1, 2, 4, 8]),
    (Kind::Complex, 'c', &[8, 16]),
    (Kind::Bool, 'b', &[1]),
];

impl Dtype {
    /// By the letter, and the bytes of an item.
    pub fn of_letter(letter: char, bytes: usize) -> Option<Self> {
        Self::find(|_, known| known == letter, bytes)
    }

    /// Of a term such as `{:f, 64}`.
    pub fn of_term(term: Term<'_>) -> Option<Self> {
        let (name, bits): (Atom, usize) = term.decode().ok()?;
        (bits % 8 == 0).then_some(())?;
        Self::find(|kind, _| kind.name() == name, bits / 8)
    }

    fn find(is_it: impl Fn(Kind, char) -> bool, bytes: usize) -> Option<Self> {
        let (kind, ..) = KNOWN
            .into_iter()
            .find(|(kind, letter, sizes)| is_it(*kind, *letter) && sizes.contains(&bytes))?;
        Some(Dtype { kind, bytes })
    }

    pub fn letter(self) -> char {
        let known = KNOWN.into_iter().find(|(kind, ..)| *kind == self.kind);
        known.map_or('?', |(_, letter, _)| letter)
    }

    pub fn bytes(self) -> usize {
        self.bytes
    }

    /// How many bytes are turned round where the order of bytes is another.
    pub fn unit(self) -> usize {
        match self.kind {
            Kind::Complex => self.bytes / 2,
            _ => self.bytes,
        }
    }

    pub fn to_term(self, env: Env<'_>) -> Term<'_> {
        (self.kind.name(), self.bytes * 8).encode(env)
    }
}

impl Kind {
    fn name(self) -> Atom {
        match self {
            Kind::Float => atoms::f(),
            Kind::Brain => atoms::bf(),
            Kind::Signed => atoms::s(),
            Kind::Unsigned => atoms::u(),
            Kind::Complex => atoms::c(),
            Kind::Bool => atoms::bool(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_elixir_has_is_known() {
        for (letter, bytes) in [('f', 2), ('f', 8), ('B', 2), ('i', 1), ('u', 8), ('b', 1)] {
            let dtype = Dtype::of_letter(letter, bytes).unwrap();
            assert_eq!((dtype.letter(), dtype.bytes()), (letter, bytes));
            assert_eq!(dtype.unit(), bytes);
        }
        assert_eq!(Dtype::of_letter('c', 16).unwrap().unit(), 8);
        for (letter, bytes) in [
            ('f', 16),
            ('f', 1),
            ('i', 16),
            ('c', 32),
            ('M', 8),
            ('b', 2),
        ] {
            assert_eq!(Dtype::of_letter(letter, bytes), None);
        }
    }
}
