//! The sources of code that came as text, for those who want to show a line of it and cannot ask Python.

use crate::base::lock::Mutex;
use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::Read;
use std::sync::Arc;

/// How many are kept, and how many bytes of them, at most.
const MOST: usize = 2_048;
const MOST_BYTES: usize = 16 << 20;

/// Whole programs: they are in files, as a rule.
const LONGEST: usize = 1 << 20;

/// Files of more bytes are not read.
const LARGEST_FILE: u64 = 8 << 20;

#[derive(Default)]
struct Sources {
    /// By the file that they are said to be in, with their first line there.
    kept: HashMap<Arc<str>, Vec<(u32, Arc<str>)>>,
    /// From the oldest on.
    order: VecDeque<(Arc<str>, usize)>,
    bytes: usize,
}

static SOURCES: Mutex<Option<Sources>> = Mutex::new(None);

/// Keeps a source, which begins at a line of its file.
pub fn remember(file: &str, first: u32, source: &str) {
    if source.len() > LONGEST {
        return;
    }
    let (file, source): (Arc<str>, Arc<str>) = (file.into(), source.into());
    let mut sources = SOURCES.lock();
    sources.get_or_insert_default().add(file, first, source);
}

/// A line, without what it begins and ends with.
pub fn line(file: &str, number: u32) -> Option<String> {
    let found = {
        let sources = SOURCES.lock();
        sources.as_ref()?.find(file, number)
    };
    // Of several the last that is so long.
    found.into_iter().rev().find_map(|(first, source)| {
        let at = usize::try_from(number.checked_sub(first)?).ok()?;
        Some(lines(&source).nth(at)?.trim().to_string())
    })
}

/// A line of kept code, or else of the file, if it has something in it. It takes as long as the file's disk does.
pub fn shown(file: &str, number: i64) -> Option<String> {
    let number = u32::try_from(number).ok()?;
    line(file, number)
        .or_else(|| line_of_file(file, number))
        .filter(|line| !line.is_empty())
}

fn line_of_file(file: &str, number: u32) -> Option<String> {
    // To open a pipe would wait for somebody to write into it.
    let found = fs::metadata(file).ok()?;
    if !found.is_file() || found.len() > LARGEST_FILE {
        return None;
    }
    let mut text = Vec::new();
    let file = File::open(file).ok()?;
    file.take(LARGEST_FILE).read_to_end(&mut text).ok()?;
    let at = usize::try_from(number.checked_sub(1)?).ok()?;
    // Python's text may be in another encoding.
    let text = String::from_utf8(text).ok()?;
    lines(&text).nth(at).map(|line| line.trim().to_string())
}

impl Sources {
    fn add(&mut self, file: Arc<str>, first: u32, source: Arc<str>) {
        let size = file.len() + source.len();
        self.bytes += size;
        self.order.push_back((Arc::clone(&file), size));
        self.kept.entry(file).or_default().push((first, source));
        while self.order.len() > MOST || self.bytes > MOST_BYTES {
            let Some((file, size)) = self.order.pop_front() else {
                break;
            };
            self.bytes -= size;
            if let Some(kept) = self.kept.get_mut(&file) {
                kept.remove(0);
                if kept.is_empty() {
                    self.kept.remove(&file);
                }
            }
        }
    }

    fn find(&self, file: &str, number: u32) -> Vec<(u32, Arc<str>)> {
        let kept = self.kept.get(file).map(Vec::as_slice).unwrap_or_default();
        let before = kept.iter().filter(|(first, _)| *first <= number);
        before.cloned().collect()
    }
}

/// As Python splits text: at `\n`, `\r` and `\r\n`.
fn lines(source: &str) -> impl Iterator<Item = &str> {
    source
        .split('\n')
        .flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_last_source_that_has_it_is_found() {
        remember("<a>", 1, "one\n  two\r\nthree\rfour");
        remember("<a>", 3, "new");
        let found = [1, 2, 3, 4, 5].map(|number| line("<a>", number));
        let text = |text: &str| Some(text.to_string());
        assert_eq!(
            found,
            [text("one"), text("two"), text("new"), text("four"), None]
        );
        assert_eq!(line("<b>", 1), None);
        assert_eq!(line("<a>", 0), None);
    }

    #[test]
    fn a_line_of_a_file_is_shown_if_there_is_one() {
        let path = std::env::temp_dir().join(format!("source_{}.py", std::process::id()));
        fs::write(&path, "one\n  two\n\n").expect("a file can be written");
        let file = path.to_str().expect("its name is text");
        assert_eq!(shown(file, 2).as_deref(), Some("two"));
        for number in [-1, 0, 3, 4, 1 << 40] {
            assert_eq!(shown(file, number), None);
        }
        fs::remove_file(&path).expect("it is there");
        for none in ["/dev/zero", "/", "<string>", "", "a\0b"] {
            assert_eq!(shown(none, 1), None);
        }
    }

    #[test]
    fn the_oldest_go_first() {
        let mut sources = Sources::default();
        for number in 0..MOST + 10 {
            sources.add(format!("<{number}>").into(), 1, "x".into());
        }
        assert_eq!(sources.order.len(), MOST);
        assert_eq!(sources.kept.len(), MOST);
        assert!(sources.find("<9>", 1).is_empty());
        assert_eq!(sources.find("<10>", 1).len(), 1);
        for _ in 0..20 {
            sources.add("<big>".into(), 1, " ".repeat(LONGEST).into());
        }
        assert!(sources.bytes <= MOST_BYTES);
        assert_eq!(sources.kept.len(), 1);
    }
}
