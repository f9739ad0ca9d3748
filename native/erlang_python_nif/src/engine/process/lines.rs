//! What a process writes to a descriptor, in whole lines, and the last of it.

/// A line that is longer is handed on in parts.
const LONGEST: usize = 8 << 10;

/// How much of the last lines is kept.
const KEPT: usize = 32 << 10;

/// How Python's report of a fatal error begins, which is the last that it writes.
const BEGIN: &[u8] = b"Fatal Python error: ";

#[derive(Default)]
pub struct Lines {
    /// What has not been handed on yet.
    pending: Vec<u8>,
    last: Vec<u8>,
}

impl Lines {
    pub fn add(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        self.last.extend_from_slice(bytes);
        if self.last.len() > 2 * KEPT {
            self.last.drain(..self.last.len() - KEPT);
        }
    }

    /// The lines that are whole, but for a report. `all`: and what comes after them.
    pub fn take(&mut self, all: bool) -> Option<Vec<u8>> {
        let pending = &self.pending[..self.held_from()];
        let whole = match pending.iter().rposition(|&byte| byte == b'\n') {
            _ if all || pending.len() > LONGEST => pending.len(),
            Some(end) => end + 1,
            None => 0,
        };
        (whole > 0).then(|| self.pending.drain(..whole).collect())
    }

    /// The report that was held back.
    pub fn take_report(&mut self) -> Option<Vec<u8>> {
        let report = std::mem::take(&mut self.pending);
        (!report.is_empty()).then_some(report)
    }

    /// Where in the pending text a report begins. One that goes on for long is none.
    fn held_from(&self) -> usize {
        let lines = self.pending.split_inclusive(|&byte| byte == b'\n');
        let mut at = 0;
        for line in lines {
            if line.starts_with(BEGIN) && self.pending.len() - at <= KEPT {
                return at;
            }
            at += line.len();
        }
        at
    }

    /// The last lines.
    pub fn last(&self) -> Option<String> {
        const MOST: usize = 2_000;
        let from = self.last.len().saturating_sub(MOST);
        let text = String::from_utf8_lossy(&self.last[from..]).into_owned();
        (!text.trim().is_empty()).then_some(text)
    }

    /// What Python has said of a fatal error, which is the last that it says.
    pub fn report(&self) -> Option<String> {
        let at = self
            .last
            .windows(BEGIN.len())
            .rposition(|bytes| bytes == BEGIN)?;
        Some(String::from_utf8_lossy(&self.last[at..]).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_handed_on_when_they_are_whole() {
        let mut lines = Lines::default();
        lines.add(b"one");
        assert_eq!(lines.take(false), None);
        lines.add(b"\ntwo\nthr");
        assert_eq!(lines.take(false), Some(b"one\ntwo\n".to_vec()));
        assert_eq!(lines.take(true), Some(b"thr".to_vec()));
        assert_eq!(lines.take(true), None);
        lines.add(&vec![b'x'; LONGEST + 1]);
        assert_eq!(lines.take(false).map(|text| text.len()), Some(LONGEST + 1));
    }

    #[test]
    fn a_report_is_held_back() {
        let mut lines = Lines::default();
        lines.add(b"one\nFatal Python error: Aborted\n\nCurrent thread");
        assert_eq!(lines.take(false), Some(b"one\n".to_vec()));
        assert_eq!(lines.take(true), None);
        let report = b"Fatal Python error: Aborted\n\nCurrent thread".to_vec();
        assert_eq!(lines.take_report(), Some(report));
        assert_eq!(lines.take_report(), None);
        lines.add(b"Fatal Python error: no\n");
        assert_eq!(lines.take(false), None);
        lines.add(&vec![b'x'; KEPT]);
        assert!(lines.take(false).is_some());
    }

    #[test]
    fn the_report_is_that_of_the_last_fatal_error() {
        let mut lines = Lines::default();
        lines.add(b"Fatal Python error: one\n");
        lines.add(&vec![b'x'; 100 << 10]);
        assert_eq!(lines.report(), None);
        lines.add(b"\nFatal Python error: Segmentation fault\n\nCurrent thread");
        let report = "Fatal Python error: Segmentation fault\n\nCurrent thread";
        assert_eq!(lines.report().as_deref(), Some(report));
    }
}
