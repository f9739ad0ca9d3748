//! The elements of an operation's tuple.

use rustler::Term;
use rustler::sys::enif_get_tuple;

/// How many elements an operation has at most, its tag among them.
const MOST_OPERANDS: usize = 5;

pub struct Operands<'r> {
    terms: [Term<'r>; MOST_OPERANDS],
    count: usize,
}

impl<'r> Operands<'r> {
    /// None if it is no tuple, or one with more elements than any operation has.
    pub fn of(tuple: Term<'r>) -> Option<Self> {
        let env = tuple.get_env();
        let (mut count, mut first) = (0, std::ptr::null());
        // SAFETY: a valid term of a valid environment; the elements are the environment's.
        let elements = unsafe {
            if enif_get_tuple(env.as_c_arg(), tuple.as_c_arg(), &mut count, &mut first) == 0
                || count == 0
            {
                return None;
            }
            std::slice::from_raw_parts(first, usize::try_from(count).ok()?)
        };
        let mut terms = [tuple; MOST_OPERANDS];
        let places = terms.get_mut(..elements.len())?;
        for (place, &element) in places.iter_mut().zip(elements) {
            // SAFETY: an element of a tuple belongs to the environment of the tuple.
            *place = unsafe { Term::new(env, element) };
        }
        Some(Operands {
            terms,
            count: elements.len(),
        })
    }
}

impl<'r> std::ops::Deref for Operands<'r> {
    type Target = [Term<'r>];

    fn deref(&self) -> &[Term<'r>] {
        &self.terms[..self.count]
    }
}
