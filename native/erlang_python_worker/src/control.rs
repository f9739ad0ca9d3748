//! The thread that reads what the VM sends. It takes no GIL and waits for nothing else.

use crate::link::Incoming;
use crate::{memory, processes, questions, slot, tray};
use erlang_python::remote::{self, Call, Terms};
use erlang_python_host as host;
use erlang_python_wire::frame::to_worker::{self, BESIDE, FOREVER};
use erlang_python_wire::{Broken, Reader, Writer, tag};
use rustler::{Env, LocalPid, OwnedEnv, Term};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Starts it. The process ends when the VM is gone, or is not understood.
pub fn start(mut incoming: Incoming) -> std::io::Result<()> {
    // On the thread that is tied: Linux keeps it for each thread. Should the VM end before the next one reads, that
    // finds the end of the socket.
    processes::untie();
    processes::without_signals(|| {
        std::thread::Builder::new()
            .name("py_control".into())
            .spawn(move || {
                // With START.
                let mut count = 1;
                while let Some((kind, fields, large, descriptor)) = incoming.next() {
                    count += 1;
                    let handle = || {
                        remote::settle();
                        // What comes after a request may come as soon as that runs.
                        if kind == to_worker::RUN && is_outermost(fields) {
                            slot::handled(count);
                        }
                        match descriptor {
                            Some(descriptor) => shared(kind, fields, descriptor),
                            None => handle(kind, fields),
                        }
                    };
                    let handled = catch_unwind(AssertUnwindSafe(|| match large {
                        Some(large) => large.lend(handle),
                        None => handle(),
                    }));
                    slot::handled(count);
                    match handled {
                        Ok(Ok(())) => {}
                        Ok(Err(broken)) => {
                            eprintln!("erlang_python: a frame of kind {kind} is broken: {broken}");
                            break;
                        }
                        // What could not be handled would be waited for.
                        Err(_) => break,
                    }
                }
                processes::end()
            })
    })
    .map(drop)
}

type Result<T> = std::result::Result<T, Broken>;

/// A frame with a descriptor.
fn shared(kind: u8, mut fields: Reader<'_>, descriptor: OwnedFd) -> Result<()> {
    if kind == to_worker::TRAY {
        tray::open(descriptor);
        return Ok(());
    }
    if kind == to_worker::SEGMENT {
        slot::open(&descriptor);
        return Ok(());
    }
    let (number, size) = (fields.u64()?, fields.u64()?);
    memory::add(number, size, fields.u8()? != 0, descriptor)
}

fn handle(kind: u8, mut fields: Reader<'_>) -> Result<()> {
    let fields = &mut fields;
    match kind {
        to_worker::RUN => run(fields),
        to_worker::CANCEL => {
            let (number, listens) = (fields.u64()?, fields.u8()? != 0);
            with_env(|env| {
                remote::cancel(number, listens, host::request_reference(env, number));
                Ok(())
            })
        }
        to_worker::MESSAGE | to_worker::AHEAD => {
            let number = fields.u64()?;
            with_env(|env| {
                let message = host::decode(fields, env)?;
                match kind {
                    to_worker::AHEAD => remote::send_ahead(number, message),
                    _ => remote::send(number, message),
                }
                Ok(())
            })
        }
        to_worker::CALLBACK_ANSWER => {
            let number = fields.u64()?;
            with_env(|env| {
                if let Some(callback) = object(env, tag::object::CALLBACK, number) {
                    remote::callback_answer(callback, host::decode(fields, env)?);
                }
                Ok(())
            })
        }
        to_worker::CALLBACK_DOWN => {
            let number = fields.u64()?;
            with_env(|env| {
                if let Some(callback) = object(env, tag::object::CALLBACK, number) {
                    remote::callback_down(callback);
                }
                Ok(())
            })
        }
        to_worker::RELEASE => {
            let count = fields.u32()? as usize;
            let mut numbers = Vec::new();
            for _ in 0..count {
                numbers.push(fields.u64()?);
            }
            host::release(&numbers);
            Ok(())
        }
        to_worker::REGISTER => with_env(|env| {
            let (name, described) = (host::decode(fields, env)?, host::decode(fields, env)?);
            remote::register(text(name)?, described);
            Ok(())
        }),
        to_worker::UNREGISTER => with_env(|env| {
            remote::unregister(text(host::decode(fields, env)?)?);
            Ok(())
        }),
        to_worker::DEMAND => stream(fields, remote::demand),
        to_worker::CLOSE => stream(fields, remote::close),
        to_worker::FLUSH => {
            let number = fields.u64()?;
            with_env(|env| {
                if let Some(stream) = object(env, tag::object::STREAM, number) {
                    remote::flush(stream);
                }
                Ok(())
            })
        }
        to_worker::REPLY => {
            let number = fields.u64()?;
            questions::answered(number, *fields);
            Ok(())
        }
        to_worker::STOP => {
            remote::stop();
            Ok(())
        }
        to_worker::SERVE => with_env(|env| {
            let (pid, names) = (process(fields, env)?, host::decode(fields, env)?);
            expect(remote::serve_callbacks(pid, names))
        }),
        to_worker::FORGET => {
            memory::forget(fields.u64()?);
            Ok(())
        }
        to_worker::TAKEN => {
            tray::taken(fields.u32()?);
            Ok(())
        }
        to_worker::TRIM => {
            tray::trim();
            Ok(())
        }
        // It has been looked for by now.
        to_worker::NUDGE => Ok(()),
        _ => Err(Broken("there is no such kind")),
    }
}

/// Whether a request is no part of a callback.
fn is_outermost(mut fields: Reader<'_>) -> bool {
    call(&mut fields).is_ok_and(|(_, callback)| callback == 0)
}

fn run(fields: &mut Reader<'_>) -> Result<()> {
    let (call, callback) = call(fields)?;
    with_env(|env| {
        let (terms, caller, leader) = terms(fields, &call, env)?;
        let callback = object(env, tag::object::CALLBACK, callback);
        expect(remote::run(&call, terms, caller, leader, callback))
    })
}

/// What has not come by the socket: a request, or something else, which is done then.
pub fn arrive(frame: &[u8]) -> Result<Option<remote::Arrived>> {
    let mut fields = Reader::new(frame);
    let kind = fields.u8()?;
    if kind != to_worker::RUN && kind != to_worker::RUN_UNTIL {
        return handle(kind, fields).map(|()| None);
    }
    let (mut call, _) = call(&mut fields)?;
    if kind == to_worker::RUN_UNTIL {
        call.timeout = call.timeout.map(remote::left_until);
    }
    with_env(|env| {
        let (terms, caller, leader) = terms(&mut fields, &call, env)?;
        let arrived = remote::arrive(&call, terms, caller, leader);
        Ok(Some(arrived.ok_or(WRONG)?))
    })
}

/// With the number of the callback that it is a part of.
fn call(fields: &mut Reader<'_>) -> Result<(Call, u64)> {
    let number = fields.u64()?;
    let flags = fields.u32()?;
    let timeout = fields.u64()?;
    let callback = fields.u64()?;
    let call = Call {
        number,
        flags,
        timeout: (timeout != FOREVER).then_some(timeout),
        beside: callback & BESIDE != 0,
    };
    Ok((call, callback & !BESIDE))
}

fn terms<'a>(
    fields: &mut Reader<'_>,
    call: &Call,
    env: Env<'a>,
) -> Result<(Terms, Term<'a>, Term<'a>)> {
    let (caller, leader) = (process(fields, env)?, host::decode(fields, env)?);
    let terms = Terms::read(|env| {
        let operation = host::decode(fields, env)?;
        Ok::<_, Broken>((host::request_reference(env, call.number), operation))
    })?;
    Ok((terms, caller, leader))
}

type Ask = fn(u64, Term<'_>, Term<'_>, Option<Term<'_>>, Term<'_>) -> bool;

fn stream(fields: &mut Reader<'_>, ask: Ask) -> Result<()> {
    let (number, stream, callback) = (fields.u64()?, fields.u64()?, fields.u64()?);
    with_env(|env| {
        let consumer = process(fields, env)?;
        let callback = object(env, tag::object::CALLBACK, callback & !BESIDE);
        let stream =
            object(env, tag::object::STREAM, stream).ok_or(Broken("there is no such stream"))?;
        let reference = host::request_reference(env, number);
        expect(ask(number, reference, stream, callback, consumer))
    })
}

fn with_env<R>(work: impl for<'a> FnOnce(Env<'a>) -> R) -> R {
    OwnedEnv::new().run(work)
}

/// A process of the VM, whose node may have got a name since the last one.
pub fn process<'a>(fields: &mut Reader<'_>, env: Env<'a>) -> Result<Term<'a>> {
    let mut again = *fields;
    let pid = host::decode(fields, env)?;
    if pid.decode::<LocalPid>().is_ok() || !host::set_node_of(pid) {
        return Ok(pid);
    }
    host::decode(&mut again, env)
}

fn text(term: Term<'_>) -> Result<&str> {
    term.decode().map_err(|_| Broken("a name is no text"))
}

fn expect(right: bool) -> Result<()> {
    if right { Ok(()) } else { Err(WRONG) }
}

const WRONG: Broken = Broken("its terms are not what they should be");

/// What was exported under this number. None if it is 0, or was released.
fn object(env: Env<'_>, kind: u8, number: u64) -> Option<Term<'_>> {
    if number == 0 {
        return None;
    }
    let mut bytes = Writer::default();
    bytes.u8(tag::OBJECT);
    bytes.u8(kind);
    bytes.u64(number);
    bytes.u64(0);
    host::decode(&mut Reader::new(&bytes.bytes), env).ok()
}
