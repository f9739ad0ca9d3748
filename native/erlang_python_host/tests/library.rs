//! A library's functions, called as the VM calls them: resources, monitors, messages.

mod common;

use common::{VM, in_env, pid, read, written};
use erlang_python_host::{
    Library, Raised, describe_type, exported_count, object_down, process_down, release,
    rustler_object, set_vm,
};
use rustler::{
    Atom, Binary, Encoder, Env, Error, LocalPid, Monitor, NifResult, Resource, ResourceArc, Term,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

/// Counts its ends.
struct Counted {
    ends: Arc<AtomicUsize>,
    bytes: Vec<u8>,
    next: Mutex<Option<ResourceArc<Counted>>>,
}

impl Resource for Counted {}

impl Drop for Counted {
    fn drop(&mut self) {
        self.ends.fetch_add(1, Ordering::SeqCst);
    }
}

static DOWN: Mutex<Vec<LocalPid>> = Mutex::new(Vec::new());

struct Watching;

impl Resource for Watching {
    const IMPLEMENTS_DOWN: bool = true;

    fn down<'a>(&'a self, _env: Env<'a>, pid: LocalPid, _monitor: Monitor) {
        DOWN.lock().expect("no panic").push(pid);
    }
}

#[rustler::nif]
fn add(left: i64, right: i64) -> i64 {
    left + right
}

#[rustler::nif]
fn caller(env: Env<'_>) -> LocalPid {
    env.pid()
}

#[rustler::nif]
fn fail(how: i64) -> NifResult<i64> {
    match how {
        0 => Err(Error::BadArg),
        1 => Err(Error::RaiseTerm(Box::new("a reason"))),
        2 => panic!("it panics"),
        _ => Ok(how),
    }
}

#[rustler::nif(schedule = "DirtyIo")]
fn thread_type() -> i32 {
    // SAFETY: it can be asked at any time.
    unsafe { rustler::sys::enif_thread_type() }
}

#[rustler::nif]
fn watch(env: Env<'_>) -> Option<ResourceArc<Watching>> {
    let watching = ResourceArc::new(Watching);
    env.monitor(&watching, &env.pid())?;
    Some(watching)
}

#[rustler::nif]
fn watch_no_more(env: Env<'_>) -> bool {
    let watching = ResourceArc::new(Watching);
    let monitor = env.monitor(&watching, &env.pid()).expect("a monitor");
    env.demonitor(&watching, &monitor) && !env.demonitor(&watching, &monitor)
}

#[rustler::nif]
fn tell(env: Env<'_>, message: Term<'_>) -> bool {
    env.send(&env.pid(), message).is_ok()
}

fn load(env: Env<'_>, info: Term<'_>) -> bool {
    assert_eq!(info.decode::<i64>().ok(), Some(5));
    env.register::<Counted>().is_ok()
        && env.register::<Watching>().is_ok()
        && env.register::<Watching>().is_err()
}

rustler::init!("test", load = load);

static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    set_vm(&VM);
    describe_type(
        "library::Counted",
        1,
        Some(|object, _number| {
            // SAFETY: an object of this type.
            unsafe { (*rustler_object::<Counted>(object)).bytes.len() as u64 }
        }),
    );
    // SAFETY: the entry of this test.
    unsafe { Library::load(nif_init(), |env| 5.encode(env)) }.expect("it loads")
});

/// One after the other, those that count what is exported.
static EXPORTING: Mutex<()> = Mutex::new(());

fn exporting() -> MutexGuard<'static, ()> {
    EXPORTING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn counted(size: usize) -> (ResourceArc<Counted>, Arc<AtomicUsize>) {
    LazyLock::force(&LIBRARY);
    let ends = Arc::new(AtomicUsize::new(0));
    let counted = Counted {
        ends: Arc::clone(&ends),
        bytes: vec![7; size],
        next: Mutex::new(None),
    };
    (ResourceArc::new(counted), ends)
}

fn call(name: &str, arguments: &[i64]) -> Result<String, Raised> {
    LIBRARY.call(
        name,
        Some(&pid("vm1", 9, 1)),
        |env| {
            arguments
                .iter()
                .map(|argument| argument.encode(env))
                .collect()
        },
        |_, term| format!("{term:?}"),
    )
}

#[test]
fn a_function_returns_or_raises() {
    assert_eq!(call("add", &[1, 2]), Ok("3".into()));
    assert_eq!(call("caller", &[]), Ok("<0.9.1>".into()));
    assert_eq!(call("fail", &[3]), Ok("3".into()));
    assert_eq!(call("fail", &[0]), Err(Raised("badarg".into())));
    assert_eq!(call("fail", &[1]), Err(Raised("<<\"a reason\">>".into())));
    assert_eq!(call("fail", &[2]), Err(Raised("nif_panicked".into())));
    assert_eq!(
        call("add", &[1]),
        Err(Raised("there is no function add/1".into()))
    );
    assert_eq!(call("thread_type", &[]), Ok("3".into()));
}

#[test]
fn the_thread_is_none_of_the_vm_s_between_calls() {
    assert_eq!(call("thread_type", &[]), Ok("3".into()));
    // SAFETY: it can be asked at any time.
    assert_eq!(unsafe { rustler::sys::enif_thread_type() }, 0);
}

#[test]
fn a_message_goes_to_the_vm() {
    let tell = |id: u32| {
        LIBRARY.call(
            "tell",
            Some(&pid("vm1", id, 2)),
            |env| vec![("message", id).encode(env)],
            |_, term| term.decode::<bool>().expect("a boolean"),
        )
    };
    assert_eq!(tell(31), Ok(true));
    let expected = (pid("vm1", 31, 2), "{<<\"message\">>,31}".to_string());
    assert!(VM.sent.lock().expect("no panic").contains(&expected));
    let own = in_env(|env| {
        let to: LocalPid = read(env, &pid("vm1", 31, 2)).decode().expect("local");
        env.send(&to, Atom::from_str(env, "own").expect("short"))
            .is_ok()
    });
    assert!(own);
}

#[test]
fn a_resource_ends_once_when_the_last_reference_goes() {
    let (resource, ends) = counted(3);
    in_env(|env| {
        let term = resource.encode(env);
        assert!(term.is_ref());
        assert_eq!(
            term.decode::<ResourceArc<Counted>>()
                .expect("its type")
                .bytes
                .len(),
            3
        );
        assert!(term.decode::<ResourceArc<Watching>>().is_err());
        assert!(1.encode(env).decode::<ResourceArc<Counted>>().is_err());
        drop(resource);
        in_env(|other| {
            let copy = common::copied(term, other);
            assert!(common::identical(copy, term));
        });
        assert_eq!(ends.load(Ordering::SeqCst), 0);
    });
    assert_eq!(ends.load(Ordering::SeqCst), 1);
}

#[test]
fn a_binary_of_a_resource_keeps_it() {
    let (resource, ends) = counted(5_000);
    in_env(|env| {
        let term: Term = resource.make_binary(env, |counted| &counted.bytes).into();
        drop(resource);
        let part = term
            .into_binary()
            .and_then(|all| all.make_subbinary(1, 4_000));
        let part: Term = part.expect("a part").into();
        in_env(|other| {
            let copy = common::copied(part, other);
            let bytes: Binary = copy.into_binary().expect("a binary");
            assert_eq!(bytes.as_slice(), &[7; 4_000]);
        });
        assert_eq!(ends.load(Ordering::SeqCst), 0);
    });
    assert_eq!(ends.load(Ordering::SeqCst), 1);
}

#[test]
fn a_long_chain_of_resources_ends() {
    let (mut resource, ends) = counted(0);
    for _ in 0..100_000 {
        let (next, _) = counted(0);
        *next.next.lock().expect("no panic") = Some(resource);
        resource = next;
    }
    std::thread::Builder::new()
        .stack_size(128 << 10)
        .spawn(move || drop(resource))
        .expect("a thread")
        .join()
        .expect("no panic");
    assert_eq!(ends.load(Ordering::SeqCst), 1);
}

#[test]
fn threads_give_up_a_resource_once() {
    let (resource, ends) = counted(1);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let resource = resource.clone();
            scope.spawn(move || {
                for _ in 0..2_000 {
                    in_env(|env| {
                        let term = resource.encode(env);
                        in_env(|other| {
                            common::copied(term, other);
                        });
                        drop(term.decode::<ResourceArc<Counted>>().expect("its type"));
                    });
                }
            });
        }
        drop(resource);
    });
    assert_eq!(ends.load(Ordering::SeqCst), 1);
}

/// The number in the bytes of an object.
fn number_in(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[2..10].try_into().expect("eight"))
}

#[test]
fn an_object_that_leaves_is_kept_until_it_is_released() {
    let _alone = exporting();
    let (resource, ends) = counted(12);
    let before = exported_count();
    let (one, other) = in_env(|env| {
        let bytes = written(resource.encode(env));
        assert_eq!((bytes[0], bytes[1]), (202, 1));
        assert_eq!(bytes[10..], 12u64.to_le_bytes());
        (bytes, written(resource.encode(env)))
    });
    assert_ne!(number_in(&one), number_in(&other));
    assert_eq!(exported_count(), before + 2);
    drop(resource);
    in_env(|env| {
        assert!(read(env, &one).decode::<ResourceArc<Counted>>().is_ok());
        assert!(common::identical(read(env, &one), read(env, &other)));
    });
    release(&[number_in(&one), number_in(&one), u64::MAX]);
    assert_eq!(ends.load(Ordering::SeqCst), 0);
    release(&[number_in(&other)]);
    assert_eq!(ends.load(Ordering::SeqCst), 1);
    assert_eq!(exported_count(), before);
    in_env(|env| {
        let mut reader = erlang_python_wire::Reader::new(&one);
        assert!(erlang_python_host::decode(&mut reader, env).is_err());
    });
}

#[test]
fn what_cannot_be_written_exports_nothing() {
    let _alone = exporting();
    let (resource, ends) = counted(0);
    let before = exported_count();
    in_env(|env| {
        let request = erlang_python_host::request_reference(env, 5);
        let mut writer = erlang_python_wire::Writer::default();
        let term = (resource.clone(), request).encode(env);
        assert!(erlang_python_host::encode(&mut writer, term).is_err());
    });
    assert_eq!(exported_count(), before);
    drop(resource);
    assert_eq!(ends.load(Ordering::SeqCst), 1);
}

#[test]
fn an_object_is_told_of_the_end_of_its_process() {
    let _alone = exporting();
    let watch = |id: u32| {
        LIBRARY.call(
            "watch",
            Some(&pid("vm1", id, 3)),
            |_| Vec::new(),
            |_, term| {
                let watching = term.decode::<Option<ResourceArc<Watching>>>();
                (
                    watching.expect("its type").expect("a monitor"),
                    written(term),
                )
            },
        )
    };
    let downs = |id: u32| {
        in_env(|env| {
            let pid: LocalPid = read(env, &pid("vm1", id, 3)).decode().expect("local");
            let downs = DOWN.lock().expect("no panic");
            downs.iter().filter(|down| **down == pid).count()
        })
    };
    let (kept, _) = watch(41).expect("it is called");
    assert_eq!(process_down(&pid("vm1", 42, 3)), 0);
    assert_eq!(process_down(&pid("vm1", 41, 3)), 1);
    assert_eq!(process_down(&pid("vm1", 41, 3)), 0);
    assert_eq!(downs(41), 1);
    drop(kept);

    let (kept, bytes) = watch(43).expect("it is called");
    assert_eq!(object_down(number_in(&bytes)), 1);
    assert_eq!(object_down(number_in(&bytes)), 0);
    assert_eq!(downs(43), 1);
    release(&[number_in(&bytes)]);
    drop(kept);

    let (gone, bytes) = watch(44).expect("it is called");
    release(&[number_in(&bytes)]);
    drop(gone);
    assert_eq!(process_down(&pid("vm1", 44, 3)), 0);
    assert_eq!(downs(44), 0);
    assert_eq!(call("watch_no_more", &[]), Ok("true".into()));
}

#[test]
fn the_vm_is_told_when_nobody_has_a_term_of_its_own_any_more() {
    let bytes = [
        &[203, 1][..],
        &900u64.to_le_bytes(),
        &3u32.to_le_bytes(),
        b"abc",
    ]
    .concat();
    let released = |number| VM.released.lock().expect("no panic").contains(&number);
    let other = rustler::OwnedEnv::new();
    let saved = in_env(|env| {
        let term = read(env, &bytes);
        assert!(term.is_fun());
        assert_eq!(format!("{term:?}"), "abc");
        assert_eq!(written(term)[..10], bytes[..10]);
        other.save(term)
    });
    assert!(!released(900));
    other.run(|env| {
        let term = saved.load(env);
        assert_eq!(term, read(env, &bytes));
        assert_ne!(term, read(env, &[&bytes[..14], b"abd"].concat()));
    });
    drop(other);
    assert!(released(900));
}
