//! Environments: the memory of terms, and what is given up with them.

use crate::arena::Arena;
use crate::binary::{self, Blob};
use crate::kept::{self, Kept};
use crate::resource;
use crate::word::{self, Kind, NONE, Word};
use rustler::sys::{ErlNifEnv, ErlNifTerm};
use rustler::{Env, Term};
use std::ffi::{c_int, c_void};

/// Something outside of the arena that terms of an environment refer to.
#[derive(Clone, Copy)]
pub enum Owned {
    Resource(*const c_void),
    Blob(*const Blob),
    Kept(*const Kept),
}

/// What an `ErlNifEnv` is here. Used by any thread, by one at a time.
pub struct HostEnv {
    pub arena: Arena,
    owned: Vec<Owned>,
    /// Why the function that runs in this environment fails, or `NONE`.
    exception: Word,
    /// The process that called it, or `NONE`.
    caller: Word,
}

impl HostEnv {
    pub fn new(caller: Word) -> Self {
        HostEnv {
            arena: Arena::new(),
            owned: Vec::new(),
            exception: NONE,
            caller,
        }
    }

    /// A boxed term with so many words after its header, which are to be written.
    #[inline]
    pub fn boxed(&mut self, kind: Kind, size: usize, words: usize) -> *mut Word {
        let boxed = self.arena.words(words + 1);
        // SAFETY: at least one word was given.
        unsafe { *boxed = word::header(kind, size) };
        boxed
    }

    /// A boxed term of bytes.
    pub fn boxed_bytes(&mut self, kind: Kind, bytes: &[u8]) -> Word {
        let boxed = self.boxed(kind, bytes.len(), word::words_for(bytes.len()));
        // SAFETY: so much room was given.
        unsafe {
            boxed
                .add(1)
                .cast::<u8>()
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        word::boxed(boxed)
    }

    /// A boxed term of one word.
    #[inline]
    pub fn boxed_word(&mut self, kind: Kind, content: Word) -> Word {
        let boxed = self.boxed(kind, 0, 1);
        // SAFETY: as above.
        unsafe { *boxed.add(1) = content };
        word::boxed(boxed)
    }

    /// To be given up when the environment is cleared.
    #[inline]
    pub fn own(&mut self, owned: Owned) {
        self.owned.push(owned);
    }

    pub fn raise(&mut self, reason: Word) -> Word {
        self.exception = reason;
        NONE
    }

    pub fn exception(&self) -> Option<Word> {
        (self.exception != NONE).then_some(self.exception)
    }

    pub fn caller(&self) -> Option<Word> {
        (self.caller != NONE).then_some(self.caller)
    }

    pub fn clear(&mut self) {
        self.exception = NONE;
        self.give_up();
        self.arena.clear();
    }

    fn give_up(&mut self) {
        if self.owned.is_empty() {
            return;
        }
        // What is given up may run code that uses environments, though not this one.
        let mut owned = std::mem::take(&mut self.owned);
        kept::batch(|| {
            for owned in owned.drain(..) {
                // SAFETY: it was counted when it was put here.
                unsafe {
                    match owned {
                        Owned::Resource(object) => resource::release(object),
                        Owned::Blob(blob) => binary::release(blob),
                        Owned::Kept(kept) => kept::release(kept),
                    }
                }
            }
        });
        self.owned = owned;
    }

    pub fn as_raw(&mut self) -> *mut ErlNifEnv {
        (&raw mut *self).cast()
    }
}

impl Drop for HostEnv {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// The environment that rustler's is.
pub fn of(env: Env<'_>) -> *mut HostEnv {
    env.as_c_arg().cast()
}

/// The word of a term.
pub fn word_of(term: Term<'_>) -> Word {
    // SAFETY: a transparent structure around a word.
    unsafe { std::mem::transmute::<ErlNifTerm, Word>(term.as_c_arg()) }
}

pub fn raw_term(word: Word) -> ErlNifTerm {
    // SAFETY: as above.
    unsafe { std::mem::transmute::<Word, ErlNifTerm>(word) }
}

/// `word`: a term of the environment.
pub unsafe fn term(env: Env<'_>, word: Word) -> Term<'_> {
    Term::new(env, raw_term(word))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_alloc_env() -> *mut HostEnv {
    spare::take().unwrap_or_else(|| Box::into_raw(Box::new(HostEnv::new(NONE))))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_free_env(env: *mut HostEnv) {
    (*env).clear();
    if !((*env).arena.is_small() && spare::keep(env)) {
        drop(Box::from_raw(env));
    }
}

/// Environments that a thread has done with, with their first memory, for the next ones.
mod spare {
    use super::HostEnv;
    use std::cell::RefCell;

    /// How many a thread keeps. A call has two or three at a time.
    const MOST: usize = 8;

    struct Spares(Vec<*mut HostEnv>);

    impl Drop for Spares {
        fn drop(&mut self) {
            for env in self.0.drain(..) {
                // SAFETY: nobody else has it.
                drop(unsafe { Box::from_raw(env) });
            }
        }
    }

    thread_local! {
        static SPARES: RefCell<Spares> = const { RefCell::new(Spares(Vec::new())) };
    }

    pub fn take() -> Option<*mut HostEnv> {
        // A thread that ends has none any more.
        SPARES.try_with(|spares| spares.borrow_mut().0.pop()).ok()?
    }

    /// `env`: an empty one, which nobody uses. False if there are enough.
    pub fn keep(env: *mut HostEnv) -> bool {
        let kept = SPARES.try_with(|spares| {
            let spares = &mut spares.borrow_mut().0;
            let has_room = spares.len() < MOST && !cfg!(sanitizer);
            if has_room {
                spares.push(env);
            }
            has_room
        });
        kept.unwrap_or(false)
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_clear_env(env: *mut HostEnv) {
    (*env).clear();
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_badarg(env: *mut HostEnv) -> Word {
    (*env).raise(crate::atom::intern("badarg").unwrap_or(word::NIL))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_raise_exception(env: *mut HostEnv, reason: Word) -> Word {
    (*env).raise(reason)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_is_exception(_env: *mut HostEnv, term: Word) -> c_int {
    c_int::from(term == NONE)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_has_pending_exception(env: *mut HostEnv, reason: *mut Word) -> c_int {
    let Some(exception) = (*env).exception() else {
        return 0;
    };
    if !reason.is_null() {
        *reason = exception;
    }
    1
}
