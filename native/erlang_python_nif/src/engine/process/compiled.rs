//! What workers have compiled, for those that are started in the same way after them.
//!
//! It is code that others run. It is taken only from workers that have run no request yet, and given only to those with
//! the same program and environment: they find the same files, with the same rights, and could be made to run the same
//! code by these. Others may be for what is less to be trusted.

use crate::base::lock::Mutex;
use std::sync::Arc;

/// A way to start a worker, and what such workers have compiled.
type Entry = (Vec<u8>, Arc<[u8]>);

/// The one that was used last first. Held for a look-up or a move.
static ALL: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// How many are kept, and how many bytes one may have. It has 200 KB.
const MOST: usize = 8;
const LARGEST: usize = 4 << 20;

/// `way`: tells ways to start a worker apart.
pub fn keep(way: &[u8], bytes: &[u8]) {
    if bytes.len() > LARGEST {
        return;
    }
    let new = (way.to_vec(), Arc::from(bytes));
    // Dropped when the lock is free again.
    let _former = {
        let mut all = ALL.lock();
        let former = take(&mut all, way);
        all.insert(0, new);
        let end = all.len().min(MOST);
        (former, all.split_off(end))
    };
}

pub fn find(way: &[u8]) -> Option<Arc<[u8]>> {
    let mut all = ALL.lock();
    let found = take(&mut all, way)?;
    let bytes = Arc::clone(&found.1);
    all.insert(0, found);
    Some(bytes)
}

fn take(all: &mut Vec<Entry>, way: &[u8]) -> Option<Entry> {
    let at = all.iter().position(|(other, _)| other == way)?;
    Some(all.remove(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_are_kept_that_were_used_last() {
        let way = |number: usize| [b"kept".as_slice(), &number.to_le_bytes()].concat();
        for number in 0..MOST {
            keep(&way(number), &[number as u8]);
        }
        assert_eq!(find(&way(0)).as_deref(), Some(&[0][..]));
        keep(&way(MOST), b"new");
        assert_eq!(find(&way(1)), None);
        assert_eq!(find(&way(0)).as_deref(), Some(&[0][..]));
        keep(&way(0), b"other");
        keep(&way(0), &vec![0; LARGEST + 1]);
        assert_eq!(find(&way(0)).as_deref(), Some(&b"other"[..]));
        assert_eq!(ALL.lock().len(), MOST);
    }
}
