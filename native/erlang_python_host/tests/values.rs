//! Values there and back, by rustler's encoders and decoders, in this process and as bytes.

mod common;

use common::{copied, identical, in_env, pid, read, reference, written};
use erlang_python_host::{LARGE_BINARY as LARGE, Shared, request_number, request_reference};
use rustler::{
    Atom, Binary, Decoder, Encoder, Env, ListIterator, LocalPid, OwnedBinary, Term, TermType,
};
use std::collections::HashMap;
use std::fmt::Debug;

fn same<T>(value: T)
where
    T: Encoder + PartialEq + Debug + for<'a> Decoder<'a>,
{
    in_env(|env| {
        let term = value.encode(env);
        assert_eq!(term.decode::<T>().expect("its type"), value);
        let again = read(env, &written(term));
        assert_eq!(again, term);
        assert_eq!(again.decode::<T>().expect("its type"), value);
        let external = term.to_binary();
        let (again, length) = env.binary_to_term(&external).expect("valid");
        assert_eq!((again, length), (term, external.len()));
        in_env(|other| {
            let copy = copied(term, other);
            assert!(identical(copy, term));
            assert_eq!(copy.hash_internal(3), term.hash_internal(3));
            assert_eq!(copy.decode::<T>().expect("its type"), value);
        });
    });
}

#[test]
fn integers_of_all_sizes_are_the_same_when_they_come_back() {
    for shift in 0..64 {
        for value in [
            1i64 << shift,
            (1i64 << shift).wrapping_sub(1),
            -(1i64 << (shift % 63)),
        ] {
            same(value);
            same(value as u64);
            same(i128::from(value) * 12_345_678_901);
        }
    }
    for value in [
        i64::MIN,
        i64::MAX,
        0,
        -1,
        255,
        256,
        1 << 59,
        -(1 << 59) - 1,
        (1 << 59) - 1,
    ] {
        same(value);
    }
    same(u64::MAX);
    same(i128::MAX);
    same(u128::MAX);
    same(i32::MIN);
    same(200u8);
}

#[test]
fn an_integer_beyond_those_of_the_vm_cannot_be_made() {
    in_env(|env| {
        let integer = |bytes: u32| {
            let mut external = vec![131, 111];
            external.extend(bytes.to_be_bytes());
            external.push(0);
            external.resize(external.len() + bytes as usize, 255);
            env.binary_to_term(&external).is_some()
        };
        assert!(integer(4_194_296));
        assert!(!integer(4_194_297));
    });
}

#[test]
fn an_integer_is_read_only_as_a_type_that_holds_it() {
    in_env(|env| {
        assert!((1i64 << 32).encode(env).decode::<i32>().is_err());
        assert!((-1).encode(env).decode::<u64>().is_err());
        assert!(u64::MAX.encode(env).decode::<i64>().is_err());
        assert!(1.5.encode(env).decode::<i64>().is_err());
        assert_eq!(i64::MIN.encode(env).decode::<i64>().ok(), Some(i64::MIN));
    });
}

#[test]
fn floats_texts_and_collections_are_the_same_when_they_come_back() {
    for value in [0.0, -0.0, 1.5, f64::MAX, f64::MIN_POSITIVE, -1e-300] {
        same(value);
    }
    same(String::new());
    same("äöü \u{1F600}".repeat(500));
    same(Vec::<i64>::new());
    same((0..1_000).collect::<Vec<i64>>());
    same(vec![vec![1u8, 2], vec![], vec![3]]);
    same((1, "two".to_string(), 3.0, true));
    same((vec![(1, 2)], (false, (0.5,))));
    same(HashMap::from([
        (1, "one".to_string()),
        (2, "two".to_string()),
    ]));
    same(
        (0..5_000)
            .map(|key| (format!("key {key}"), key))
            .collect::<HashMap<String, i64>>(),
    );
    same(Some(5i64));
}

#[test]
fn a_float_that_is_not_finite_cannot_be_made() {
    in_env(|env| {
        // SAFETY: an environment.
        let term = unsafe { rustler::sys::enif_make_double(env.as_c_arg(), f64::NAN) };
        // SAFETY: the same.
        let failed = unsafe { rustler::sys::enif_is_exception(env.as_c_arg(), term) };
        assert_eq!(failed, 1);
    });
}

#[test]
fn atoms_are_the_same_by_name() {
    in_env(|env| {
        let atom = Atom::from_str(env, "grün").expect("Latin-1");
        let term = atom.to_term(env);
        assert_eq!(term.atom_to_string().expect("an atom"), "grün");
        assert_eq!(read(env, &written(term)), term);
        assert_eq!(Atom::existing_from_str(env, "grün").ok(), Some(atom));
        assert!(Atom::existing_from_str(env, "nobody_has_this").is_err());
        assert!(Atom::existing_from_str(env, "vm_has_this").is_ok());
        assert!(Atom::existing_from_str(env, "the_vm_panics").is_err());
        // Beyond Latin-1: by the external format, which makes none in its safe form.
        let wide = "\u{83}\u{77}\u{6}";
        let bytes: Vec<u8> = wide
            .chars()
            .map(|char| char as u8)
            .chain("日本".bytes())
            .collect();
        assert!(env.binary_to_term(&bytes).is_none());
        // SAFETY: trusted.
        let (wide, _) = unsafe { env.binary_to_term_trusted(&bytes) }.expect("an atom");
        assert_eq!(wide.get_type(), TermType::Atom);
        assert!(wide.atom_to_string().is_err());
        assert_eq!(env.binary_to_term(&bytes).map(|(term, _)| term), Some(wide));
    });
}

#[test]
fn binaries_of_all_sizes_are_the_same_when_they_come_back() {
    in_env(|env| {
        for size in [0, 1, 7, 8, 9, 63, 64, 65, 1_023, 1_024, 1_025, 100_000] {
            let mut owned = OwnedBinary::new(size);
            for (index, byte) in owned.as_mut_slice().iter_mut().enumerate() {
                *byte = index as u8;
            }
            let expected = owned.as_slice().to_vec();
            let term: Term = Binary::from_owned(owned, env).into();
            let bytes = |term: Term| term.into_binary().expect("a binary").as_slice().to_vec();
            assert_eq!(bytes(term), expected);
            assert_eq!(bytes(read(env, &written(term))), expected);
            let copied = in_env(|other| bytes(copied(term, other)));
            assert_eq!(copied, expected);
            if size > 2 {
                let part = term
                    .into_binary()
                    .and_then(|all| all.make_subbinary(1, size - 2));
                let part: Term = part.expect("a part").into();
                assert_eq!(bytes(part), expected[1..size - 1]);
                assert_eq!(bytes(read(env, &written(part))), expected[1..size - 1]);
            }
        }
    });
}

#[test]
fn a_large_binary_is_a_part_of_what_has_come() {
    let large = vec![5u8; LARGE];
    let mut bytes = vec![108, 0, 0, 0, 2, 109, 0, 0, 0, 1, 9, 109];
    bytes.extend((LARGE as u32).to_be_bytes());
    bytes.extend(&large);
    bytes.push(106);
    let frame = Shared::new(bytes.clone());
    let frame_bytes = frame.bytes().as_ptr_range();
    let is_part = |term: Term| {
        let binary = term.into_binary().expect("a binary");
        frame_bytes.contains(&binary.as_slice().as_ptr())
    };
    in_env(|env| {
        let last = |list: Term<'_>| {
            is_part(
                list.list_reverse()
                    .and_then(|list| list.decode::<Vec<Term>>())
                    .expect("a list")[0],
            )
        };
        let list = frame.lend(|| read(env, frame.bytes()));
        assert!(last(list));
        let (small, _) = list.list_get_cell().expect("a cell");
        assert!(!is_part(small));
        // What is read from other bytes, or afterwards, is copied.
        assert!(!last(frame.lend(|| read(env, &bytes))));
        assert!(!last(read(env, frame.bytes())));
        // It keeps the bytes, here and in other environments.
        let copy = rustler::OwnedEnv::new();
        let saved = copy.save(list);
        drop(frame);
        assert_eq!(written(list), bytes);
        in_env(|other| assert_eq!(written(copied(list, other)), bytes));
        copy.run(|env| assert_eq!(written(saved.load(env)), bytes));
    });
}

#[test]
fn an_iolist_is_a_binary() {
    in_env(|env| {
        let list = (1, 2).encode(env);
        assert!(list.decode_as_binary().is_err());
        let inner: Vec<Term> = vec![
            "bc".encode(env),
            100u8.encode(env),
            Vec::<u8>::new().encode(env),
        ];
        let list = vec![97u8.encode(env), inner.encode(env), "e".encode(env)].encode(env);
        let bytes = list
            .decode_as_binary()
            .expect("an iolist")
            .as_slice()
            .to_vec();
        assert_eq!(bytes, b"abcde");
        assert!(vec![256].encode(env).decode_as_binary().is_err());
    });
}

#[test]
fn a_bitstring_is_no_binary() {
    in_env(|env| {
        let bits = [77, 0, 0, 0, 2, 3, 255, 0b1011_1111];
        let term = read(env, &bits);
        assert_eq!(term.get_type(), TermType::Binary);
        assert!(!term.is_binary() && term.into_binary().is_err());
        assert_eq!(written(term), [77, 0, 0, 0, 2, 3, 255, 0b1010_0000]);
        assert_eq!(format!("{term:?}"), "<<255,5:3>>");
        assert_eq!(read(env, &[77, 0, 0, 0, 2, 3, 255, 0b1010_0000]), term);
    });
}

fn pid_term<'a>(env: Env<'a>, node: &str, id: u32, serial: u32) -> Term<'a> {
    read(env, &pid(node, id, serial))
}

#[test]
fn a_pid_outlives_its_environment() {
    let kept: Vec<LocalPid> = in_env(|env| {
        // What is asked of the VM has its node.
        assert!(
            env.whereis_pid(Atom::from_str(env, "registered").expect("short"))
                .is_some()
        );
        (0..100)
            .map(|id| {
                pid_term(env, "vm1", id, id * 1_000)
                    .decode()
                    .expect("local")
            })
            .collect()
    });
    in_env(|env| {
        for (id, kept) in (0..).zip(&kept) {
            assert_eq!(written(kept.encode(env)), pid("vm1", id, id * 1_000));
            assert_eq!(kept.encode(env), pid_term(env, "vm1", id, id * 1_000));
        }
        assert!(kept[3] < kept[4] && kept[3] != kept[4]);
        assert_eq!(format!("{:?}", kept[5].encode(env)), "<0.5.5000>");
        assert!(kept[5].is_alive(env));
    });
}

#[test]
fn a_pid_of_another_node_is_not_local() {
    in_env(|env| {
        let pid_of = |node: &str| pid_term(env, node, 5, 1);
        assert!(pid_of("other").decode::<LocalPid>().is_err());
        assert!(pid_of("other").is_pid());
        assert_eq!(pid_of("other"), pid_of("other"));
        assert_ne!(pid_of("other"), pid_of("another"));
        for (id, serial) in [(u32::MAX, 0), (0, u32::MAX), (1 << 28, 1), (1, 1 << 26)] {
            let large = pid_term(env, "vm1", id, serial);
            assert!(large.is_pid());
            assert_eq!(large, pid_term(env, "vm1", id, serial));
            assert_eq!(written(large), pid("vm1", id, serial));
        }
        for number in 0..100 {
            let node = format!("node{number}");
            assert_eq!(written(pid_of(&node)), pid(&node, 5, 1));
        }
    });
}

#[test]
fn references_ports_and_pids_of_older_vms_are_those_of_newer_ones() {
    let numbers = [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    for (tag, kept) in [(90, 2), (89, 3), (88, 0)] {
        let before: &[u8] = if tag == 90 { &[90, 0, 2] } else { &[tag] };
        let numbers = if tag == 89 { &numbers[..8] } else { &numbers };
        let of = |node: &[u8]| [before, node, numbers].concat();
        let newer = of(&[119, 3, b'a', 0xC3, 0xA4]);
        in_env(|env| {
            let newer_term = read(env, &newer);
            for node in [&[100, 0, 2, b'a', 0xE4][..], &[115, 2, b'a', 0xE4]] {
                let external = [&[131], &*of(node)].concat();
                let (older, length) = env.binary_to_term(&external).expect("valid");
                assert_eq!(length, external.len());
                assert_eq!(older, newer_term);
                assert_eq!(older.hash_internal(3), newer_term.hash_internal(3));
                assert_eq!(written(older), newer);
            }
            if kept != 0 {
                let size = (newer.len() as u32).to_le_bytes();
                let number = 7u64.to_le_bytes();
                let kept = [&[203, kept], &number[..], &size, &newer].concat();
                let kept = read(env, &kept);
                assert_eq!(kept, newer_term);
                assert_eq!(kept.hash_internal(3), newer_term.hash_internal(3));
                assert_eq!(kept.to_binary().as_slice(), [&[131], &*newer].concat());
            }
        });
    }
}

#[test]
fn references_are_told_apart() {
    in_env(|env| {
        let one = read(env, &reference([1, 2, 3]));
        let other = read(env, &reference([1, 2, 4]));
        assert!(one.is_ref() && one != other && one.get_type() == TermType::Ref);
        assert_eq!(one, *env.make_ref());
        assert_eq!(written(one), reference([1, 2, 3]));
        assert_eq!(format!("{one:?}"), "#Ref<0.3.2.1>");
        let request = request_reference(env, 99);
        assert!(request.is_ref());
        assert_eq!(request_number(request), Some(99));
        assert_eq!(request_number(one), None);
        assert_eq!(
            request,
            in_env(|other| request_number(copied(request, other)))
                .map(|number| request_reference(env, number))
                .expect("a number")
        );
        let external = request.to_binary();
        assert!(env.binary_to_term(&external).is_some());
    });
}

#[test]
fn an_improper_list_has_a_tail() {
    in_env(|env| {
        let list = 2.encode(env).list_prepend(1.encode(env));
        let (head, tail) = list.list_get_cell().expect("a cell");
        assert_eq!((head.decode().ok(), tail.decode().ok()), (Some(1), Some(2)));
        assert!(list.list_length().is_err());
        assert_eq!(read(env, &written(list)), list);
        assert_eq!(format!("{list:?}"), "[1|2]");
        assert_eq!(
            in_env(|other| format!("{:?}", copied(list, other))),
            "[1|2]"
        );
        let iterator: ListIterator = vec![1, 2, 3].encode(env).decode().expect("a list");
        assert_eq!(iterator.count(), 3);
        let reversed = vec![1, 2, 3].encode(env).list_reverse().expect("a list");
        assert_eq!(reversed.decode().ok(), Some(vec![3, 2, 1]));
    });
}

#[test]
fn terms_are_written_as_erlang_writes_them() {
    in_env(|env| {
        let text = |bytes: &[u8]| format!("{:?}", read(env, bytes));
        assert_eq!(
            text(&written((1, -2.5, "a", vec![true]).encode(env))),
            r#"{1,-2.5,<<"a">>,[true]}"#
        );
        assert_eq!(text(&[119, 2, b'A', b'b']), "'Ab'");
        assert_eq!(text(&[116, 0, 0, 0, 1, 97, 1, 106]), "#{1=>[]}");
        assert_eq!(text(&[109, 0, 0, 0, 1, 1]), "<<1>>");
    });
}
