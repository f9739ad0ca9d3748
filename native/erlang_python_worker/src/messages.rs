//! What goes to the VM: answers, messages, questions.

use crate::{link, memory, questions, slot, tray};
use erlang_python::remote;
use erlang_python_host::{self as host, Beside};
use erlang_python_wire::frame::answer::{FAILED, PART};
use erlang_python_wire::{Reader, Writer, frame::question, frame::to_vm, tag};
use rustler::sys::enif_get_tuple;
use rustler::{Atom, Env, Term};
use std::any::Any;

rustler::atoms! {
    error,
    panic,
    location,
    held,
}

/// The VM, as what runs here sees it.
pub struct Vm;

impl host::Vm for Vm {
    fn send(&self, to: Term<'_>, message: Term<'_>) -> bool {
        if let Some((reference, Some(term))) = elements(message)
            && let Some(number) = host::request_number(reference)
        {
            return tray::frame(|| answer(number, term));
        }
        tray::frame(|| {
            let mut frame = Writer::frame(to_vm::SEND);
            host::encode(&mut frame, to).is_ok()
                && host::encode(&mut frame, message).is_ok()
                && send(frame, true)
        })
    }

    fn is_atom(&self, name: &str) -> bool {
        let answer = questions::ask(question::IS_ATOM, |frame| {
            frame.u8(tag::BINARY);
            frame.u32_be(name.len() as u32);
            frame.bytes(name.as_bytes());
        });
        is_true(answer)
    }

    fn whereis(&self, name: &str) -> Option<Vec<u8>> {
        let answer = questions::ask(question::WHEREIS, |frame| write_atom(frame, name))?;
        (answer.first() == Some(&tag::NEW_PID)).then_some(answer)
    }

    fn is_alive(&self, pid: &[u8]) -> bool {
        is_true(questions::ask(question::IS_ALIVE, |frame| frame.bytes(pid)))
    }

    fn make_reference(&self) -> Vec<u8> {
        questions::ask(question::MAKE_REFERENCE, |frame| frame.u8(tag::NIL)).unwrap_or_default()
    }

    fn released(&self, kept: &[u64]) {
        numbers(to_vm::RELEASE_KEPT, kept);
    }

    fn beside(&self, number: u64, at: u64, size: u64) -> Option<Beside> {
        memory::part(number, at, size)
    }

    fn put_beside(&self, bytes: &[u8]) -> Option<(u64, u64)> {
        Some((0, tray::put(bytes)?))
    }
}

fn write_atom(frame: &mut Writer, name: &str) {
    match u8::try_from(name.len()) {
        Ok(length) => {
            frame.u8(tag::SMALL_ATOM_UTF8);
            frame.u8(length);
        }
        Err(_) => {
            frame.u8(tag::ATOM_UTF8);
            frame.u16_be(name.len() as u16);
        }
    }
    frame.bytes(name.as_bytes());
}

fn is_true(answer: Option<Vec<u8>>) -> bool {
    let read = |answer: &[u8]| {
        let mut reader = Reader::new(answer);
        let length = match reader.u8().ok()? {
            tag::SMALL_ATOM_UTF8 => usize::from(reader.u8().ok()?),
            tag::ATOM_UTF8 => usize::from(reader.u16_be().ok()?),
            _ => return None,
        };
        Some(reader.bytes(length).ok()? == b"true")
    };
    answer.and_then(|answer| read(&answer)).unwrap_or(false)
}

fn numbers(kind: u8, numbers: &[u64]) {
    let mut frame = Writer::frame(kind);
    frame.u32(numbers.len() as u32);
    for &number in numbers {
        frame.u64(number);
    }
    send(frame, false);
}

/// What a request has come to, or what is told before that.
fn answer(number: u64, term: Term<'_>) -> bool {
    let first = first(term);
    if first == Some(location()) || first == Some(held()) {
        let kind = if first == Some(held()) {
            to_vm::TOLD
        } else {
            to_vm::LOCATION
        };
        let mut frame = Writer::frame(kind);
        frame.u64(number);
        return host::encode(&mut frame, term).is_ok() && link::send(frame);
    }
    let mut flags = if first == Some(error()) { FAILED } else { 0 };
    if remote::is_part() {
        flags |= PART;
    } else if !remote::answered(number) {
        return false;
    }
    let mut frame = Writer::frame(to_vm::ANSWER);
    frame.u64(number);
    frame.u8(flags);
    let begin = frame.bytes.len();
    if host::encode(&mut frame, term).is_ok() && frame.bytes.len() <= erlang_python_wire::MAX_FRAME
    {
        return send(frame, false);
    }
    // It cannot cross.
    tray::give_back();
    frame.bytes.truncate(begin - 1);
    frame.u8(flags | FAILED);
    frame.u8(tag::SMALL_TUPLE);
    frame.u8(2);
    write_atom(&mut frame, "error");
    write_atom(&mut frame, "panic");
    link::send(frame)
}

fn first(term: Term<'_>) -> Option<Atom> {
    let (first, _) = elements(term)?;
    first.decode().ok()
}

/// The first element of a tuple; and the second one, if there are two.
fn elements(tuple: Term<'_>) -> Option<(Term<'_>, Option<Term<'_>>)> {
    let env = tuple.get_env();
    let (mut count, mut elements) = (0, std::ptr::null());
    // SAFETY: a valid term of a valid environment; so many elements are there, which belong to that.
    unsafe {
        if enif_get_tuple(env.as_c_arg(), tuple.as_c_arg(), &mut count, &mut elements) == 0
            || count == 0
        {
            return None;
        }
        let second = (count == 2).then(|| Term::new(env, *elements.add(1)));
        Some((Term::new(env, *elements), second))
    }
}

impl remote::Link for Vm {
    fn reference<'a>(&self, env: Env<'a>, number: u64) -> Term<'a> {
        host::request_reference(env, number)
    }

    fn done(&self, reference: Term<'_>) {
        if let Some(number) = host::request_number(reference)
            && remote::done(number)
        {
            send_number(to_vm::DONE, number);
        }
    }

    fn fill_done(&self, stream: &dyn Any) {
        if let Some(number) = remote::fill_done(stream) {
            send_number(to_vm::DONE, number);
        }
    }

    fn over(&self, callback: u64) {
        send(numbered(to_vm::OVER, callback), true);
    }

    fn ring(&self) {
        link::ring();
    }
}

pub fn send_number(kind: u8, number: u64) {
    link::send(numbered(kind, number));
}

fn numbered(kind: u8, number: u64) -> Writer {
    let mut frame = Writer::frame(kind);
    frame.u64(number);
    frame
}

/// By the shortest way, if the VM looks for such frames there.
fn send(frame: Writer, waits: bool) -> bool {
    slot::put(&frame, waits) || link::send(frame)
}
