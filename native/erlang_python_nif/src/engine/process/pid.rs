//! Pids as bytes, and back. The VM takes a while for each, and most are the same few.
//!
//! A VM can become a node while it runs, and then its pids have another name in bytes. A worker has those from before,
//! too: they are pids of this VM all the same.

use super::leaf;
use crate::base::lock::Mutex;
use crate::base::term_env::SavedTerm;
use erlang_python_wire::{Broken, Reader, shape, tag};
use rustler::sys::ErlNifTerm;
use rustler::{Env, LocalPid, Term};
use std::cell::RefCell;

/// How often the bytes of a pid are used before the VM is asked again.
const USES: u16 = 1_000;

/// Those that ask are more than those that are told something.
const WRITERS: usize = 128;
const READERS: usize = 16;
const LONGEST: usize = 64;

/// A pid of this VM as bytes, behind the tag.
#[derive(Clone, Copy)]
struct Known {
    pid: SavedTerm,
    uses: u16,
    length: u8,
    bytes: [u8; LONGEST],
}

impl Known {
    fn new(pid: SavedTerm, bytes: &[u8]) -> Option<Self> {
        let mut known = Known {
            pid,
            uses: 0,
            length: u8::try_from(bytes.len()).ok()?,
            bytes: [0; LONGEST],
        };
        known.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(known)
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length.into()]
    }
}

type Places<const COUNT: usize> = [Option<Known>; COUNT];

thread_local! {
    static WRITTEN: RefCell<Places<WRITERS>> = const { RefCell::new([None; WRITERS]) };
    static READ: RefCell<Places<READERS>> = const { RefCell::new([None; READERS]) };
}

/// The names that this VM has had as a node, each with what tells it from others of that name.
static NAMES: Mutex<Names> = Mutex::new(Names {
    sample: None,
    all: Vec::new(),
});

/// Held for a look or a push.
struct Names {
    /// Any pid of this VM.
    sample: Option<SavedTerm>,
    all: Vec<Name>,
}

#[derive(Clone, PartialEq, Eq)]
struct Name {
    node: Vec<u8>,
    creation: [u8; 4],
}

/// Adds a pid.
pub fn write(bytes: &mut Vec<u8>, pid: Term<'_>) {
    if pid.decode::<LocalPid>().is_err() {
        bytes.push(tag::NEW_PID);
        return bytes.extend_from_slice(&external(pid));
    }
    let saved = SavedTerm::save(pid);
    let place = saved.mix() % WRITERS;
    WRITTEN.with_borrow_mut(|places| {
        if let Some(known) = &mut places[place]
            && known.pid == saved
            && known.uses < USES
        {
            known.uses += 1;
            bytes.push(tag::NEW_PID);
            return bytes.extend_from_slice(known.bytes());
        }
        let external = external(pid);
        learn(saved, &external);
        places[place] = Known::new(saved, &external);
        bytes.push(tag::NEW_PID);
        bytes.extend_from_slice(&external);
    });
}

/// A pid in the external term format, behind the tag.
fn external(pid: Term<'_>) -> Vec<u8> {
    let external = leaf::identity(pid);
    let rest = external.strip_prefix(&[tag::NEW_PID]);
    rest.unwrap_or_default().to_vec()
}

struct Parts<'b> {
    node: &'b [u8],
    /// Number and serial.
    number: [u8; 8],
    creation: [u8; 4],
}

fn parts(bytes: &[u8]) -> Result<Parts<'_>, Broken> {
    let mut reader = Reader::new(bytes);
    let node = shape::node(&mut reader)?;
    let rest = reader.rest();
    let number = rest.first_chunk();
    let creation = rest.last_chunk();
    match (number, creation) {
        (Some(&number), Some(&creation)) if rest.len() == 12 => Ok(Parts {
            node,
            number,
            creation,
        }),
        _ => Err(Broken("a pid has an impossible length")),
    }
}

/// A pid of this VM has these bytes.
fn learn(pid: SavedTerm, bytes: &[u8]) {
    let Ok(Parts { node, creation, .. }) = parts(bytes) else {
        return;
    };
    let mut names = NAMES.lock();
    names.sample = Some(pid);
    let known = |name: &Name| name.node == node && name.creation == creation;
    if !names.all.iter().any(known) {
        names.all.push(Name {
            node: node.to_vec(),
            creation,
        });
    }
}

/// A pid from its bytes, with the tag.
pub fn read(env: Env<'_>, bytes: &[u8]) -> Result<ErlNifTerm, Broken> {
    let bytes = bytes.strip_prefix(&[tag::NEW_PID]).unwrap_or(bytes);
    let pid = parts(bytes)?;
    let place = pid
        .number
        .iter()
        .fold(0, |sum, &byte| sum + usize::from(byte))
        % READERS;
    READ.with_borrow_mut(|places| {
        if let Some(known) = &places[place]
            && known.bytes() == bytes
        {
            return Ok(known.pid.load(env).as_c_arg());
        }
        let term = make(env, &pid, bytes)?;
        if term.decode::<LocalPid>().is_ok() {
            places[place] = Known::new(SavedTerm::save(term), bytes);
        }
        Ok(term.as_c_arg())
    })
}

fn make<'a>(env: Env<'a>, pid: &Parts<'_>, bytes: &[u8]) -> Result<Term<'a>, Broken> {
    let whole = |rest: &[u8]| [&[tag::VERSION, tag::NEW_PID], rest].concat();
    let own = {
        let names = NAMES.lock();
        let known = |name: &Name| name.node == pid.node && name.creation == pid.creation;
        names.sample.filter(|_| names.all.iter().any(known))
    };
    let term = match own {
        // By the name that the VM has now.
        Some(sample) => {
            let mut now = external(sample.load(env));
            let end = now.len().saturating_sub(4);
            if let Some(number) = end.checked_sub(8).and_then(|start| now.get_mut(start..end)) {
                number.copy_from_slice(&pid.number);
            }
            leaf::from_external(env, &whole(&now))
        }
        None => leaf::from_external(env, &whole(bytes)),
    }?;
    // SAFETY: just made in this environment.
    Ok(unsafe { Term::new(env, term) })
}
