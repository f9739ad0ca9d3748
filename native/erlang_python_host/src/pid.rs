//! Pids. They are kept beyond the environment that they came in, so they are words: the index of a node (with its
//! creation), an id and a serial. What does not fit is boxed, and is local to no VM.

use crate::env::HostEnv;
use crate::vm;
use crate::word::{self, Kind, NONE, View, Word};
use erlang_python_wire::{Broken, Reader, Writer, node, tag};
use rustler::Term;
use std::cell::RefCell;
use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

/// What an `ErlNifPid` is: a word.
pub type RawPid = Word;

const NODE_BITS: u32 = 6;
const ID_BITS: u32 = 28;
const SERIAL_BITS: u32 = 26;
const NODE_SHIFT: u32 = 4;
const ID_SHIFT: u32 = NODE_SHIFT + NODE_BITS;
const SERIAL_SHIFT: u32 = ID_SHIFT + ID_BITS;

/// A VM while it lives: its name and creation, as in the external form of its pids.
#[derive(Clone, PartialEq, Eq)]
pub struct Node {
    /// An atom, with its tag.
    pub atom: Vec<u8>,
    pub creation: u32,
}

static NODES: RwLock<Vec<Node>> = RwLock::new(Vec::new());
/// Which of them are names of the VM that this process belongs to.
static LOCAL: AtomicU64 = AtomicU64::new(0);

/// A pid by its parts.
struct Parts {
    node: Node,
    id: u32,
    serial: u32,
}

/// So many bytes has what follows the name of the node.
const NUMBERS: usize = 12;

/// Reads what follows the tag.
fn read(reader: &mut Reader<'_>) -> Result<Parts, Broken> {
    let mut atom = Vec::new();
    node::write(&mut atom, &node::read(reader)?);
    let id = reader.u32_be()?;
    let serial = reader.u32_be()?;
    let creation = reader.u32_be()?;
    let node = Node { atom, creation };
    Ok(Parts { node, id, serial })
}

/// So many are for the names of our own VM.
const RESERVED: usize = 32;

fn index_of(node: &Node, is_local: bool) -> Option<usize> {
    let position = |nodes: &[Node]| nodes.iter().position(|known| known == node);
    let found = position(&NODES.read().unwrap_or_else(PoisonError::into_inner));
    if found.is_some() {
        return found;
    }
    let mut nodes = NODES.write().unwrap_or_else(PoisonError::into_inner);
    position(&nodes).or_else(|| {
        let most = (1 << NODE_BITS) - if is_local { 0 } else { RESERVED };
        (nodes.len() < most).then(|| {
            nodes.push(node.clone());
            nodes.len() - 1
        })
    })
}

fn word_of(parts: &Parts, is_local: bool) -> Option<Word> {
    let fits = fits(parts.id, parts.serial);
    let node = fits.then(|| index_of(&parts.node, is_local)).flatten()?;
    Some(of_numbers(node, parts.id, parts.serial))
}

fn fits(id: u32, serial: u32) -> bool {
    id >> ID_BITS == 0 && serial >> SERIAL_BITS == 0
}

fn of_numbers(node: usize, id: u32, serial: u32) -> Word {
    (serial as Word) << SERIAL_SHIFT | (id as Word) << ID_SHIFT | node << NODE_SHIFT | word::PID
}

fn parts_of(pid: Word) -> Parts {
    let (serial, id) = numbers(pid);
    let nodes = NODES.read().unwrap_or_else(PoisonError::into_inner);
    Parts {
        node: nodes.get(node_of(pid)).cloned().unwrap_or(Node {
            atom: vec![tag::SMALL_ATOM_UTF8, 0],
            creation: 0,
        }),
        id,
        serial,
    }
}

/// Serial and id, by which pids are ordered, and printed.
pub fn numbers(pid: Word) -> (u32, u32) {
    let id = pid >> ID_SHIFT & ((1 << ID_BITS) - 1);
    ((pid >> SERIAL_SHIFT) as u32, id as u32)
}

/// As Erlang writes it: the node is 0 if it is local.
pub fn text(pid: Word) -> String {
    let node = if is_local_word(pid) {
        0
    } else {
        node_of(pid) + 1
    };
    let (serial, id) = numbers(pid);
    format!("<{node}.{id}.{serial}>")
}

fn node_of(pid: Word) -> usize {
    pid >> NODE_SHIFT & ((1 << NODE_BITS) - 1)
}

fn is_local_word(pid: Word) -> bool {
    LOCAL.load(Ordering::Acquire) >> node_of(pid) & 1 != 0
}

/// The node of a pid that was read last, as its bytes are: that of the next one, as a rule.
struct Last {
    atom: [u8; LONGEST],
    length: usize,
    creation: u32,
    index: usize,
}

/// Longer names are looked up each time.
const LONGEST: usize = 64;

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// A pid of the node that was read last. None, and nothing is read, if it is another one, or no word.
fn decode_known(reader: &mut Reader<'_>) -> Option<Word> {
    LAST.with_borrow(|last| {
        let last = last.as_ref()?;
        let numbers = reader.rest().strip_prefix(&last.atom[..last.length])?;
        let mut numbers = Reader::new(numbers);
        let (id, serial) = (numbers.u32_be().ok()?, numbers.u32_be().ok()?);
        if numbers.u32_be().ok()? != last.creation || !fits(id, serial) {
            return None;
        }
        *reader = numbers;
        Some(of_numbers(last.index, id, serial))
    })
}

/// Reads what follows the tag of a pid into an environment.
pub fn decode(reader: &mut Reader<'_>, env: &mut HostEnv) -> Result<Word, Broken> {
    if let Some(known) = decode_known(reader) {
        return Ok(known);
    }
    let bytes = reader.rest();
    let parts = read(reader)?;
    let word = word_of(&parts, false);
    if let (Some(word), Some(atom)) = (word, bytes.get(..bytes.len() - reader.len() - NUMBERS))
        && atom.len() <= LONGEST
    {
        let mut last = Last {
            atom: [0; LONGEST],
            length: atom.len(),
            creation: parts.node.creation,
            index: node_of(word),
        };
        last.atom[..atom.len()].copy_from_slice(atom);
        LAST.set(Some(last));
    }
    Ok(word.unwrap_or_else(|| {
        let mut writer = Writer::default();
        write(&mut writer, &parts);
        env.boxed_bytes(Kind::Pid, &writer.bytes)
    }))
}

/// Writes a pid that is a word.
pub fn encode(writer: &mut Writer, pid: Word) {
    write(writer, &parts_of(pid));
}

fn write(writer: &mut Writer, parts: &Parts) {
    writer.u8(tag::NEW_PID);
    writer.bytes(&parts.node.atom);
    writer.u32_be(parts.id);
    writer.u32_be(parts.serial);
    writer.u32_be(parts.node.creation);
}

/// The external form of a pid that is a word.
pub fn external(pid: Word) -> Vec<u8> {
    let mut writer = Writer::default();
    encode(&mut writer, pid);
    writer.bytes
}

/// A pid of the VM that this process belongs to. Its node is known as that from now on.
pub fn local(external: &[u8]) -> Result<Word, Broken> {
    let mut reader = Reader::new(external);
    if reader.u8()? != tag::NEW_PID {
        return Err(Broken("a pid was expected"));
    }
    let parts = read(&mut reader)?;
    reader.end()?;
    let pid = word_of(&parts, true).ok_or(Broken("a pid of the VM does not fit into a word"))?;
    LOCAL.fetch_or(1 << node_of(pid), Ordering::AcqRel);
    Ok(pid)
}

/// Says that the node of this pid is that of the VM which this process belongs to, as the nodes of all callers are
/// (`Library::call`). False if the term is no pid.
pub fn set_node_of(pid: Term<'_>) -> bool {
    crate::vm::pid_bytes(pid).is_some_and(|external| local(&external).is_ok())
}

/// In place of a process, where there is none.
pub fn nobody() -> Word {
    let mut external = vec![tag::NEW_PID, tag::SMALL_ATOM_UTF8, 13];
    external.extend(b"nonode@nohost");
    external.extend([0; 12]);
    local(&external).unwrap_or(NONE)
}

/// The node of the VM that this process belongs to, as far as it is known: its newest name.
pub fn local_node() -> Node {
    let local = LOCAL.load(Ordering::Acquire);
    let nodes = NODES.read().unwrap_or_else(PoisonError::into_inner);
    let newest = (0..nodes.len()).rev().find(|node| local >> node & 1 != 0);
    newest.map_or_else(
        || Node {
            atom: b"\x77\x0dnonode@nohost".to_vec(),
            creation: 0,
        },
        |node| nodes[node].clone(),
    )
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_is_pid(_env: *mut HostEnv, term: Word) -> c_int {
    let is_pid = matches!(word::view(term), View::Pid(_) | View::Boxed(Kind::Pid, _));
    c_int::from(is_pid)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_get_local_pid(
    _env: *mut HostEnv,
    term: Word,
    pid: *mut RawPid,
) -> c_int {
    match word::view(term) {
        View::Pid(word) if is_local_word(word) => {
            *pid = word;
            1
        }
        _ => 0,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_self(env: *mut HostEnv, pid: *mut RawPid) -> *mut RawPid {
    match (*env).caller() {
        Some(caller) => {
            *pid = caller;
            pid
        }
        None => std::ptr::null_mut(),
    }
}

/// The process that a call is of may have ended; that is told otherwise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_is_current_process_alive(_env: *mut HostEnv) -> c_int {
    1
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_is_process_alive(_env: *mut HostEnv, pid: *const RawPid) -> c_int {
    c_int::from(vm::is_alive(&external(*pid)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_whereis_pid(
    _env: *mut HostEnv,
    name: Word,
    pid: *mut RawPid,
) -> c_int {
    let View::Atom(index) = word::view(name) else {
        return 0;
    };
    let found = vm::whereis(crate::atom::name(index)).and_then(|pid| local(&pid).ok());
    let Some(found) = found else {
        return 0;
    };
    *pid = found;
    1
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_set_pid_undefined(pid: *mut RawPid) {
    *pid = NONE;
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_is_pid_undefined(pid: *const RawPid) -> c_int {
    c_int::from(*pid == NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid(node: &str, id: u32, creation: u32) -> Vec<u8> {
        let mut writer = Writer::default();
        node::write(&mut writer.bytes, node);
        writer.u32_be(id);
        writer.u32_be(2);
        writer.u32_be(creation);
        writer.bytes
    }

    #[test]
    fn pids_of_several_nodes_are_told_apart_in_any_order() {
        let mut env = HostEnv::new(NONE);
        let nodes = [("a@b", 1), ("a@b", 2), ("a@bc", 1), ("a@b", 1)];
        let large = 1 << ID_BITS;
        for id in [1, 5, 5, large - 1, large, 7, u32::MAX, 1] {
            for (node, creation) in nodes {
                for _ in 0..2 {
                    let bytes = pid(node, id, creation);
                    let mut reader = Reader::new(&bytes);
                    let word = decode(&mut reader, &mut env).unwrap();
                    assert!(reader.is_empty());
                    // SAFETY: a term that was made in the environment, which lives.
                    let found = match unsafe { word::view(word) } {
                        View::Pid(_) => external(word),
                        // SAFETY: as above.
                        View::Boxed(_, boxed) => unsafe { word::bytes(boxed).to_vec() },
                        _ => panic!("it is no pid"),
                    };
                    assert_eq!(found[1..], bytes);
                }
            }
        }
        let bytes = pid("a@b", 1, 1);
        for length in 0..bytes.len() {
            assert!(decode(&mut Reader::new(&bytes[..length]), &mut env).is_err());
        }
    }
}
