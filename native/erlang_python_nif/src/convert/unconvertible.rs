//! Values that cannot cross, and where in the whole they are.

use pyo3::PyErr;
use pyo3::exceptions::PyTypeError;
use std::fmt::Write;

/// Why a conversion ended early. Small, since every element's result has room for it.
pub enum Failure {
    /// A value that cannot cross.
    Value(Box<Unconvertible>),
    /// Python raised an exception on the way.
    Python(Box<PyErr>),
}

impl From<Unconvertible> for Failure {
    fn from(value: Unconvertible) -> Self {
        Failure::Value(Box::new(value))
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Failure::Python(Box::new(error))
    }
}

impl Failure {
    /// The exception that tells Python of it.
    pub fn into_python(self, what: &str) -> PyErr {
        match self {
            Failure::Python(error) => *error,
            Failure::Value(value) => {
                let path = value.path();
                let at = if path.is_empty() { "" } else { ", at " };
                PyTypeError::new_err(format!("this {what}: {}{at}{path}", value.reason))
            }
        }
    }

    /// The same failure, seen from one level further out.
    pub fn inside(mut self, step: impl FnOnce() -> Step) -> Self {
        if let Failure::Value(value) = &mut self {
            value.path.push(step());
        }
        self
    }
}

/// A value that cannot cross.
pub struct Unconvertible {
    /// A sentence without subject: "a bitstring has no counterpart in Python".
    pub reason: String,
    /// It is a struct, which the protocol `Python.Encoder` may know.
    pub is_struct: bool,
    /// The way to it, innermost step first.
    path: Vec<Step>,
}

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
            path: Vec::new(),
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
        // The two ends of a long path say more than its middle.
        const ENDS: usize = 16;
        let mut text = String::new();
        for (at, step) in self.path.iter().rev().enumerate() {
            if at == ENDS && self.path.len() > 2 * ENDS {
                text.push('…');
            }
            if at >= ENDS && at + ENDS < self.path.len() {
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
