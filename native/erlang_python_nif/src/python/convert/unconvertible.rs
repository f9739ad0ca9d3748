//! Values that cannot cross, and where in the whole they are.

use pyo3::exceptions::{PyBaseException, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};
use std::fmt::Write;

/// Why a conversion ended early. Small, since every element's result has room for it.
pub enum Failure {
    /// A value that cannot cross.
    Value(Box<Unconvertible>),
    /// Python raised an exception on the way.
    Python(Box<Raised>),
}

/// An exception, and where it was raised.
pub struct Raised {
    error: PyErr,
    path: Path,
}

impl Raised {
    /// The exception, with a note that says where: "while the result was converted, at [1]".
    pub fn into_error(self, what: &str) -> PyErr {
        if !self.path.is_empty() {
            let note = format!("while {what} was converted, at {}", self.path.text());
            Python::attach(|py| {
                // An exception that takes no note is raised without it.
                drop(add_note(self.error.value(py), note));
            });
        }
        self.error
    }
}

/// `add_note`, which is there since 3.11.
fn add_note(exception: &Bound<'_, PyBaseException>, note: String) -> PyResult<()> {
    const NOTES: &str = "__notes__";
    if !exception.hasattr(NOTES)? {
        exception.setattr(NOTES, PyList::empty(exception.py()))?;
    }
    exception.getattr(NOTES)?.cast::<PyList>()?.append(note)
}

impl From<Unconvertible> for Failure {
    fn from(value: Unconvertible) -> Self {
        Failure::Value(Box::new(value))
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Failure::Python(Box::new(Raised {
            error,
            path: Path::default(),
        }))
    }
}

impl Failure {
    /// The exception that tells Python of it.
    pub fn into_python(self, what: &str) -> PyErr {
        match self {
            Failure::Python(raised) => raised.into_error(what),
            Failure::Value(value) => {
                let path = value.path();
                let at = if path.is_empty() { "" } else { ", at " };
                PyTypeError::new_err(format!(
                    "{what} cannot be converted: {}{at}{path}",
                    value.reason
                ))
            }
        }
    }

    /// The same failure, seen from one level further out.
    pub fn inside(mut self, step: impl FnOnce() -> Step) -> Self {
        let path = match &mut self {
            Failure::Value(value) => &mut value.path,
            Failure::Python(raised) => &mut raised.path,
        };
        path.push(step());
        self
    }
}

/// An answer of a function of the package's, which is a text if there is none: why.
pub fn answered(answer: Bound<'_, PyAny>) -> Result<Bound<'_, PyAny>, Failure> {
    match answer.cast_exact::<PyString>() {
        Ok(text) => Err(Unconvertible::new(text.to_string_lossy()).into()),
        Err(_) => Ok(answer),
    }
}

/// A value that cannot cross.
pub struct Unconvertible {
    /// A sentence without subject: "a bitstring has no counterpart in Python".
    pub reason: String,
    /// It is a struct, which the protocol `Python.Encoder` may know.
    pub is_struct: bool,
    path: Path,
}

/// The way to an element, innermost step first.
#[derive(Default)]
struct Path(Vec<Step>);

/// One step from a container to its element.
pub enum Step {
    Index(usize),
    /// The key as it is written in code.
    Key(String),
}

impl Step {
    /// The key that is this text.
    pub fn text(text: &str) -> Self {
        // A key can be a whole document.
        const SHOWN: usize = 60;
        match text.char_indices().nth(SHOWN) {
            None => Step::Key(format!("{text:?}")),
            Some((end, _)) => Step::Key(format!("{:?}…", &text[..end])),
        }
    }
}

impl Unconvertible {
    pub fn new(reason: impl Into<String>) -> Self {
        Unconvertible {
            reason: reason.into(),
            is_struct: false,
            path: Path::default(),
        }
    }

    pub fn of_struct(reason: impl Into<String>) -> Self {
        Unconvertible {
            is_struct: true,
            ..Self::new(reason)
        }
    }

    /// Such as `[3]["rows"][0]`; empty if the value itself is meant.
    pub fn path(&self) -> String {
        self.path.text()
    }
}

impl Path {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn push(&mut self, step: Step) {
        self.0.push(step);
    }

    fn text(&self) -> String {
        // The two ends of a long path say more than its middle.
        const ENDS: usize = 16;
        let mut text = String::new();
        for (at, step) in self.0.iter().rev().enumerate() {
            if at == ENDS && self.0.len() > 2 * ENDS {
                text.push('…');
            }
            if at >= ENDS && at + ENDS < self.0.len() {
                continue;
            }
            // Writing to a String cannot fail.
            let _ = match step {
                Step::Index(index) => write!(text, "[{index}]"),
                Step::Key(key) => write!(text, "[{key}]"),
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(steps: Vec<Step>) -> String {
        let mut failure = Failure::from(Unconvertible::new("no"));
        for step in steps {
            failure = failure.inside(|| step);
        }
        match failure {
            Failure::Value(value) => value.path(),
            Failure::Python(_) => unreachable!(),
        }
    }

    #[test]
    fn a_path_reads_from_the_outside_in() {
        let steps = vec![Step::Index(0), Step::Key("\"rows\"".into()), Step::Index(3)];
        assert_eq!(path(steps), "[3][\"rows\"][0]");
        assert_eq!(path(vec![]), "");
    }

    #[test]
    fn a_long_key_is_cut() {
        let Step::Key(text) = Step::text(&"ä".repeat(1000)) else {
            unreachable!()
        };
        assert_eq!(text, format!("\"{}\"…", "ä".repeat(60)));
    }

    #[test]
    fn a_long_path_is_cut_in_the_middle() {
        let text = path((0..1000).map(Step::Index).collect());
        assert!(text.starts_with("[999][998]"));
        assert!(text.contains('…'));
        assert!(text.ends_with("[1][0]"));
        assert!(text.len() < 300);
    }
}
