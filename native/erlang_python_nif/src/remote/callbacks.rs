//! Functions of Elixir that Python calls from this process.

use super::requests;
use crate::base::server;
use crate::engine::main::callback::{Callback, CallbackHandle};
use crate::engine::main::registered;
use rustler::{LocalPid, ResourceArc, Term};
use std::ffi::c_void;
use std::sync::Arc;

/// The process of the VM that callbacks are sent to, and what is registered. False if the terms are not what they
/// should be.
pub fn serve_callbacks(pid: Term<'_>, names: Term<'_>) -> bool {
    let (Ok(pid), Ok(names)) = (
        pid.decode::<LocalPid>(),
        names.decode::<Vec<(String, Term<'_>)>>(),
    ) else {
        return false;
    };
    registered::set_registered(names);
    server::set(pid);
    true
}

/// A function is registered.
pub fn register(name: &str, described: Term<'_>) {
    registered::register(name, described);
}

pub fn unregister(name: &str) {
    registered::unregister(name);
}

/// `{:ok, value}` or `{:error, reason}`.
pub fn callback_answer(callback: Term<'_>, answer: Term<'_>) {
    if let Some(callback) = of_term(callback) {
        callback.answer(answer);
    }
}

/// Nobody will answer.
pub fn callback_down(callback: Term<'_>) {
    if let Some(callback) = of_term(callback) {
        callback.down();
    }
}

fn of_term(callback: Term<'_>) -> Option<Arc<Callback>> {
    let handle = callback.decode::<ResourceArc<CallbackHandle>>().ok()?;
    Some(Arc::clone(&handle.0))
}

/// The name of the resource type of callbacks.
pub fn callbacks() -> &'static str {
    std::any::type_name::<CallbackHandle>()
}

/// A callback leaves for the VM, which is to know it by this number. Gives the number of the request that it is for,
/// or 0.
///
/// # Safety
///
/// `content`: what `enif_get_resource` gives for it, which somebody holds.
pub unsafe fn callback_left(content: *const c_void, number: u64) -> u64 {
    // rustler puts it behind the first address that is aligned, or at the next if that is the first.
    let align = align_of::<CallbackHandle>();
    let offset = align - content as usize % align;
    // SAFETY: as this function demands.
    let handle = unsafe { &*content.byte_add(offset).cast::<CallbackHandle>() };
    handle.0.set_number(number);
    let request = handle.0.request();
    request
        .and_then(|request| requests::number_of(&request))
        .unwrap_or(0)
}
