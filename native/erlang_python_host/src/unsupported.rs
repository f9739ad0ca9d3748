//! The rest of the interface: what needs a VM, and memory. The former fails, in the way that its documentation says.
//! It is here so that a library that names it, as rustler does, can be loaded.

use crate::env::{HostEnv, enif_make_badarg};
use crate::sequence;
use crate::word::Word;
use std::alloc::{Layout, alloc, dealloc, realloc};
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ptr;

/// Before the memory: its size.
const ALIGN: usize = 16;

fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size.checked_add(ALIGN)?, ALIGN).ok()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_alloc(size: usize) -> *mut c_void {
    let Some(layout) = layout(size) else {
        return ptr::null_mut();
    };
    let memory = alloc(layout);
    if memory.is_null() {
        return ptr::null_mut();
    }
    memory.cast::<usize>().write(size);
    memory.add(ALIGN).cast()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_free(memory: *mut c_void) {
    if !memory.is_null() {
        let memory = memory.cast::<u8>().sub(ALIGN);
        if let Some(layout) = layout(memory.cast::<usize>().read()) {
            dealloc(memory, layout);
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_realloc(memory: *mut c_void, size: usize) -> *mut c_void {
    if memory.is_null() {
        return enif_alloc(size);
    }
    let memory = memory.cast::<u8>().sub(ALIGN);
    let (Some(old), Some(new)) = (layout(memory.cast::<usize>().read()), layout(size)) else {
        return ptr::null_mut();
    };
    let memory = realloc(memory, old, new.size());
    if memory.is_null() {
        return ptr::null_mut();
    }
    memory.cast::<usize>().write(size);
    memory.add(ALIGN).cast()
}

/// No library here has any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_priv_data(_env: *mut HostEnv) -> *mut c_void {
    ptr::null_mut()
}

/// Nobody waits for the thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_consume_timeslice(_env: *mut HostEnv, _percent: c_int) -> c_int {
    0
}

/// Written as zeros: no version of a VM, no schedulers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_system_info(info: *mut c_void, size: usize) {
    info.cast::<u8>().write_bytes(0, size);
}

/// For at most three elements: further arguments are where Rust cannot read them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_tuple(
    env: *mut HostEnv,
    count: c_uint,
    first: Word,
    second: Word,
    third: Word,
) -> Word {
    match [first, second, third].get(..count as usize) {
        Some(elements) => sequence::enif_make_tuple_from_array(env, elements.as_ptr(), count),
        None => enif_make_badarg(env),
    }
}

/// As `enif_make_tuple`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_make_list(
    env: *mut HostEnv,
    count: c_uint,
    first: Word,
    second: Word,
    third: Word,
) -> Word {
    match [first, second, third].get(..count as usize) {
        Some(elements) => sequence::enif_make_list_from_array(env, elements.as_ptr(), count),
        None => enif_make_badarg(env),
    }
}

/// Functions that only fail: what they return then.
macro_rules! failing {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) -> $result:ty = $value:expr;)*) => {
        $(
            $(#[$doc])*
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($argument: $type),*) -> $result {
                $(let _ = $argument;)*
                $value
            }
        )*
    };
}

type Env = *mut HostEnv;
type Any = *mut c_void;

failing! {
    enif_fprintf(file: Any, format: *const c_char) -> c_int = -1;
    enif_get_string(env: Env, list: Word, buffer: *mut c_char, length: c_uint, encoding: c_int) -> c_int = 0;
    enif_get_string_length(env: Env, list: Word, length: *mut c_uint, encoding: c_int) -> c_int = 0;
    enif_dlopen(library: *const c_char, handler: Any, argument: Any) -> Any = ptr::null_mut();
    enif_dlsym(library: Any, symbol: *const c_char, handler: Any, argument: Any) -> Any = ptr::null_mut();
    enif_getenv(key: *const c_char, value: *mut c_char, size: *mut usize) -> c_int = 1;
    enif_is_port_alive(env: Env, port: Any) -> c_int = 0;
    enif_get_local_port(env: Env, term: Word, port: Any) -> c_int = 0;
    enif_whereis_port(env: Env, name: Word, port: Any) -> c_int = 0;
    enif_port_command(env: Env, port: Any, message_env: Env, message: Word) -> c_int = 0;
    enif_select(env: Env, event: c_int, flags: c_int, object: Any, pid: *const Word, reference: Word) -> c_int = -1;
    enif_select_x(env: Env, event: c_int, flags: c_int, object: Any, pid: *const Word, message: Word, message_env: Env) -> c_int = -1;
    enif_dynamic_resource_call(env: Env, module: Word, name: Word, resource: Word, data: Any) -> c_int = 1;
    enif_set_option(env: Env, option: c_int) -> c_int = 1;
    enif_ioq_create(options: c_int) -> Any = ptr::null_mut();
    enif_ioq_destroy(queue: Any) -> () = ();
    enif_ioq_enq_binary(queue: Any, binary: Any, skip: usize) -> c_int = 0;
    enif_ioq_enqv(queue: Any, vector: Any, skip: usize) -> c_int = 0;
    enif_ioq_size(queue: Any) -> usize = 0;
    enif_ioq_deq(queue: Any, count: usize, size: *mut usize) -> c_int = 0;
    enif_ioq_peek(queue: Any, length: *mut c_int) -> Any = ptr::null_mut();
    enif_ioq_peek_head(env: Env, queue: Any, size: *mut usize, head: *mut Word) -> c_int = 0;
    enif_inspect_iovec(env: Env, longest: usize, term: Word, tail: *mut Word, vector: *mut Any) -> c_int = 0;
    enif_free_iovec(vector: Any) -> () = ();
}
