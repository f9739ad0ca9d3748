//! What a worker process asks of the VM. On the link's thread, which is none of the VM's.

use crate::base::atoms;
use crate::base::name;
use erlang_python_wire::Broken;
use erlang_python_wire::frame::question;
use rustler::sys::{ErlNifPid, enif_is_process_alive, enif_whereis_pid};
use rustler::{Encoder, Env, LocalPid, Term};
use std::mem::MaybeUninit;
use std::ptr;

/// What is said to a question.
pub fn answer<'a>(env: Env<'a>, kind: u8, asked: Term<'a>) -> Result<Term<'a>, Broken> {
    Ok(match kind {
        question::IS_ATOM => match asked.decode::<&str>() {
            Ok(text) => name::existing_atom(env, text).is_some().encode(env),
            Err(_) => false.encode(env),
        },
        question::WHEREIS => match whereis(asked) {
            Some(pid) => pid.encode(env),
            None => atoms::nil().to_term(env),
        },
        question::IS_ALIVE => {
            let pid = asked.decode::<LocalPid>();
            pid.is_ok_and(|pid| is_alive(env, &pid)).encode(env)
        }
        question::MAKE_REFERENCE => (*env.make_ref()).encode(env),
        _ => return Err(Broken("it asks what nobody knows")),
    })
}

fn whereis(name: Term<'_>) -> Option<LocalPid> {
    if !name.is_atom() {
        return None;
    }
    let mut pid = MaybeUninit::<ErlNifPid>::uninit();
    // SAFETY: no environment, as this is no thread of the VM's; an atom, which belongs to none. The pid is written if
    // there is such a process.
    unsafe {
        let found = enif_whereis_pid(ptr::null_mut(), name.as_c_arg(), pid.as_mut_ptr());
        (found != 0).then(|| LocalPid::from_c_arg(pid.assume_init()))
    }
}

fn is_alive(env: Env<'_>, pid: &LocalPid) -> bool {
    // SAFETY: a valid environment and the pid of a local process.
    unsafe { enif_is_process_alive(env.as_c_arg(), pid.as_c_arg()) != 0 }
}
