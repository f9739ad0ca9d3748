//! The order of terms is that of Erlang.

mod common;

use common::{in_env, pid, read, reference};
use rustler::{Encoder, Env, Term};
use std::cmp::Ordering;

fn terms<'a>(env: Env<'a>) -> Vec<Term<'a>> {
    let integer = |value: i128| value.encode(env);
    let map = |pairs: &[(i64, i64)]| Term::map_from_pairs(env, pairs).expect("different keys");
    let function = [
        &[203, 1][..],
        &1u64.to_le_bytes(),
        &1u32.to_le_bytes(),
        &[0],
    ]
    .concat();
    let port = [&[120, 119, 1, b'a'][..], &[0; 12]].concat();
    vec![
        (-1.0e300).encode(env),
        integer(-(1 << 100)),
        integer(i128::from(i64::MIN)),
        integer(-(1 << 59)),
        (-1.5).encode(env),
        integer(-1),
        integer(0),
        0.5.encode(env),
        integer(1),
        1.0000000001.encode(env),
        integer((1 << 53) + 1),
        // 2^53 + 2
        9007199254740994.0.encode(env),
        integer(1 << 59),
        integer(i128::from(u64::MAX)),
        18446744073709551616.0.encode(env),
        integer((1 << 64) + 1),
        integer(1 << 100),
        1.0e300.encode(env),
        read(env, &[119, 0]),
        read(env, &[119, 1, b'a']),
        read(env, &[119, 2, b'a', b'a']),
        read(env, &[119, 1, b'b']),
        read(env, &reference([1, 2, 3])),
        read(env, &function),
        read(env, &port),
        read(env, &pid("vm1", 5, 0)),
        read(env, &pid("vm1", 6, 0)),
        read(env, &pid("vm1", 1, 1)),
        read(env, &[104, 0]),
        (9,).encode(env),
        (1, 2).encode(env),
        (1, 3).encode(env),
        (2, 0).encode(env),
        map(&[]),
        map(&[(9, 0)]),
        map(&[(1, 5), (2, 0)]),
        map(&[(2, 1), (1, 5)]),
        map(&[(1, 0), (3, 0)]),
        read(env, &[106]),
        vec![1].encode(env),
        vec![1, 1].encode(env),
        vec![2].encode(env),
        "".encode(env),
        read(env, &[77, 0, 0, 0, 1, 2, 0b0100_0000]),
        "a".encode(env),
        read(env, &[77, 0, 0, 0, 2, 1, b'a', 0]),
        "aa".encode(env),
        "b".encode(env),
    ]
}

#[test]
fn terms_are_in_the_order_of_erlang() {
    in_env(|env| {
        let terms = terms(env);
        for (one, left) in terms.iter().enumerate() {
            for (two, right) in terms.iter().enumerate() {
                assert_eq!(left.cmp(right), one.cmp(&two), "{left:?} {right:?}");
                assert_eq!(left == right, one == two, "{left:?} {right:?}");
            }
        }
    });
}

#[test]
fn an_integer_and_a_float_of_the_same_value_are_equal_and_not_the_same() {
    in_env(|env| {
        for (integer, float) in [(0i128, 0.0), (1, 1.0), (-5, -5.0), (1 << 70, 2f64.powi(70))] {
            let (integer, float) = (integer.encode(env), float.encode(env));
            assert_eq!(integer.cmp(&float), Ordering::Equal);
            assert_ne!(integer, float);
            let (left, right) = (vec![integer].encode(env), vec![float].encode(env));
            assert_eq!(left.cmp(&right), Ordering::Equal);
            let keys = |key| Term::map_from_pairs(env, &[(key, 1)]).expect("one key");
            assert_eq!(keys(integer).cmp(&keys(float)), Ordering::Less);
        }
    });
}
