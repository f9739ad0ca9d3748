//! The life of the process.

use crate::link::Incoming;
use crate::messages::Vm;
use crate::{control, descriptors, limits, link, processes};
use erlang_python::remote::{self, Compiled, End, Settings};
use erlang_python_host as host;
use erlang_python_wire::frame::{to_vm, to_worker};
use erlang_python_wire::{VERSION, Writer, tag};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rustler::{Encoder, LocalPid, OwnedEnv, Term};
use std::ffi::c_void;
use std::os::fd::{AsRawFd, IntoRawFd};

rustler::atoms! {
    version,
    executable,
    prefix,
    limits_ = "limits",
    server,
    home,
    registered,
    largest_integer,
    preload,
}

static VM: Vm = Vm;

/// Works for the VM at the other end of standard input, until it says that this is enough. For the main thread.
/// Returns what is to be done then: a code for `erlang._exit.run`.
/// `is_forked`: from a template, which has made what comes before that.
#[pyfunction]
#[pyo3(signature = (is_forked = false))]
pub fn serve(py: Python<'_>, is_forked: bool) -> PyResult<()> {
    processes::tie();
    let socket = descriptors::take_socket()?;
    report_faults(py)?;
    link::open(socket)?;
    if !is_forked {
        load()?;
    }
    let hello = hello(py)?;
    link::send(hello);
    let mut incoming = Incoming::default();
    // All that is made now stays: to look through it takes a tenth of the start.
    let gc = py.import("gc")?;
    let collects = gc.call_method0("isenabled")?.is_truthy()?;
    gc.call_method0("disable")?;
    let started = py.detach(|| start(&mut incoming, is_forked));
    if collects {
        gc.call_method0("enable")?;
    }
    let modules = match started {
        Ok(modules) => modules,
        Err(text) => return fail(&text),
    };
    if !is_forked && let Some(compiled) = remote::compiled(py)? {
        let mut frame = Writer::frame(to_vm::COMPILED);
        frame.bytes(&compiled);
        link::send(frame);
    }
    incoming.shrink();
    remote::tidy();
    for module in modules {
        if let Err(error) = py.import(module.as_str()) {
            return fail(&format!("{module} cannot be preloaded: {error}"));
        }
    }
    control::start(incoming)?;
    crate::template::await_guard();
    link::send(Writer::frame(to_vm::READY));
    let code = match py.detach(remote::serve) {
        End::Closed => py.None(),
        End::Exit(code) => code,
    };
    let given_up = wrap_pyfunction!(has_given_up_all, py)?;
    let leave = wrap_pyfunction!(leave, py)?;
    py.import("erlang._exit")?
        .call_method1("run", (code, given_up, leave))?;
    Ok(())
}

/// Ends the process, and what was started from it.
#[pyfunction]
fn leave(status: i32) {
    remote::kill_all();
    // SAFETY: it does not return. The interpreter is not finalised: see `erlang._exit`.
    unsafe { libc::_exit(status) }
}

/// Whether nothing waits for its finalizer.
#[pyfunction]
fn has_given_up_all() -> bool {
    remote::has_given_up_all()
}

/// A crash is told where the VM reads, wherever Python code sends its errors.
fn report_faults(py: Python<'_>) -> PyResult<()> {
    if let Some(errors) = descriptors::take_errors() {
        let faulthandler = py.import("faulthandler")?;
        faulthandler.call_method1("enable", (errors.as_raw_fd(),))?;
        // As long as the process lives.
        let _ = errors.into_raw_fd();
    }
    Ok(())
}

/// Makes the native library that the VM has one of this process.
pub fn load() -> PyResult<()> {
    host::set_vm(&VM);
    remote::set_worker(&VM);
    host::describe_type(
        &remote::HANDLES.to_string_lossy(),
        tag::object::HANDLE,
        None,
    );
    host::describe_type(
        remote::callbacks(),
        tag::object::CALLBACK,
        Some(of_callback),
    );
    host::describe_type(remote::streams(), tag::object::STREAM, None);
    let entry = erlang_python::entry::new(c"erlang_python", erlang_python::register);
    // SAFETY: the entry of a library that is linked in.
    let library =
        unsafe { host::Library::load(entry, |env| false.encode(env)) }.map_err(|error| {
            PyRuntimeError::new_err(format!("the native library cannot be used: {error}"))
        })?;
    std::mem::forget(library);
    Ok(())
}

fn of_callback(content: *const c_void, number: u64) -> u64 {
    // SAFETY: the host calls it with what is about to leave.
    unsafe { remote::callback_left(content, number) }
}

pub fn hello(py: Python<'_>) -> PyResult<Writer> {
    let sys = py.import("sys")?;
    let text = |name: &str| -> PyResult<String> {
        let value = sys.getattr(name)?;
        Ok(if value.is_none() {
            String::new()
        } else {
            value.str()?.to_string()
        })
    };
    let info = py.version_info();
    let texts = [
        (
            version(),
            format!("{}.{}.{}", info.major, info.minor, info.patch),
        ),
        (executable(), text("executable")?),
        (prefix(), text("prefix")?),
    ];
    let mut frame = Writer::frame(to_vm::HELLO);
    frame.u32(VERSION);
    frame.u64(u64::from(std::process::id()));
    OwnedEnv::new().run(|env| {
        let (keys, values): (Vec<_>, Vec<_>) = texts
            .iter()
            .map(|(key, value)| (key.to_term(env), value.encode(env)))
            .unzip();
        let map = Term::map_from_term_arrays(env, &keys, &values).expect("the keys differ");
        let _ = host::encode(&mut frame, map);
    });
    Ok(frame)
}

/// Waits for the settings, and prepares the interpreter by them. Returns which modules are to be imported. Where it was
/// forked from a template, they are there.
fn start(incoming: &mut Incoming, is_forked: bool) -> Result<Vec<String>, String> {
    let (kind, mut fields, ..) = incoming.next().unwrap_or_else(|| processes::end());
    if kind == to_worker::STOP {
        // It is not needed any more, before it has begun.
        processes::end();
    }
    if kind != to_worker::START {
        return Err(format!("expected the frame START, got: {kind}"));
    }
    let broken = |broken| format!("the settings are broken: {broken}");
    let size = fields.u32().map_err(broken)? as usize;
    let before = fields.bytes(size).map_err(broken)?;
    let compiled = if is_forked {
        Compiled::Forked
    } else {
        Compiled::Before(before.to_vec())
    };
    OwnedEnv::new().run(|env| {
        let again = fields;
        let map = host::decode(&mut fields, env).map_err(broken)?;
        // Until it is known which node is the VM's, its processes are those of others.
        for pid in [server(), home()] {
            if let Ok(pid) = map.map_get(pid) {
                host::set_node_of(pid);
            }
        }
        let map = host::decode(&mut { again }, env).map_err(broken)?;
        if let Ok(bytes) = map
            .map_get(largest_integer())
            .and_then(|size| size.decode())
        {
            host::set_largest_integer(bytes);
        }
        if let Ok(limits) = map.map_get(limits_()) {
            limits::apply(limits)?;
        }
        prepare(map, compiled)?;
        let modules = map.map_get(preload()).ok();
        Ok(modules
            .and_then(|modules| modules.decode().ok())
            .unwrap_or_default())
    })
}

fn prepare(map: Term<'_>, compiled: Compiled) -> Result<(), String> {
    let settings: Settings<'_> = map
        .decode()
        .map_err(|_| "the settings are not what they should be".to_string())?;
    let server = map.map_get(server()).ok();
    let owner = server.and_then(|server| server.decode::<LocalPid>().ok());
    let owner = owner.ok_or("the settings name no process for callbacks")?;
    remote::start(settings, owner, compiled)?;
    if let (Some(server), Ok(names)) = (
        server.filter(|server| server.is_pid()),
        map.map_get(registered()),
    ) {
        remote::serve_callbacks(server, names);
    }
    Ok(())
}

/// Tells the VM why nothing comes of it.
fn fail(text: &str) -> PyResult<()> {
    let mut frame = Writer::frame(to_vm::FAILED);
    OwnedEnv::new().run(|env| {
        let _ = host::encode(&mut frame, text.encode(env));
    });
    link::send(frame);
    Err(PyRuntimeError::new_err(text.to_string()))
}
