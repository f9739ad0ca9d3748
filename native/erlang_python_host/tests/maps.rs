//! Maps, by rustler's functions.

mod common;

use common::{in_env, read, written};
use rustler::{Encoder, MapIterator, Term};

#[test]
fn maps_are_looked_into() {
    in_env(|env| {
        for size in [0, 1, 2, 12, 13, 100, 1_000] {
            let mut map = Term::map_new(env);
            for key in 0..size {
                map = map.map_put(key, key * 2).expect("a map");
                map = map.map_put(format!("{key}"), "text").expect("a map");
            }
            assert_eq!(map.map_size().ok(), Some(2 * size));
            for key in 0..size {
                assert_eq!(
                    map.map_get(key).and_then(|value| value.decode()).ok(),
                    Some(key * 2)
                );
                assert!(map.map_get(format!("{key}")).is_ok());
                assert!(map.map_get(format!("no {key}")).is_err());
            }
            let pairs = MapIterator::new(map).expect("a map").count();
            assert_eq!(pairs, 2 * size);
            assert_eq!(read(env, &written(map)), map);
            let removed = (0..size).fold(map, |map, key| map.map_remove(key).expect("a map"));
            assert_eq!(removed.map_size().ok(), Some(size));
            assert_eq!(map.map_size().ok(), Some(2 * size));
            if size > 0 {
                let updated = map.map_update(0, "new").expect("it has the key");
                assert_ne!(updated, map);
                assert_eq!(
                    map.map_get(0).and_then(|value| value.decode()).ok(),
                    Some(0)
                );
                let back = updated.map_put(0, 0).expect("a map");
                assert_eq!(back, map);
            }
            assert!(map.map_update("no such key", 1).is_err());
        }
    });
}

#[test]
fn an_old_map_does_not_change_with_the_new_one() {
    in_env(|env| {
        let old = Term::map_new(env).map_put("a", 1).expect("a map");
        let one = old.map_put("b", 2).expect("a map");
        let other = old.map_put("c", 3).expect("a map");
        assert_eq!(old.map_size().ok(), Some(1));
        assert!(one.map_get("c").is_err() && other.map_get("b").is_err());
        assert_eq!(
            other.map_get("c").and_then(|value| value.decode()).ok(),
            Some(3)
        );
    });
}

#[test]
fn a_key_is_in_a_map_once() {
    in_env(|env| {
        for size in [2, 100] {
            let mut keys: Vec<i64> = (0..size).collect();
            assert!(Term::map_from_arrays(env, &keys, &keys).is_ok());
            keys[1] = 0;
            assert!(Term::map_from_arrays(env, &keys, &keys).is_err());
        }
        let pairs: Vec<(Term, i64)> = vec![(1.encode(env), 1), (1.0.encode(env), 2)];
        assert_eq!(
            Term::map_from_pairs(env, &pairs)
                .and_then(Term::map_size)
                .ok(),
            Some(2)
        );
    });
}

#[test]
fn maps_are_the_same_whatever_the_order() {
    in_env(|env| {
        for size in [5, 50] {
            let keys: Vec<i64> = (0..size).collect();
            let reversed: Vec<i64> = (0..size).rev().collect();
            let one = Term::map_from_arrays(env, &keys, &keys).expect("a map");
            let other = Term::map_from_arrays(env, &reversed, &reversed).expect("a map");
            assert_eq!(one, other);
            assert_eq!(one.hash_internal(0), other.hash_internal(0));
            assert!(one.cmp(&other).is_eq());
            let nested = Term::map_from_pairs(env, &[(one, 1)]).expect("a map");
            assert_eq!(
                nested.map_get(other).and_then(|value| value.decode()).ok(),
                Some(1)
            );
            let different = one.map_put(0, 1).expect("a map");
            assert_ne!(one, different);
            assert!(one < different);
        }
    });
}
