//! Whether a thread is where locks are taken or given back that others need.
//!
//! The answer holds as long as the GIL is held without a break: no Python code may run from the look to what
//! is made of it. What has to be worked out in Python is worked out elsewhere (`assistant`), and then looked at
//! once more.

use super::GilCell;
use super::frame::{Code, Frame};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::collections::HashMap;

pub enum Look {
    Safe,
    Delicate,
    /// Nothing is known yet of what is ahead in this code.
    Unknown(Py<PyAny>),
}

/// What is known of such places.
pub struct Delicate {
    places: Places,
    /// None where a block gives its lock back in one step.
    gap: Option<Gap>,
    /// None where a block takes its lock in one step.
    pub ahead: Option<Ahead>,
}

impl Delicate {
    /// `locks` and `ahead`: `priv/python/erlang/_locks.py` and `_ahead.py`.
    pub fn new(locks: &Bound<'_, PyModule>, ahead: &Bound<'_, PyModule>) -> PyResult<Self> {
        Ok(Delicate {
            places: Places::new(locks.getattr("DELICATE")?.cast::<PyDict>()?)?,
            gap: Gap::new(locks)?,
            ahead: Ahead::new(ahead)?,
        })
    }

    /// Whether a thread that is in this frame may be interrupted.
    pub fn look(&self, py: Python<'_>, frame: Option<Frame<'_>>) -> Look {
        // A thread that is in no Python code is in a C function.
        frame
            .and_then(|frame| self.look_at(py, frame))
            .unwrap_or(Look::Safe)
    }

    fn look_at(&self, py: Python<'_>, frame: Frame<'_>) -> Option<Look> {
        let code = frame.code()?;
        let file = code.file()?;
        if file == "<frozen importlib._bootstrap>"
            || file.ends_with("/logging/__init__.py")
            || file.ends_with("\\logging\\__init__.py")
        {
            return Some(Look::Delicate);
        }
        let at = frame.at()?;
        if self.places.contains(&code, at) {
            return Some(Look::Delicate);
        }
        if let Some(gap) = &self.gap
            && gap.contains(code.bytecode()?.as_bytes(), at)
        {
            return Some(Look::Delicate);
        }
        match &self.ahead {
            Some(ahead) => ahead.look(py, frame),
            None => Some(Look::Safe),
        }
    }
}

/// Functions of the standard library in which no thread is to be interrupted, and where in these.
struct Places(Vec<(Py<PyAny>, Offsets)>);

/// The first and the last of each place.
type Offsets = Vec<(i64, i64)>;

impl Places {
    /// Of `DELICATE` in `priv/python/erlang/_locks.py`.
    fn new(places: &Bound<'_, PyDict>) -> PyResult<Self> {
        let places = places
            .iter()
            .map(|(code, offsets)| Ok((code.unbind(), offsets.extract()?)));
        Ok(Places(places.collect::<PyResult<_>>()?))
    }

    fn contains(&self, code: &Code<'_>, at: i64) -> bool {
        let offsets = self.0.iter().find(|(known, _)| code.is(known));
        offsets.is_some_and(|(_, offsets)| {
            offsets
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&at))
        })
    }
}

/// The bytecodes between the end of a block and the giving back of its lock: up to Python 3.9.
struct Gap {
    begin: Vec<u8>,
    inside: Vec<u8>,
}

impl Gap {
    /// None for a Python without such a gap.
    fn new(locks: &Bound<'_, PyModule>) -> PyResult<Option<Self>> {
        let opcodes = |names: &str| -> PyResult<Vec<u8>> {
            locks
                .call_method1("opcodes", (locks.getattr(names)?,))?
                .extract()
        };
        let gap = Gap {
            begin: opcodes("GAP")?,
            inside: opcodes("IN_GAP")?,
        };
        Ok((!gap.begin.is_empty()).then_some(gap))
    }

    /// Whether a thread whose last bytecode was at this offset is in between.
    fn contains(&self, code: &[u8], at: i64) -> bool {
        let Some(done) = usize::try_from(at).ok().and_then(|at| code.get(..=at)) else {
            return false;
        };
        // Two bytes each: the operation and its argument.
        done.iter()
            .step_by(2)
            .rev()
            .find(|operation| !self.inside.contains(operation))
            .is_some_and(|operation| self.begin.contains(operation))
    }
}

/// What `priv/python/erlang/_ahead.py` finds out: for Python 3.14.
pub struct Ahead {
    examine: Py<PyAny>,
    /// By the address of code, which is kept for that.
    known: GilCell<Known>,
    locked_from_here: u8,
    locked_after_call: u8,
    leaves: u8,
}

type Known = HashMap<usize, (Py<PyAny>, Vec<u8>)>;

/// So much code is known, at most.
const MOST: usize = 10_000;

impl Ahead {
    /// None for a Python that does not need it.
    fn new(module: &Bound<'_, PyModule>) -> PyResult<Option<Self>> {
        if !module.getattr("NEEDED")?.extract()? {
            return Ok(None);
        }
        Ok(Some(Ahead {
            examine: module.getattr("examine")?.unbind(),
            known: GilCell::new(HashMap::new()),
            locked_from_here: module.getattr("LOCKED_FROM_HERE")?.extract()?,
            locked_after_call: module.getattr("LOCKED_AFTER_CALL")?.extract()?,
            leaves: module.getattr("LEAVES")?.extract()?,
        }))
    }

    /// Runs Python code. Not for the interrupter.
    pub fn examine(&self, py: Python<'_>, code: Py<PyAny>) {
        let flags = self
            .examine
            .bind(py)
            .call1((&code,))
            .ok()
            .and_then(|flags| Some(flags.cast::<PyBytes>().ok()?.as_bytes().to_vec()))
            // Nothing is known of it, as before 3.14 is of any.
            .unwrap_or_default();
        let address = code.as_ptr() as usize;
        // What has to go is dropped outside.
        let _gone = self.known.with(py, |known| {
            let all = (known.len() >= MOST).then(|| std::mem::take(known));
            (all, known.insert(address, (code, flags)))
        });
    }

    /// What is known of the bytecode at this offset.
    fn flags(&self, py: Python<'_>, code: &Code<'_>, at: usize) -> Option<u8> {
        self.known.with(py, |known| {
            let (_, flags) = known.get(&(code.as_object().as_ptr() as usize))?;
            Some(flags.get(at / 2).copied().unwrap_or(0))
        })
    }

    /// From the frame that the thread is in to the one in which it looks for interrupts next.
    fn look(&self, py: Python<'_>, frame: Frame<'_>) -> Option<Look> {
        let mut locked = self.locked_from_here;
        let mut next = Some(frame);
        while let Some(frame) = next {
            let code = frame.code()?;
            let at = usize::try_from(frame.at()?).ok()?;
            let Some(flags) = self.flags(py, &code, at) else {
                return Some(Look::Unknown(code.as_object().clone().unbind()));
            };
            if flags & locked != 0 {
                return Some(Look::Delicate);
            }
            if flags & self.leaves == 0 {
                break;
            }
            locked = self.locked_after_call;
            next = frame.back();
        }
        Some(Look::Safe)
    }
}

#[cfg(test)]
mod tests {
    use super::Gap;

    #[test]
    fn a_gap_lasts_from_its_beginning_to_the_first_other_operation() {
        let gap = Gap {
            begin: vec![87],
            inside: vec![53, 2],
        };
        let code = [100, 87, 87, 0, 2, 0, 53, 0, 81, 0, 53, 0];
        let within = [0, 2, 4, 6, 8, 10].map(|at| gap.contains(&code, at));
        assert_eq!(within, [false, true, true, true, false, false]);
        assert!(!gap.contains(&code, -1) && !gap.contains(&code, 99));
    }
}
