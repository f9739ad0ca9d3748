//! Random terms, and bytes that are broken. The seeds are fixed.

mod common;

use common::{copied, identical, in_env, read, reference, written};
use erlang_python_host::{decode, encode};
use erlang_python_wire::{MAX_DEPTH, Reader, Writer};
use rustler::{Encoder, Env, Term};
use std::cmp::Ordering;

/// The generator "splitmix64".
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// The bytes of a random term, as the VM would send it.
fn term(random: &mut Random, depth: u32, bytes: &mut Vec<u8>) {
    let kind = random.below(if depth == 0 { 13 } else { 19 });
    match kind {
        0 => bytes.extend([97, random.next() as u8]),
        1 => {
            bytes.push(98);
            let value = random.next() as i32;
            // The shortest form, as what is written is compared.
            let value = if (0..256).contains(&value) { -1 } else { value };
            bytes.extend(value.to_be_bytes());
        }
        2 => {
            bytes.extend([110, 6]);
            bytes.push(random.below(2) as u8);
            bytes.extend((0..6).map(|_| random.next() as u8 | 1));
        }
        3 => {
            let size = 5 + random.below(400) as usize;
            match u8::try_from(size) {
                Ok(size) => bytes.extend([110, size]),
                Err(_) => {
                    bytes.push(111);
                    bytes.extend((size as u32).to_be_bytes());
                }
            }
            bytes.push(random.below(2) as u8);
            bytes.extend((0..size).map(|_| random.next() as u8 | 1));
        }
        4 => {
            bytes.push(70);
            bytes.extend((random.next() as i32 as f64 / 7.0).to_be_bytes());
        }
        5 | 6 => {
            let name = format!("atom_{}", random.below(50));
            bytes.extend([119, name.len() as u8]);
            bytes.extend(name.as_bytes());
        }
        7 => bytes.push(106),
        8 | 9 => {
            let sizes = [0, 1, 10, 64, 1_024, 1_025, 3_000];
            let size = sizes[random.below(7) as usize];
            bytes.push(109);
            bytes.extend((size as u32).to_be_bytes());
            bytes.extend((0..size).map(|_| random.next() as u8));
        }
        10 => {
            let id = random.below(1 << 20) as u32;
            bytes.extend(common::pid(&format!("n{}", random.below(3)), id, 5));
        }
        11 => bytes.extend(reference([random.next() as u32, 1, 2])),
        12 => {
            bytes.extend([77, 0, 0, 0, 2, 4, random.next() as u8]);
            bytes.push((random.next() as u8) << 4);
        }
        13 | 14 => {
            let count = random.below(6);
            bytes.extend([104, count as u8]);
            (0..count).for_each(|_| term(random, depth - 1, bytes));
        }
        15 | 16 => {
            let count = 1 + random.below(8) as u32;
            bytes.push(108);
            bytes.extend(count.to_be_bytes());
            (0..count).for_each(|_| term(random, depth - 1, bytes));
            if random.below(5) == 0 {
                // An improper one.
                bytes.extend([97, 1]);
            } else {
                bytes.push(106);
            }
        }
        _ => {
            let count = random.below(20) as u32;
            bytes.push(116);
            bytes.extend(count.to_be_bytes());
            for key in 0..count {
                // They differ by this.
                bytes.extend([104, 2]);
                bytes.extend([97, key as u8]);
                term(random, depth.saturating_sub(2), bytes);
                term(random, depth - 1, bytes);
            }
        }
    }
}

fn terms(seed: u64, count: u64) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(move |number| {
        let mut bytes = Vec::new();
        term(&mut Random(seed + number), 5, &mut bytes);
        bytes
    })
}

#[test]
fn a_random_term_is_the_same_when_it_comes_back() {
    for bytes in terms(1, 1_500) {
        in_env(|env| {
            let term = read(env, &bytes);
            assert_eq!(written(term), bytes);
            let again = read(env, &bytes);
            assert_eq!(again, term);
            assert_eq!(again.hash_internal(1), term.hash_internal(1));
            assert!(again.cmp(&term).is_eq());
            let external = term.to_binary();
            let (again, length) = env.binary_to_term(&external).expect("its own");
            assert_eq!((again, length), (term, external.len()));
            in_env(|other| {
                let copy = copied(term, other);
                assert!(identical(copy, term));
                assert_eq!(written(copy), bytes);
            });
            assert!(!format!("{term:?}").is_empty());
        });
    }
}

#[test]
fn the_order_of_random_terms_is_one() {
    in_env(|env| {
        let terms: Vec<Term> = terms(50_000, 120).map(|bytes| read(env, &bytes)).collect();
        for (one, left) in terms.iter().enumerate() {
            for (two, right) in terms.iter().enumerate() {
                let order = left.cmp(right);
                assert_eq!(order.reverse(), right.cmp(left));
                assert!(order.is_eq() || left != right);
                if one == two {
                    assert_eq!(order, Ordering::Equal);
                }
            }
        }
        let mut sorted = terms;
        // It panics if the order contradicts itself.
        sorted.sort();
        assert!(sorted.is_sorted());
    });
}

/// Reads what may be broken, and if it is not, all that there is.
fn try_to_read(bytes: &[u8]) -> bool {
    in_env(|env| {
        let read = decode(&mut Reader::new(bytes), env);
        if let Ok(term) = read {
            let mut writer = Writer::default();
            encode(&mut writer, term).expect("it was read");
            let _ = (format!("{term:?}"), term.hash_internal(0));
            assert!(identical(term, in_env_copy(env, term)));
        }
        let external: Vec<u8> = [131].iter().chain(bytes).copied().collect();
        let _ = env.binary_to_term(&external);
        read.is_ok()
    })
}

fn in_env_copy<'a>(env: Env<'a>, term: Term<'a>) -> Term<'a> {
    copied(term, env)
}

#[test]
fn what_ends_too_early_is_broken() {
    for bytes in terms(100_000, 50) {
        for length in 0..bytes.len().min(2_000) {
            assert!(!try_to_read(&bytes[..length]));
        }
    }
}

#[test]
fn an_integer_of_64_bits_is_read_in_both_forms_and_written_as_the_vm_does() {
    let mut random = Random(9);
    for _ in 0..1_000 {
        let value = random.next() as i64 >> random.below(31);
        // Beyond 32 bits.
        let value = match i32::try_from(value) {
            Ok(small) => i64::from(small.unsigned_abs()) + (1 << 32),
            Err(_) => value,
        };
        let mut own = vec![200];
        own.extend(value.to_le_bytes());
        let magnitude = value.unsigned_abs().to_le_bytes();
        let length = 8 - value.unsigned_abs().leading_zeros() as usize / 8;
        let mut big = vec![110, length as u8, u8::from(value < 0)];
        big.extend(&magnitude[..length]);
        in_env(|env| {
            let term = read(env, &own);
            assert_eq!(term.decode::<i64>().ok(), Some(value));
            assert_eq!(term, read(env, &big));
            assert_eq!(written(term), big);
        });
    }
}

#[test]
fn changed_bytes_do_no_harm() {
    let mut random = Random(7);
    for bytes in terms(200_000, 200) {
        for _ in 0..20 {
            let mut changed = bytes.clone();
            for _ in 0..=random.below(4) {
                let place = random.below(bytes.len() as u64) as usize;
                changed[place] = match random.below(3) {
                    0 => random.next() as u8,
                    1 => changed[place] ^ (1 << random.below(8)),
                    // The tags of what has a length.
                    _ => [108, 109, 104, 105, 116, 110, 111, 88, 90, 203, 107, 77]
                        [random.below(12) as usize],
                };
            }
            try_to_read(&changed);
        }
    }
    for _ in 0..20_000 {
        let noise: Vec<u8> = (0..random.below(60)).map(|_| random.next() as u8).collect();
        try_to_read(&noise);
    }
}

#[test]
fn a_length_that_is_a_lie_takes_no_memory() {
    for tag in [105, 108, 109, 111, 116, 77] {
        assert!(!try_to_read(&[tag, 0xFF, 0xFF, 0xFF, 0xFF, 1, 1, 1, 1, 1]));
        assert!(!try_to_read(&[tag, 0x7F, 0xFF, 0xFF, 0xFF, 1, 1, 1, 1, 1]));
    }
    // Each level has as many elements as bytes are left: all levels together have more than there are.
    let level = 64_000u32;
    let mut bytes = Vec::new();
    for _ in 0..1_000 {
        bytes.push(108);
        bytes.extend(level.to_be_bytes());
    }
    bytes.resize(bytes.len() + level as usize, 106);
    assert!(!try_to_read(&bytes));
}

/// On a small stack.
fn on_small_stack<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(256 << 10)
            .spawn_scoped(scope, work);
        thread.expect("a thread").join().expect("no panic")
    })
}

/// Bytes of a term that is nested so deeply: each level is in the one before it.
fn nested(depth: usize, level: &[u8], last: &[u8], after: &[u8]) -> Vec<u8> {
    let mut bytes = level.repeat(depth);
    bytes.extend(last);
    bytes.extend(after.repeat(depth));
    bytes
}

#[test]
fn the_depth_has_a_limit_and_needs_little_stack() {
    let levels: [(&[u8], &[u8]); 4] = [
        // A tuple; a list; the value of a map; the key of one.
        (&[104, 1], &[]),
        (&[108, 0, 0, 0, 1], &[106]),
        (&[116, 0, 0, 0, 1, 97, 1], &[]),
        (&[116, 0, 0, 0, 1], &[97, 1]),
    ];
    on_small_stack(|| {
        for (level, after) in levels {
            assert!(try_to_read(&nested(MAX_DEPTH, level, &[106], after)));
            assert!(!try_to_read(&nested(MAX_DEPTH + 1, level, &[106], after)));
            assert!(!try_to_read(&nested(500_000, level, &[106], after)));
            in_env(|env| {
                let bytes = nested(MAX_DEPTH, level, &[97, 1], after);
                let other = nested(MAX_DEPTH, level, &[97, 2], after);
                let (term, other) = (read(env, &bytes), read(env, &other));
                assert_eq!(term, read(env, &bytes));
                assert_ne!(term, other);
                assert!(term.cmp(&other).is_ne());
                let deeper = vec![term].encode(env);
                assert!(encode(&mut Writer::default(), deeper).is_err());
                // What Rust makes may be deeper, and is copied.
                let deeper = (0..100_000).fold(term, |term, _| (term,).encode(env));
                in_env(|other| assert!(identical(copied(deeper, other), deeper)));
            });
        }
    });
}

#[test]
fn threads_read_a_term_at_the_same_time() {
    in_env(|env| {
        let bytes: Vec<Vec<u8>> = terms(300_000, 200).collect();
        let terms: Vec<Term> = bytes.iter().map(|bytes| read(env, bytes)).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for (term, bytes) in terms.iter().zip(&bytes) {
                        in_env(|other| assert_eq!(&written(copied(*term, other)), bytes));
                    }
                });
            }
        });
    });
}
