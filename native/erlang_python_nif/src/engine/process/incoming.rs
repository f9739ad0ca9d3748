//! What a worker process says, on the link's thread. It is not trusted.

use super::ahead;
use super::beside;
use super::callback;
use super::compiled;
use super::decode::{decode, decode_or_leave};
use super::decoding::Decoding;
use super::helping;
use super::link::{Errand, Link, Stage, Unmade};
use super::made;
use super::mail;
use super::opening;
use super::over;
use super::own::Process;
use super::question;
use super::run::{self, Ending};
use super::sent::{self, Sent};
use super::serving;
use super::shown;
use super::turns;
use crate::base::atoms;
use crate::base::term_env::{OwnedTerm, SavedTerm, Sender, TermEnv};
use crate::pool::request::Request;
use crate::pool::stream::{Found, Stream};
use crate::pool::worker::Taker;
use erlang_python_wire::frame::answer::{FAILED, PART};
use erlang_python_wire::frame::{question as kinds, to_vm, to_worker};
use erlang_python_wire::{Broken, Reader, VERSION, Writer, tag};
use rustler::{Atom, Encoder, LocalPid, Term};
use std::sync::Arc;
use std::sync::atomic::Ordering;

type Result<T> = std::result::Result<T, Broken>;

/// Handles a frame, without its length, the one with this number of those that came by the socket.
pub fn numbered(link: &Arc<Link>, bytes: &[u8], number: u64, sender: Sender) -> Result<()> {
    // The next request may be sent by that, to be answered after all that came before.
    let is_end = matches!(bytes.first(), Some(&(to_vm::ANSWER | to_vm::DONE)));
    if is_end {
        link.shared.heard(number);
    }
    frame(link, bytes, sender)?;
    if !is_end {
        link.shared.heard(number);
    }
    Ok(())
}

/// A frame, without its length.
pub fn frame(link: &Arc<Link>, bytes: &[u8], sender: Sender) -> Result<()> {
    let mut reader = Reader::new(bytes);
    let kind = reader.u8()?;
    if link.os_pid.load(Ordering::Relaxed) == 0 && kind != to_vm::HELLO {
        return Err(Broken("it does not say first who it is"));
    }
    match kind {
        to_vm::HELLO => hello(link, &mut reader)?,
        to_vm::READY => opening::ready(link, sender),
        to_vm::FAILED => {
            let mut env = TermEnv::new();
            let reason = term(link, &mut reader, &mut env, None)?;
            let mut reason = env.term(reason);
            if reason.is_binary()
                && let Some(process) = Process::of(&link.pool)
            {
                reason = over::why_not(process, reason);
            }
            opening::fail(link, OwnedTerm::new(reason));
        }
        to_vm::ANSWER => answer(link, &mut reader, sender)?,
        to_vm::DONE => {
            let number = reader.u64()?;
            ahead::notice(link, number)?;
            finish(link, number, Ending::Nothing, sender);
        }
        to_vm::LOCATION => location(link, &mut reader, sender)?,
        to_vm::TOLD => told(link, &mut reader, sender)?,
        to_vm::SEND => send(link, &mut reader, sender)?,
        to_vm::RELEASE_KEPT => {
            let count = reader.u32()? as usize;
            if count > reader.len() / 8 {
                return Err(Broken("it has fewer numbers than it says"));
            }
            let mut numbers = Vec::with_capacity(count);
            for _ in 0..count {
                numbers.push(reader.u64()?);
            }
            link.release_kept(numbers.into_iter());
        }
        to_vm::QUESTION => question(link, &mut reader)?,
        to_vm::OVER => {
            let number = reader.u64()?;
            if let Some(callback) = link.remove_callback(number) {
                callback.over(sender);
            }
        }
        to_vm::FREE => {
            let number = reader.u64()?;
            link.beside.free(link, number)?;
            beside::used(link);
        }
        to_vm::COMPILED => keep_compiled(link, reader.bytes(reader.len())?)?,
        _ => return Err(Broken("a frame is of an unknown kind")),
    }
    if link.tray.was_read() {
        link.send(link.tray.taken());
        beside::used(link);
    }
    reader.end()
}

/// The next term, in this environment.
fn term(
    link: &Arc<Link>,
    reader: &mut Reader<'_>,
    env: &mut TermEnv,
    request: Option<&Arc<Request>>,
) -> Result<SavedTerm> {
    let objects = Decoding {
        link,
        request,
        is_hold: false,
    };
    decode(env.env(), reader, &objects).map(SavedTerm::save)
}

fn hello(link: &Arc<Link>, reader: &mut Reader<'_>) -> Result<()> {
    let version = reader.u32()?;
    let pid = reader.u64()?;
    if version != VERSION {
        return Err(Broken("it is of another version of erlang_python"));
    }
    if pid == 0 || link.os_pid.swap(pid, Ordering::AcqRel) != 0 {
        return Err(Broken("it says more than once who it is"));
    }
    // Which Python it is.
    term(link, reader, &mut TermEnv::new(), None)?;
    // A template knows the rest from its arguments.
    if link.wear.is_template {
        serving::start_template(link);
        return Ok(());
    }
    serving::start(link);
    if let Some((frame, file)) = link.tray.open() {
        link.send_with(frame, file);
    }
    if let Some(file) = link.shared.open() {
        link.send_with(Writer::frame(to_worker::SEGMENT), Arc::new(file));
    }
    link.kick.kick();
    Ok(())
}

/// From when it runs the first request on, it may be anybody who says so.
fn keep_compiled(link: &Link, bytes: &[u8]) -> Result<()> {
    if link.stage() >= Stage::Opening {
        return Err(Broken("it says too late what it has compiled"));
    }
    if let Some(process) = Process::of(&link.pool) {
        compiled::keep(&process.way, bytes);
    }
    Ok(())
}

fn answer(link: &Arc<Link>, reader: &mut Reader<'_>, sender: Sender) -> Result<()> {
    let number = reader.u64()?;
    let flags = reader.u8()?;
    ahead::notice(link, number)?;
    let request = link.request(number);
    let mut env = TermEnv::new();
    let objects = Decoding {
        link,
        request: request.as_ref(),
        is_hold: false,
    };
    let is_result = flags == 0
        && request
            .as_ref()
            .is_some_and(|own| Stream::of(own).is_none());
    let answer = if is_result {
        match decode_or_leave(env.env(), reader, &objects)?.map(SavedTerm::save) {
            Some(answer) => answer,
            None => return left(link, number, reader, sender),
        }
    } else {
        decode(env.env(), reader, &objects).map(SavedTerm::save)?
    };
    let Some(request) = request else {
        return Ok(());
    };
    if flags & PART != 0 {
        if let Some(stream) = Stream::of(&request) {
            stream.take_part(sender, &mut env, answer);
        }
        return Ok(());
    }
    if let Some(stream) = Stream::of(&request) {
        // It counts when the chunk has been delivered.
        stream.lock().found = found(env.term(answer));
    }
    if flags & FAILED != 0 {
        turns::note_failure(link, env.term(answer), sender);
    }
    let ending = Ending::Answer(env, answer, flags & FAILED != 0);
    finish(link, number, ending, sender);
    Ok(())
}

/// The answer is made by a scheduler. The worker has ended the request all the same.
fn left(link: &Arc<Link>, number: u64, reader: &mut Reader<'_>, sender: Sender) -> Result<()> {
    let term = reader.bytes(reader.len())?;
    if let Some(request) = link.end(number) {
        let bytes = [&[tag::VERSION], term].concat();
        made::leave(link, Unmade { request, bytes }, sender);
    }
    Ok(())
}

/// What a chunk says of its iterator.
fn found(answer: Term<'_>) -> Found {
    let Ok((_ok, chunk)) = answer.decode::<(Atom, Term)>() else {
        return Found::More;
    };
    match sent::tag(chunk) {
        Some(tag) if tag == atoms::done() => Found::End,
        Some(tag) if tag == atoms::failed() => Found::Failure,
        _ => Found::More,
    }
}

/// The end of a request, and the beginning of the next.
fn finish(link: &Arc<Link>, number: u64, ending: Ending, sender: Sender) {
    // One that nobody knows was answered before.
    if let Some(request) = link.end(number) {
        settle(link, &request, ending, sender);
    }
}

/// The same of a request that is taken from the link.
pub fn settle(link: &Arc<Link>, request: &Arc<Request>, ending: Ending, sender: Sender) {
    // The end of its `:init` has it take requests by itself.
    let was_ready = link.stage() == Stage::Ready;
    run::end(link, request, ending, sender);
    if was_ready || run::is_nested(request) {
        go_on(link, request, sender);
    }
}

/// What comes after a request that has ended.
pub fn go_on(link: &Arc<Link>, request: &Arc<Request>, sender: Sender) {
    if run::is_nested(request) {
        // It was free for others before, or it still waits for what that was a part of.
        link.pool.ask_for_help();
        turns::end_if_left(link);
    } else if link.stage() == Stage::Ready {
        Arc::clone(link).take(sender);
        // What it has begun with by itself may have called Elixir before the end of this one was known: nobody could
        // help then.
        link.pool.ask_for_help();
    }
}

/// File, line and function, and the text of the line: the file is one that the worker sees.
type Shown = (String, i64, String, Option<String>);

fn location(link: &Arc<Link>, reader: &mut Reader<'_>, sender: Sender) -> Result<()> {
    let request = link.request(reader.u64()?);
    let mut env = TermEnv::new();
    let location = term(link, reader, &mut env, request.as_ref())?;
    if let Some(request) = request
        && let Some(body) = request.body()
    {
        let place: Option<(Atom, Shown)> = env.term(location).decode().ok();
        let place = place.map(|(_, place)| place);
        let found = place
            .clone()
            .map(|(file, line, name, _)| (file, line, name));
        request.stuck.found(found.as_ref());
        request.tell_location(&body, sender, &mut env, |env| match &place {
            Some(place) => (atoms::location(), place).encode(env),
            None => (atoms::location(), atoms::none()).encode(env),
        });
    }
    Ok(())
}

fn told(link: &Arc<Link>, reader: &mut Reader<'_>, sender: Sender) -> Result<()> {
    ahead::notice_taken(link);
    let request = link.request(reader.u64()?);
    let env = TermEnv::new();
    let objects = Decoding {
        link,
        request: request.as_ref(),
        is_hold: true,
    };
    let message = SavedTerm::save(decode(env.env(), reader, &objects)?);
    if let Some(request) = request {
        request.enter_body();
        // Should nobody listen, the callback in it goes, which the worker is told.
        request.tell(sender, |to| env.term(message).in_env(to));
    }
    make_way(link, sender);
    Ok(())
}

fn send(link: &Arc<Link>, reader: &mut Reader<'_>, sender: Sender) -> Result<()> {
    ahead::notice_taken(link);
    let mut env = TermEnv::new();
    let to = term(link, reader, &mut env, None)?;
    let message = term(link, reader, &mut env, None)?;
    let to: LocalPid = env
        .term(to)
        .decode()
        .map_err(|_| Broken("it sends to what is no process"))?;
    // What is sent to nobody is freed, and the callback in it ends.
    env.send(sender, &to, |env| message.load(env));
    // It may be a callback, and what that waits for may wait itself.
    make_way(link, sender);
    helping::serve(link, sender);
    Ok(())
}

/// What lies with a worker that waits for Elixir is for others, or for itself if there are none.
fn make_way(link: &Arc<Link>, sender: Sender) {
    if link.waits() {
        ahead::give_all_back(link, sender);
        // When it was counted as one that waits, it could not be found yet.
        link.pool.ask_for_help();
    }
}

fn question(link: &Arc<Link>, reader: &mut Reader<'_>) -> Result<()> {
    let number = reader.u64()?;
    let kind = reader.u8()?;
    let mut env = TermEnv::new();
    let asked = term(link, reader, &mut env, None)?;
    let answer = question::answer(env.env(), kind, env.term(asked))?;
    let mut frame = Writer::frame(to_worker::REPLY);
    frame.u64(number);
    if kind == kinds::MAKE_REFERENCE {
        // As it is: nothing that the VM has to keep.
        frame.bytes(answer.to_binary().get(1..).unwrap_or_default());
        link.send(frame);
    } else if let Ok(encoded) = sent::encode(answer) {
        link.send_terms(frame, &[&encoded]);
    }
    Ok(())
}

/// What others have left to the thread.
pub fn errand(link: &Arc<Link>, errand: Errand) {
    match errand {
        Errand::Send(request, callback) => {
            run::send(link, &request, callback);
        }
        Errand::Answer(number, answer) => callback::send_answer(link, number, &answer),
        Errand::Tidy => beside::tidy(link),
        Errand::Forget(shown) => shown::send_forget(link, &shown),
        Errand::Mail(Some(request)) => {
            let sent = Sent::of(&request).filter(|sent| sent.is_asked() && link.is_at(sent.number));
            if let Some(sent) = sent {
                mail::send(link, to_worker::MESSAGE, sent.number, &request.mailbox);
            }
            link.mailed();
        }
        Errand::Mail(None) => {
            if link.stage() == Stage::Ready {
                mail::send(link, to_worker::MESSAGE, 0, &link.pool.mailbox);
            }
            link.mailed();
        }
    }
}
