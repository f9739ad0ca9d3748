//! Copies of terms into other environments.

use crate::binary;
use crate::env::HostEnv;
use crate::kept;
use crate::map::{self, Unfinished};
use crate::resource;
use crate::sequence;
use crate::word::{self, Kind, Word};

/// What is still to be copied, and where it goes.
enum Rest {
    Words {
        from: *const Word,
        to: *mut Word,
        left: usize,
    },
    /// The cells of a list, the first of which is at `to`. The tail is put into `last`.
    Cells { from: Word, to: *mut Word },
}

/// `term`: of another environment, or the same.
pub unsafe fn copy(env: &mut HostEnv, term: Word) -> Word {
    let mut copied = word::NIL;
    let mut stack = Vec::new();
    place(env, term, &mut copied, &mut stack);
    while let Some(rest) = stack.last_mut() {
        match rest {
            Rest::Words { left: 0, .. } => {
                stack.pop();
            }
            Rest::Words { from, to, left } => {
                let (term, slot) = (**from, *to);
                *from = from.add(1);
                *to = to.add(1);
                *left -= 1;
                place(env, term, slot, &mut stack);
            }
            Rest::Cells { from, to } if word::is_cell(*from) => {
                let cell = word::pointer(*from);
                let (term, slot) = (*cell, *to);
                *from = *cell.add(1);
                *to = to.add(if word::is_cell(*from) { 2 } else { 1 });
                place(env, term, slot, &mut stack);
            }
            Rest::Cells { from, to } => {
                let (tail, slot) = (*from, *to);
                stack.pop();
                place(env, tail, slot, &mut stack);
            }
        }
    }
    copied
}

/// Copies a term without those in it, which go to the stack.
#[inline]
unsafe fn place(env: &mut HostEnv, term: Word, slot: *mut Word, stack: &mut Vec<Rest>) {
    *slot = if word::is_boxed(term) {
        boxed(env, word::pointer(term), stack)
    } else if word::is_cell(term) {
        let (count, _) = sequence::measure(term);
        let to = sequence::cells(env, count);
        stack.push(Rest::Cells { from: term, to });
        word::cell(to)
    } else {
        term
    };
}

unsafe fn boxed(env: &mut HostEnv, boxed: *const Word, stack: &mut Vec<Rest>) -> Word {
    let size = word::size(boxed);
    match word::kind(boxed) {
        Kind::Tuple => {
            let (to, tuple) = sequence::tuple(env, size);
            let from = boxed.add(1);
            stack.push(Rest::Words {
                from,
                to,
                left: size,
            });
            tuple
        }
        Kind::Map => {
            let from = map::pairs(boxed).as_ptr().cast();
            let Some(map) = Unfinished::new(env, size) else {
                return word::NIL;
            };
            stack.push(Rest::Words {
                from,
                to: map.slots(),
                left: 2 * size,
            });
            map.finish_different(env)
        }
        Kind::Float | Kind::Request => words(env, boxed, 1),
        Kind::Big => words(env, boxed, size),
        Kind::Binary | Kind::Pid | Kind::Port | Kind::Reference => {
            words(env, boxed, word::words_for(size))
        }
        Kind::Bits => words(env, boxed, 1 + word::words_for(size)),
        Kind::Shared => binary::share(env, boxed, 0, size),
        Kind::Resource => resource::term(env, *boxed.add(1) as *const _),
        Kind::Kept => kept::share(env, boxed),
    }
}

/// A header and so many words after it.
unsafe fn words(env: &mut HostEnv, boxed: *const Word, count: usize) -> Word {
    let to = env.arena.words(count + 1);
    to.copy_from_nonoverlapping(boxed, count + 1);
    word::boxed(to)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_copy(env: *mut HostEnv, term: Word) -> Word {
    if word::is_immediate(term) {
        return term;
    }
    copy(&mut *env, term)
}
