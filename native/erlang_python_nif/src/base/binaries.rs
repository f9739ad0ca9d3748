//! Small binaries, many of them.
//!
//! An environment that belongs to no process has a heap of pieces. When one is full, most terms get a new piece with room for
//! many (400 words, in all versions so far), but a small binary gets one that has room for itself alone: a hundred
//! thousand of these take longer to allocate than to fill. So every few binaries a float is made that nobody uses. It gets
//! a large piece when the last one is full, and the binaries after it are put there, too.

use rustler::Env;
use rustler::sys::{ErlNifTerm, enif_make_double, enif_make_new_binary};
use std::cell::Cell;
use std::mem::MaybeUninit;

/// Up to so many bytes a binary is on the heap, in all versions so far.
const ON_HEAP: usize = 64;

/// After so many small ones it is seen to that there is room. A float takes two words.
const OFTEN: u8 = 8;

/// What makes the binaries of one environment.
#[derive(Default)]
pub struct Binaries {
    small: Cell<u8>,
}

impl Binaries {
    /// A binary of these bytes.
    #[inline]
    pub fn make(&self, env: Env<'_>, bytes: &[u8]) -> ErlNifTerm {
        let mut term = MaybeUninit::uninit();
        // SAFETY: a valid environment; the term is written, and the memory is as large as was asked for and nobody else's.
        unsafe {
            if bytes.len() <= ON_HEAP {
                let small = self.small.get() + 1;
                self.small.set(small % OFTEN);
                if small == OFTEN {
                    enif_make_double(env.as_c_arg(), 0.0);
                }
            }
            let target = enif_make_new_binary(env.as_c_arg(), bytes.len(), term.as_mut_ptr());
            target.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            term.assume_init()
        }
    }
}
