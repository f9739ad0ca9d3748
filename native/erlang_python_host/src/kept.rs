//! Terms that only the VM has: functions, and others of which Python holds one and looks into none.

use crate::env::{HostEnv, Owned};
use crate::vm;
use crate::word::{self, Kind, Word};
use erlang_python_wire::tag::kept;
use std::cell::RefCell;
use std::ffi::c_int;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One that was sent to us. The VM is told when it is gone.
pub struct Kept {
    count: AtomicUsize,
    pub kind: u8,
    pub number: u64,
    identity: Box<[u8]>,
}

impl Kept {
    /// By which it can be told from others: its external form, as a rule.
    pub fn identity(&self) -> &[u8] {
        &self.identity
    }
}

pub unsafe fn of<'a>(boxed: *const Word) -> &'a Kept {
    &*(*boxed.add(1) as *const Kept)
}

/// A number that the VM has sent: once, whatever it stands for.
pub fn receive(env: &mut HostEnv, kind: u8, number: u64, identity: &[u8]) -> Word {
    let kept = Box::into_raw(Box::new(Kept {
        count: AtomicUsize::new(1),
        kind,
        number,
        identity: identity.into(),
    }));
    env.own(Owned::Kept(kept));
    env.boxed_word(Kind::Kept, kept as Word)
}

/// The same for another environment.
pub unsafe fn share(env: &mut HostEnv, boxed: *const Word) -> Word {
    let kept = of(boxed);
    kept.count.fetch_add(1, Ordering::Relaxed);
    env.own(Owned::Kept(kept));
    env.boxed_word(Kind::Kept, *boxed.add(1))
}

thread_local! {
    static RELEASED: RefCell<Option<Vec<u64>>> = const { RefCell::new(None) };
}

/// Tells the VM at once of all that is released in `work`.
pub fn batch(work: impl FnOnce()) {
    // What is released within destructors that run in `work` belongs to the outer one.
    let outermost = RELEASED.try_with(|released| {
        let mut released = released.borrow_mut();
        released
            .is_none()
            .then(|| *released = Some(Vec::new()))
            .is_some()
    });
    work();
    if outermost == Ok(true)
        && let Ok(Some(numbers)) = RELEASED.try_with(RefCell::take)
        && !numbers.is_empty()
    {
        vm::released(&numbers);
    }
}

pub unsafe fn release(kept: *const Kept) {
    if (*kept).count.fetch_sub(1, Ordering::AcqRel) != 1 {
        return;
    }
    let number = Box::from_raw(kept.cast_mut()).number;
    let noted = RELEASED.try_with(|released| match &mut *released.borrow_mut() {
        Some(numbers) => {
            numbers.push(number);
            true
        }
        None => false,
    });
    if noted != Ok(true) {
        vm::released(&[number]);
    }
}

/// See `enif_term_type`.
pub unsafe fn term_type(boxed: *const Word) -> c_int {
    match of(boxed).kind {
        kept::FUNCTION => 4,
        kept::PORT => 9,
        kept::REFERENCE => 10,
        _ => -1,
    }
}

unsafe fn is_of(term: Word, kind: u8) -> bool {
    word::of_kind(term, Kind::Kept).is_some_and(|boxed| of(boxed).kind == kind)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_is_fun(_env: *mut HostEnv, term: Word) -> c_int {
    c_int::from(is_of(term, kept::FUNCTION))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_is_port(_env: *mut HostEnv, term: Word) -> c_int {
    c_int::from(is_of(term, kept::PORT) || word::of_kind(term, Kind::Port).is_some())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_is_ref(_env: *mut HostEnv, term: Word) -> c_int {
    let is_ref = matches!(
        word::view(term),
        word::View::Boxed(Kind::Resource | Kind::Request | Kind::Reference, _)
    );
    c_int::from(is_ref || is_of(term, kept::REFERENCE))
}
