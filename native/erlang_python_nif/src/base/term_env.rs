//! Environments for terms that live outside of a NIF call, and the sending of them.
//!
//! rustler's `OwnedEnv` refuses to send from a scheduler thread, where most of our answers are
//! made, so this file calls `enif_send` itself.

use crate::base::{clock, fork, lock};
use rustler::sys::{
    ErlNifEnv, ErlNifPid, ErlNifTerm, enif_alloc_env, enif_clear_env,
    enif_is_current_process_alive, enif_make_copy, enif_make_list_from_array, enif_send,
    enif_thread_type,
};
use rustler::{Env, LocalPid, Term};
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// An environment of our own. It frees its terms when it is dropped.
pub struct TermEnv(NonNull<ErlNifEnv>);

// SAFETY: a process-independent environment may be used by any thread, by one at a time;
// `TermEnv` is neither `Sync` nor `Clone`.
unsafe impl Send for TermEnv {}

impl TermEnv {
    pub fn new() -> Self {
        if let Some(spare) = spare::take() {
            return TermEnv(spare);
        }
        // SAFETY: no preconditions; enif_alloc_env never returns null (it aborts when out of
        // memory, as every allocation of the VM does).
        TermEnv(unsafe { NonNull::new_unchecked(enif_alloc_env()) })
    }

    /// The environment to build terms in. They live until `clear`, `send` or the drop.
    pub fn env(&self) -> Env<'_> {
        // SAFETY: the pointer is valid as long as `self`, and so is the lifetime handed out.
        unsafe { Env::new(self, self.0.as_ptr()) }
    }

    /// Copies a term in, to be had again by `term`.
    pub fn copy(&self, term: Term<'_>) -> SavedTerm {
        // SAFETY: both pointers are valid for the call.
        SavedTerm(unsafe { enif_make_copy(self.0.as_ptr(), term.as_c_arg()) })
    }

    /// A term saved by `copy` in this environment.
    pub fn term(&self, saved: SavedTerm) -> Term<'_> {
        // SAFETY: `SavedTerm`s are made by `copy` only, and their keepers (`Request`) never mix
        // environments or clear one that still has saved terms.
        unsafe { Term::new(self.env(), saved.0) }
    }

    pub fn clear(&mut self) {
        lock::forbid("terms are freed");
        // SAFETY: `&mut self` proves that no term borrowed from this environment is left.
        unsafe { enif_clear_env(self.0.as_ptr()) }
    }

    /// Sends what `message` builds in this environment, without copying it, and clears the
    /// environment. Says whether the receiver was alive, as far as is known.
    pub fn send(
        &mut self,
        sender: Sender,
        to: &LocalPid,
        message: impl for<'a> FnOnce(Env<'a>) -> Term<'a>,
    ) -> bool {
        let message = message(self.env()).as_c_arg();
        // SAFETY: `sender` is the environment of the running NIF or null on our own threads, as
        // enif_send wants it; `message` was built in `self`, which is not used again before it
        // has been cleared.
        let sent = unsafe { enif_send(sender.env, to.as_c_arg(), self.0.as_ptr(), message) } == 1;
        if !sent && sender.is_exiting() {
            forward(*to, std::mem::take(self), SavedTerm(message));
            return true;
        }
        self.clear();
        sent
    }
}

impl Default for TermEnv {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TermEnv {
    fn drop(&mut self) {
        // There a thread that is gone may have the lock of the VM's allocator.
        if fork::is_child() {
            return;
        }
        lock::forbid("terms are freed");
        // SAFETY: nobody else has it, and no term borrowed from it is left.
        unsafe { enif_clear_env(self.0.as_ptr()) };
        spare::keep(self.0);
    }
}

/// Environments that a thread has done with, for the next ones: to make one takes longer than most that is done with it.
mod spare {
    use crate::base::side;
    use rustler::sys::{ErlNifEnv, enif_free_env};
    use std::cell::RefCell;
    use std::ptr::NonNull;

    /// How many a thread keeps. A call has two or three at a time.
    const MOST: usize = 8;

    struct Spares(Vec<NonNull<ErlNifEnv>>);

    impl Drop for Spares {
        fn drop(&mut self) {
            self.0.drain(..).for_each(free);
        }
    }

    thread_local! {
        static SPARES: RefCell<Spares> = const { RefCell::new(Spares(Vec::new())) };
    }

    pub fn take() -> Option<NonNull<ErlNifEnv>> {
        // A thread that ends has none any more.
        SPARES.try_with(|spares| spares.borrow_mut().0.pop()).ok()?
    }

    /// `env`: an empty one, which nobody uses.
    pub fn keep(env: NonNull<ErlNifEnv>) {
        let kept = SPARES.try_with(|spares| {
            let spares = &mut spares.borrow_mut().0;
            // A Python process has spare ones of its own.
            let has_room = spares.len() < MOST && !side::is_worker() && !cfg!(sanitizer);
            if has_room {
                spares.push(env);
            }
            has_room
        });
        if !kept.unwrap_or(false) {
            free(env);
        }
    }

    fn free(env: NonNull<ErlNifEnv>) {
        // SAFETY: allocated in `TermEnv::new`, freed once: nobody else has it.
        unsafe { enif_free_env(env.as_ptr()) }
    }
}

/// A term with an environment of its own, if it needs one: an atom or a local pid does not.
#[derive(Clone)]
pub struct OwnedTerm {
    env: Option<Arc<Unchanging>>,
    term: SavedTerm,
}

/// An environment that is only read.
struct Unchanging(TermEnv);

// SAFETY: reading a term of an environment changes nothing.
unsafe impl Sync for Unchanging {}

impl OwnedTerm {
    pub fn new(term: Term<'_>) -> Self {
        if term.is_atom() || term.decode::<LocalPid>().is_ok() {
            return OwnedTerm {
                env: None,
                term: SavedTerm::save(term),
            };
        }
        let env = TermEnv::new();
        let term = env.copy(term);
        OwnedTerm {
            env: Some(Arc::new(Unchanging(env))),
            term,
        }
    }

    /// Whether it is one that needs no environment.
    pub fn is_word(&self) -> bool {
        self.env.is_none()
    }

    pub fn in_env<'a>(&self, env: Env<'a>) -> Term<'a> {
        match &self.env {
            Some(own) => own.0.term(self.term).in_env(env),
            None => self.term.load(env),
        }
    }
}

/// A term kept in a `TermEnv`, or one that needs none: such are the same if their words are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct SavedTerm(ErlNifTerm);

impl SavedTerm {
    /// Something to tell many of them by.
    pub fn mix(self) -> usize {
        // SAFETY: a transparent structure around a word.
        let word: usize = unsafe { std::mem::transmute(self.0) };
        word.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as usize) >> (usize::BITS / 2)
    }

    /// The same, of a term that is nothing but a word so far.
    pub fn from_c_arg(term: ErlNifTerm) -> Self {
        SavedTerm(term)
    }

    /// A term that stays where it is.
    pub fn save(term: Term<'_>) -> Self {
        SavedTerm(term.as_c_arg())
    }

    /// Terms as a list, with the same demand as `load`.
    pub fn list<'a>(terms: &[SavedTerm], env: Env<'a>) -> Term<'a> {
        // SAFETY: a transparent structure around a term; a list has fewer items than fit in 32 bits, as a chunk and a
        // value have; the rest as for `load`.
        unsafe {
            let items = terms.as_ptr().cast::<ErlNifTerm>();
            let list = enif_make_list_from_array(env.as_c_arg(), items, terms.len() as u32);
            Term::new(env, list)
        }
    }

    /// `env` must be the environment that the term was saved from, not cleared since, or the term one
    /// that needs none.
    pub fn load(self, env: Env<'_>) -> Term<'_> {
        // SAFETY: as demanded of the callers, who save, load and send within one function, or keep
        // the term beside its environment (`OwnedTerm`).
        unsafe { Term::new(env, self.0) }
    }
}

/// On whose behalf a message is sent: the environment of the running NIF or callback on a
/// scheduler, nobody's on a thread of our own. The VM wants to be told.
#[derive(Clone, Copy)]
pub struct Sender {
    env: *mut ErlNifEnv,
    /// It is a process in a dirty NIF, which can be killed meanwhile.
    dirty: bool,
}

impl Sender {
    pub fn scheduler(env: Env<'_>) -> Self {
        Sender {
            env: env.as_c_arg(),
            dirty: false,
        }
    }

    /// For a dirty NIF, on its own thread only.
    pub fn dirty(env: Env<'_>) -> Self {
        Sender {
            env: env.as_c_arg(),
            dirty: true,
        }
    }

    /// For threads that are not the VM's. `None` on one of the VM's schedulers.
    pub fn own_thread() -> Option<Self> {
        // SAFETY: no preconditions.
        (unsafe { enif_thread_type() } == 0).then_some(Sender {
            env: ptr::null_mut(),
            dirty: false,
        })
    }

    pub fn as_c_arg(self) -> *mut ErlNifEnv {
        self.env
    }

    /// Whether it was killed while it was in the NIF: the VM sends nothing for it any more, though
    /// the receiver may well live.
    pub fn is_exiting(self) -> bool {
        // SAFETY: the environment of a dirty NIF, which runs on this thread (`dirty`).
        self.dirty && unsafe { enif_is_current_process_alive(self.env) } == 0
    }

    /// Sends an atom.
    pub fn send_immediate(self, to: &LocalPid, message: rustler::Atom) -> bool {
        self.send_word(to, SavedTerm(message.as_c_arg()))
    }

    /// Sends a term that needs no environment: an atom, a small integer.
    pub fn send_word(self, to: &LocalPid, SavedTerm(message): SavedTerm) -> bool {
        let to_arg: &ErlNifPid = to.as_c_arg();
        // SAFETY: as in `TermEnv::send`; the term is an immediate and belongs to no environment.
        let sent = unsafe { enif_send(self.env, to_arg, ptr::null_mut(), message) } == 1;
        if !sent && self.is_exiting() {
            forward(*to, TermEnv::new(), SavedTerm(message));
            return true;
        }
        sent
    }
}

/// Sends a term for a process that is exiting and cannot.
fn forward(to: LocalPid, mut env: TermEnv, term: SavedTerm) {
    clock::soon(move |sender, _| {
        env.send(sender, &to, |env| term.load(env));
    });
}
