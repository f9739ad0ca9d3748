//! How deep the conversions of a thread are, in all.
//!
//! A conversion can run Python code, which can have other values converted: the time zone of a
//! datetime may call Elixir with a list of datetimes. Python's own limit does not see the levels in
//! between, and they take stack.

use super::{MAX_DEPTH, Unconvertible};
use std::cell::Cell;

/// A level takes about half a KiB of the stack, of which Python's own recursion leaves more than
/// 2 MiB at the least.
const MAX_LEVELS: usize = 3 * MAX_DEPTH;

thread_local! {
    static LEVELS: Cell<usize> = const { Cell::new(0) };
}

/// One level of a value that is being converted, either way.
pub struct Level(());

impl Level {
    pub fn enter() -> Result<Self, Unconvertible> {
        let levels = LEVELS.get();
        if levels == MAX_LEVELS {
            return Err(Unconvertible::new(format!(
                "values that are converted during other conversions cannot have more than {MAX_LEVELS} \
                 levels in total"
            )));
        }
        LEVELS.set(levels + 1);
        Ok(Level(()))
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        LEVELS.set(LEVELS.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_bounded_and_given_back() {
        for _ in 0..2 {
            let levels: Vec<_> = (0..MAX_LEVELS).map(|_| Level::enter()).collect();
            assert!(levels.iter().all(Result::is_ok));
            assert!(Level::enter().is_err());
        }
    }
}
