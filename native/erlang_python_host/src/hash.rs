//! Hashes: the same for terms that are identical.

use crate::binary;
use crate::map;
use crate::word::{self, Kind, View, Word};
use std::ffi::c_int;

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const FACTOR: u64 = 0xD6E8_FEB8_6659_FD93;

#[inline]
fn mix(state: u64, value: u64) -> u64 {
    let product = u128::from(state ^ value ^ SEED) * u128::from(FACTOR);
    (product as u64) ^ (product >> 64) as u64
}

/// The hash of bytes.
#[inline]
pub fn bytes(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = mix(SEED, bytes.len() as u64);
    for word in words {
        hash = mix(hash, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(hash, u64::from_le_bytes(last))
}

/// What is still to be hashed.
enum Rest {
    Words(*const Word, usize),
    List(Word),
    /// Keys and values, by turns; how many; the hash before them; the sum of the hashes of pairs.
    Pairs(*const Word, usize, u64, u64),
}

pub unsafe fn term(term: Word) -> u64 {
    match simple(SEED, term) {
        Ok(hash) => hash,
        Err(()) => compound(term),
    }
}

/// The state after a term that has no others in it.
#[inline]
unsafe fn simple(state: u64, term: Word) -> Result<u64, ()> {
    match word::view(term) {
        View::Boxed(kind, boxed) => simple_boxed(state, kind, boxed),
        View::Cell => Err(()),
        _ => Ok(mix(state, term as u64)),
    }
}

unsafe fn simple_boxed(state: u64, kind: Kind, boxed: *const Word) -> Result<u64, ()> {
    Ok(match kind {
        Kind::Tuple | Kind::Map => return Err(()),
        Kind::Binary | Kind::Shared => mix(state, bytes(binary::bits_of(boxed).0)),
        Kind::Bits => {
            let (bits, used) = binary::bits_of(boxed);
            mix(mix(state, bytes(bits)), used.into())
        }
        Kind::Big => {
            let state = mix(state, *boxed as u64);
            let limbs = word::words(boxed).iter();
            limbs.fold(state, |state, &limb| mix(state, limb as u64))
        }
        Kind::Float | Kind::Resource | Kind::Request => {
            mix(mix(state, kind as u64), *boxed.add(1) as u64)
        }
        // A reference that the VM keeps, and one that it does not, may be the same.
        Kind::Pid | Kind::Port | Kind::Reference => mix(state, bytes(word::bytes(boxed))),
        Kind::Kept => mix(state, bytes(crate::kept::of(boxed).identity())),
    })
}

unsafe fn compound(mut term: Word) -> u64 {
    let mut stack = Vec::new();
    let mut state = SEED;
    loop {
        match simple(state, term) {
            Ok(next) => state = next,
            Err(()) if word::is_cell(term) => stack.push(Rest::List(term)),
            Err(()) => {
                let boxed = word::pointer(term);
                state = mix(state, *boxed as u64);
                if word::kind(boxed) == Kind::Tuple {
                    stack.push(Rest::Words(boxed.add(1), word::size(boxed)));
                } else {
                    let pairs = map::pairs(boxed);
                    stack.push(Rest::Pairs(
                        pairs.as_ptr().cast(),
                        2 * pairs.len(),
                        state,
                        0,
                    ));
                    state = SEED;
                }
            }
        }
        // The next term, of the innermost that is not at its end.
        term = loop {
            let Some(rest) = stack.last_mut() else {
                return state;
            };
            match rest {
                Rest::Words(_, 0) => {}
                Rest::Words(words, left) => {
                    let next = **words;
                    *words = words.add(1);
                    *left -= 1;
                    break next;
                }
                Rest::List(list) if word::is_cell(*list) => {
                    let cell = word::pointer(*list);
                    *list = *cell.add(1);
                    break *cell;
                }
                Rest::List(tail) => {
                    let tail = *tail;
                    stack.pop();
                    break tail;
                }
                Rest::Pairs(words, left, before, sum) => {
                    // A pair is over, or none has begun.
                    if *left % 2 == 0 {
                        *sum = sum.wrapping_add(mix(state, SEED));
                        state = SEED;
                    }
                    if *left == 0 {
                        state = mix(*before, *sum);
                        stack.pop();
                        continue;
                    }
                    let next = **words;
                    *words = words.add(1);
                    *left -= 1;
                    break next;
                }
            }
            stack.pop();
        };
    }
}

/// Both kinds of hash are those of this process, not those of the VM: `phash2` would be the same everywhere.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_hash(kind: c_int, term: Word, salt: u64) -> u64 {
    const PHASH2: c_int = 2;
    let hash = self::term(term);
    if kind == PHASH2 {
        hash & ((1 << 27) - 1)
    } else {
        mix(hash, salt)
    }
}
