//! Iterators, pulled in chunks.

use crate::atoms;
use crate::call::{Error, Work, item};
use pyo3::ffi;
use pyo3::prelude::*;
use rustler::{Encoder, Term};
use std::time::{Duration, Instant};

/// A handle to `iter(object)`: `{:ok, handle}`.
pub fn open<'a>(work: &Work<'_, '_, '_, 'a>, object: Bound<'_, PyAny>) -> Result<Term<'a>, Error> {
    let iterator = object.try_iter()?;
    let handle = crate::object::Handle::new(iterator.into_any().unbind()).into_term(work.env);
    Ok((atoms::ok(), handle).encode(work.env))
}

/// `{:next, iterator, most, wait}`: at most so many items, or what comes within so many ms (the
/// first item is waited for). `{:ok, {:more | :done, items}}`, or `{:ok, {:failed, items, reason}}`
/// when the iterator raised after these items.
pub fn next<'a>(work: &Work<'_, '_, '_, 'a>) -> Result<Term<'a>, Error> {
    let &[iterator, most, wait] = work.operands else {
        return Err(Error::BadRequest("a next has three operands"));
    };
    let iterator = work.handle(iterator)?;
    // SAFETY: the GIL is held.
    if unsafe { ffi::PyIter_Check(iterator.as_ptr()) } == 0 {
        return Err(Error::BadRequest("only an iterator has a next item"));
    }
    let (Ok(most), Ok(wait)) = (most.decode::<usize>(), wait.decode::<u64>()) else {
        return Err(Error::BadRequest("most and wait are numbers"));
    };
    let wait = Duration::from_millis(wait);
    let started = Instant::now();
    let mut items = Vec::new();
    let state = loop {
        work.go_on()?;
        // SAFETY: an iterator (just checked), and the GIL is held. A new reference, or null,
        // with an exception set if there was one.
        let item_or_end = unsafe {
            let next = ffi::PyIter_Next(iterator.as_ptr());
            Bound::from_owned_ptr_or_opt(work.py, next)
        };
        let result = match item_or_end {
            Some(object) => work
                .decoder()
                .value(&object)
                .map_err(|e| Error::decode(e.inside(item(items.len())))),
            None => match PyErr::take(work.py) {
                Some(error) => Err(error.into()),
                None => break (atoms::done(), items).encode(work.env),
            },
        };
        match result {
            Ok(term) => items.push(term),
            Err(error) => {
                let reason = error.into_term(work.py, work.env);
                break (atoms::failed(), items, reason).encode(work.env);
            }
        }
        if items.len() >= most || started.elapsed() >= wait {
            break (atoms::more(), items).encode(work.env);
        }
    };
    Ok((atoms::ok(), state).encode(work.env))
}

/// `{:close, iterator}`: ends a generator early, which runs its `finally` blocks.
pub fn close<'a>(work: &Work<'_, '_, '_, 'a>) -> Result<Term<'a>, Error> {
    let &[iterator] = work.operands else {
        return Err(Error::BadRequest("a close has one operand"));
    };
    let iterator = work.handle(iterator)?;
    if let Ok(close) = iterator.getattr("close") {
        close.call0()?;
    }
    Ok(atoms::ok().to_term(work.env))
}
