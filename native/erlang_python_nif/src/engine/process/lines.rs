//! What a process writes to a descriptor, in whole lines, and the last of it.

/// A line that is longer is handed on in parts.
const LONGEST: usize = 8 << 10;

/// How much of the last lines is kept.
const KEPT: usize = 32 << 10;

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

    /// The lines that are whole. `all`: and what comes after them.
    pub fn take(&mut self, all: bool) -> Option<Vec<u8>> {
        let whole = match self.pending.iter().rposition(|&byte| byte == b'\n') {
            _ if all || self.pending.len() > LONGEST => self.pending.len(),
            Some(end) => end + 1,
            None => 0,
        };
        (whole > 0).then(|| self.pending.drain(..whole).collect())
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
        const BEGIN: &[u8] = b"Fatal Python error: ";
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
