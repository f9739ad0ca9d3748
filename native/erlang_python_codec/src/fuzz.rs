//! Answers that are broken at random.

use crate::base::term_env::TermEnv;
use crate::engine::process::decode::decode;
use crate::objects::Table;
use erlang_python_wire::Reader;
use rustler::Binary;

/// Reads the bytes `count` times, broken differently each time, on a scheduler and on a thread of our own. How many
/// were terms all the same, and how many were not.
#[rustler::nif(schedule = "DirtyCpu")]
fn break_and_read(bytes: Binary<'_>, seed: u64, count: u32) -> (u32, u32) {
    let whole = bytes.to_vec();
    let other = whole.clone();
    let elsewhere = std::thread::spawn(move || rounds(&other, seed ^ 1, count));
    let (read, broken) = rounds(&whole, seed, count);
    let (more_read, more_broken) = elsewhere.join().unwrap_or((0, u32::MAX));
    (read + more_read, broken.saturating_add(more_broken))
}

fn rounds(whole: &[u8], seed: u64, count: u32) -> (u32, u32) {
    let mut random = Random(seed | 1);
    let (mut read, mut broken) = (0, 0);
    for _ in 0..count {
        let mut bytes = whole.to_vec();
        for _ in 0..=random.below(4) {
            damage(&mut bytes, &mut random);
        }
        let env = TermEnv::new();
        let objects = Table {
            worker: 1,
            kept: None,
        };
        // In memory of just this size, for AddressSanitizer.
        let bytes = bytes.into_boxed_slice();
        let mut reader = Reader::new(&bytes);
        match decode(env.env(), &mut reader, &objects) {
            // What was read can be read by the VM: all of it.
            Ok(term) => {
                let _ = (term.hash_internal(0), term.to_binary().len());
                read += 1;
            }
            Err(_) => broken += 1,
        }
    }
    (read, broken)
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        return bytes.push(random.below(256) as u8);
    }
    let at = random.below(bytes.len());
    match random.below(8) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.below(256) as u8,
        // A tag.
        2 => bytes[at] = TAGS[random.below(TAGS.len())],
        3 => bytes.truncate(at),
        4 => drop(bytes.remove(at)),
        5 => bytes.insert(at, random.below(256) as u8),
        // A length.
        6 => {
            for byte in bytes.iter_mut().skip(at).take(4) {
                *byte = [0, 1, 0x7f, 0x80, 0xff][random.below(5)];
            }
        }
        _ => {
            let from = random.below(bytes.len());
            let count = random.below(bytes.len() - from).min(64);
            let piece: Vec<u8> = bytes[from..from + count].to_vec();
            bytes.splice(at..at, piece);
        }
    }
}

const TAGS: [u8; 26] = [
    70, 77, 88, 89, 90, 97, 98, 100, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 116, 118,
    119, 120, 200, 202, 203, 204,
];

/// xorshift64
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}
