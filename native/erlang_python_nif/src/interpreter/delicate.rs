//! Whether a thread is where locks are taken or given back that others need.
//!
//! The answer holds as long as the GIL is held without a break: no Python code may run from the look to what
//! is made of it. What has to be worked out in Python is worked out before, and then looked at once more.

use super::PythonThread;
use super::python::Helpers;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// A thread that is never twice in the same code is not looked at for ever, but later again.
const MOST_LOOKS: usize = 1_000;

pub fn is_delicate(py: Python<'_>, helpers: &Helpers, thread: &PythonThread) -> bool {
    // An error is that of a thread which is in no Python code: in a C function.
    for _ in 0..MOST_LOOKS {
        match look(py, helpers, thread) {
            Ok(Look::Unknown(code)) => {
                if let Some(ahead) = &helpers.ahead
                    && ahead.examine.bind(py).call1((code,)).is_err()
                {
                    return false;
                }
            }
            Ok(Look::Delicate) => return true,
            Ok(Look::Safe) | Err(_) => return false,
        }
    }
    true
}

enum Look<'py> {
    Safe,
    Delicate,
    /// Nothing is known yet of what is ahead in this code.
    Unknown(Bound<'py, PyAny>),
}

fn look<'py>(py: Python<'py>, helpers: &Helpers, thread: &PythonThread) -> PyResult<Look<'py>> {
    let frames = helpers.current_frames.bind(py).call0()?;
    let frame = frames.get_item(thread.ident())?;
    let code = frame.getattr("f_code")?;
    let file = code.getattr("co_filename")?.extract::<String>()?;
    if file == "<frozen importlib._bootstrap>"
        || file.ends_with("/logging/__init__.py")
        || file.ends_with("\\logging\\__init__.py")
    {
        return Ok(Look::Delicate);
    }
    let at = frame.getattr("f_lasti")?.extract::<i64>()?;
    if let Some(places) = helpers.delicate.bind(py).get_item(&code)? {
        let places = places.extract::<Vec<(i64, i64)>>()?;
        if places
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&at))
        {
            return Ok(Look::Delicate);
        }
    }
    if let Some(gap) = &helpers.gap {
        let code = code.getattr("co_code")?;
        if gap.contains(code.extract::<&[u8]>()?, at) {
            return Ok(Look::Delicate);
        }
    }
    match &helpers.ahead {
        Some(ahead) => ahead.look(py, frame),
        None => Ok(Look::Safe),
    }
}

/// The bytecodes between the end of a block and the giving back of its lock: up to Python 3.9.
pub struct Gap {
    begin: Vec<u8>,
    inside: Vec<u8>,
}

impl Gap {
    /// None for a Python without such a gap.
    pub fn new(locks: &Bound<'_, PyModule>) -> PyResult<Option<Self>> {
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

/// What `priv/python/erlang/_ahead.py` writes down: for Python 3.14.
pub struct Ahead {
    flags: Py<PyDict>,
    examine: Py<PyAny>,
    locked_from_here: u8,
    locked_after_call: u8,
    leaves: u8,
}

impl Ahead {
    /// None for a Python that does not need it.
    pub fn new(module: &Bound<'_, PyModule>) -> PyResult<Option<Self>> {
        if !module.getattr("NEEDED")?.extract()? {
            return Ok(None);
        }
        Ok(Some(Ahead {
            flags: module.getattr("FLAGS")?.cast_into::<PyDict>()?.unbind(),
            examine: module.getattr("examine")?.unbind(),
            locked_from_here: module.getattr("LOCKED_FROM_HERE")?.extract()?,
            locked_after_call: module.getattr("LOCKED_AFTER_CALL")?.extract()?,
            leaves: module.getattr("LEAVES")?.extract()?,
        }))
    }

    /// From the frame that the thread is in to the one in which it looks for interrupts next.
    fn look<'py>(&self, py: Python<'py>, frame: Bound<'py, PyAny>) -> PyResult<Look<'py>> {
        let mut locked = self.locked_from_here;
        let mut frame = frame;
        while !frame.is_none() {
            let code = frame.getattr("f_code")?;
            let Some(flags) = self.flags.bind(py).get_item(&code)? else {
                return Ok(Look::Unknown(code));
            };
            let at = frame.getattr("f_lasti")?.extract::<usize>()?;
            let flags = flags.cast::<PyBytes>()?.as_bytes();
            let flags = flags.get(at / 2).copied().unwrap_or(0);
            if flags & locked != 0 {
                return Ok(Look::Delicate);
            }
            if flags & self.leaves == 0 {
                break;
            }
            locked = self.locked_after_call;
            frame = frame.getattr("f_back")?;
        }
        Ok(Look::Safe)
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
