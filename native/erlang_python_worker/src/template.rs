//! A process that has imported what workers are to have, such as the modules of the option `:preload`, and from which they
//! are forked.
//!
//! It has one thread, for a forked process would have no other, and locks that those hold would stay locked. The package
//! `erlang` is imported here and prepares nothing: each forked process comes up as one that was started by itself.

use crate::descriptors;
use crate::receiving::receive;
use crate::serve::{hello, load};
use erlang_python::remote;
use erlang_python_host as host;
use erlang_python_wire::frame::{to_vm, to_worker};
use erlang_python_wire::{Reader, Writer, writer::LENGTH};
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use rustler::{Encoder, OwnedEnv};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::io::{Error, ErrorKind};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The descriptors of a worker: its socket, its output, its errors, and the socket of its guard.
const HANDED: usize = 4;

/// How long threads are waited for that are about to end: before Python's hooks for a fork, and after all hooks. Those
/// that only end for a fork do not end before that.
const BEFORE: Duration = Duration::from_millis(20);
const AFTER: Duration = Duration::from_millis(100);

/// What a guard exits with that cannot be started.
const NOT_STARTED: i32 = 127;

static SOCKET: AtomicI32 = AtomicI32::new(-1);

/// In a worker: closed when its guard has begun to be that.
static GUARD: AtomicI32 = AtomicI32::new(-1);

/// How many threads there were when the last process was forked.
static THREADS: AtomicUsize = AtomicUsize::new(1);

/// Takes the place of `serve` in a template, before anything is imported. Returns what is known of compiled code.
#[pyfunction]
pub fn template_begin(py: Python<'_>) -> PyResult<Cow<'static, [u8]>> {
    let socket = descriptors::take_socket()?;
    // The first one that is registered is called last: libraries that end their threads for a fork have done so.
    // SAFETY: the function lives as long as the process.
    if unsafe { libc::pthread_atfork(Some(count_threads), None, None) } != 0 {
        return Err(PyRuntimeError::new_err("forks cannot be told"));
    }
    let frame = hello(py)?;
    SOCKET.store(socket.as_raw_fd(), Ordering::Release);
    std::mem::forget(socket);
    send(frame);
    match Requests::default().compiled() {
        Some(compiled) => Ok(compiled.into()),
        // SAFETY: it does not return. Nothing was begun that would have to be ended.
        None => unsafe { libc::_exit(0) },
    }
}

/// Imports the package `erlang`, which the workers have from here. `folder`: where it is.
#[pyfunction]
pub fn template_import(py: Python<'_>, folder: &str, compiled: Vec<u8>) -> PyResult<()> {
    load()?;
    remote::import(py, folder, compiled)
}

/// Tells the VM what was compiled. The loader of the package knows it still.
#[pyfunction]
pub fn template_compiled(py: Python<'_>) -> PyResult<()> {
    let package = py.import("erlang")?;
    let known = package.getattr("_known")?;
    if let Some(compiled) = remote::compiled(py)? {
        let mut frame = Writer::frame(to_vm::COMPILED);
        frame.bytes(&compiled);
        send(frame);
    }
    package.setattr("_known", known)
}

/// How many threads this process has.
#[pyfunction]
pub fn template_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").map(Iterator::count);
    tasks.unwrap_or(1)
}

/// Whether processes can be forked from this one: tries it twice, as after the first fork threads may be started.
#[pyfunction]
pub fn template_can_fork(py: Python<'_>) -> PyResult<bool> {
    Ok(tries_to_fork(py)? && tries_to_fork(py)?)
}

fn tries_to_fork(py: Python<'_>) -> PyResult<bool> {
    let child = fork(py)?;
    if child == 0 {
        // SAFETY: it does not return.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: a child that nobody else waits for.
    unsafe { libc::waitpid(child, ptr::null_mut(), 0) };
    Ok(is_alone())
}

/// Tells the VM why nothing comes of it.
#[pyfunction]
pub fn template_fail(text: &str) {
    let mut frame = Writer::frame(to_vm::FAILED);
    OwnedEnv::new().run(|env| {
        let _ = host::encode(&mut frame, text.encode(env));
    });
    send(frame);
}

/// Forks a worker whenever the VM asks for one. Returns in these. `guard`: the program between the VM and a worker.
#[pyfunction]
pub fn template_serve(py: Python<'_>, guard: &str) -> PyResult<()> {
    let guard = CString::new(guard)?;
    send(Writer::frame(to_vm::READY));
    let mut requests = Requests::default();
    let mut guards = Vec::new();
    loop {
        let Some(handed) = requests.next() else {
            // SAFETY: it does not return. Nothing was begun that would have to be ended.
            unsafe { libc::_exit(0) };
        };
        // SAFETY: children that nobody else waits for.
        guards.retain(|&pid| unsafe { libc::waitpid(pid, ptr::null_mut(), libc::WNOHANG) } == 0);
        match fork(py)? {
            0 => {
                if !is_alone() {
                    // SAFETY: it does not return.
                    unsafe { libc::_exit(NOT_STARTED) };
                }
                let [socket, output, errors, of_guard] = handed;
                become_guard_or_worker(&guard, of_guard);
                close(SOCKET.swap(-1, Ordering::AcqRel));
                for (at, descriptor) in [socket, output, errors].iter().enumerate() {
                    // SAFETY: open descriptors.
                    unsafe { libc::dup2(descriptor.as_raw_fd(), at as RawFd) };
                }
                // SAFETY: the process is a child, and the thread that has forked.
                unsafe { ffi::PyOS_AfterFork_Child() };
                return Ok(());
            }
            child => {
                guards.push(child);
                if !is_alone() {
                    eprintln!("erlang_python: a preloaded module has started a thread since");
                    // SAFETY: it does not return.
                    unsafe { libc::_exit(1) };
                }
            }
        }
    }
}

/// As `os.fork`, but that the child has not told Python yet.
fn fork(_py: Python<'_>) -> PyResult<libc::pid_t> {
    threads_after(BEFORE);
    // SAFETY: the GIL is held, and each is told what it asks for: the child by who calls this, or it runs no Python.
    let child = unsafe {
        ffi::PyOS_BeforeFork();
        let child = libc::fork();
        if child != 0 {
            ffi::PyOS_AfterFork_Parent();
        }
        child
    };
    match child {
        -1 => Err(Error::last_os_error().into()),
        child => Ok(child),
    }
}

/// How many threads there are when others have ended, or so much time has passed: those that have come to their end are
/// there for a moment more.
fn threads_after(longest: Duration) -> usize {
    let begun = Instant::now();
    let mut threads = template_threads();
    while threads > 1 && begun.elapsed() < longest {
        std::thread::sleep(Duration::from_micros(100));
        threads = template_threads();
    }
    threads
}

unsafe extern "C" fn count_threads() {
    THREADS.store(threads_after(AFTER), Ordering::Relaxed);
}

fn is_alone() -> bool {
    THREADS.load(Ordering::Relaxed) == 1
}

/// For a worker that is about to be ready: waits for its guard. Before that, it would end with the template.
pub fn await_guard() {
    let guard = GUARD.swap(-1, Ordering::AcqRel);
    if guard >= 0 {
        let mut look = libc::pollfd {
            fd: guard,
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one descriptor, of ours. A signal may end it early, which does no harm.
        unsafe { libc::poll(&mut look, 1, -1) };
        close(guard);
    }
}

/// Forks once more. The worker is the child, and returns; its parent becomes the guard of it, as a program.
fn become_guard_or_worker(guard: &CStr, socket: OwnedFd) {
    // SAFETY: there is one thread. Only functions are called that may be in a child.
    unsafe {
        // A group of its own: the template's ends with that.
        libc::setpgid(0, 0);
        #[cfg(target_os = "linux")]
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
        let mut begins = [-1; 2];
        #[cfg(target_os = "linux")]
        libc::pipe2(begins.as_mut_ptr(), libc::O_CLOEXEC);
        let worker = libc::fork();
        if worker == 0 {
            libc::setpgid(0, 0);
            close(begins[1]);
            GUARD.store(begins[0], Ordering::Release);
            return;
        }
        libc::setpgid(worker, worker);
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        libc::dup2(socket.as_raw_fd(), 0);
        libc::dup2(null, 1);
        libc::dup2(null, 2);
        close(null);
        let number = CString::new(worker.to_string()).unwrap_or_default();
        let arguments = [
            guard.as_ptr(),
            c"--of".as_ptr(),
            number.as_ptr(),
            ptr::null(),
        ];
        if worker > 0 {
            libc::execv(guard.as_ptr(), arguments.as_ptr());
            libc::kill(worker, libc::SIGKILL);
        }
        libc::_exit(NOT_STARTED)
    }
}

fn close(descriptor: RawFd) {
    if descriptor >= 0 {
        // SAFETY: ours, and used by nothing any more.
        drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
    }
}

/// The VM always reads. When it is gone, the next that is read is the end.
fn send(frame: Writer) {
    let bytes = frame.finish().unwrap_or_default();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let socket = SOCKET.load(Ordering::Acquire);
        // SAFETY: so many bytes.
        let sent = unsafe { libc::send(socket, rest.as_ptr().cast(), rest.len(), 0) };
        match usize::try_from(sent) {
            Ok(sent) => rest = &rest[sent..],
            Err(_) if Error::last_os_error().kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// What the VM asks for. All frames but three are for workers.
#[derive(Default)]
struct Requests {
    bytes: VecDeque<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Requests {
    /// What comes first. None at the end.
    fn compiled(&mut self) -> Option<Vec<u8>> {
        loop {
            if let (to_worker::START, content) = self.take()? {
                let mut fields = Reader::new(&content);
                let size = fields.u32().ok()? as usize;
                return Some(fields.bytes(size).ok()?.to_vec());
            }
        }
    }

    /// What a worker is to have. None at the end.
    fn next(&mut self) -> Option<[OwnedFd; HANDED]> {
        let mut handed = Vec::with_capacity(HANDED);
        while handed.len() < HANDED {
            if let (to_worker::HAND, _) = self.take()? {
                handed.push(self.descriptors.pop_front()?);
            }
        }
        handed.try_into().ok()
    }

    /// The next frame, when it has come. None at the end.
    fn take(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(frame) = self.frame() {
                return (frame.0 != to_worker::STOP).then_some(frame);
            }
            self.read()?;
        }
    }

    /// The kind of the next frame that is there, and what is in it.
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut length = [0; LENGTH];
        if self.bytes.len() <= LENGTH {
            return None;
        }
        for (to, from) in length.iter_mut().zip(&self.bytes) {
            *to = *from;
        }
        let end = LENGTH + u32::from_le_bytes(length) as usize;
        if self.bytes.len() < end {
            return None;
        }
        let mut frame = self.bytes.drain(..end).skip(LENGTH);
        Some((frame.next()?, frame.collect()))
    }

    fn read(&mut self) -> Option<()> {
        let mut room = [MaybeUninit::<u8>::uninit(); 4 << 10];
        loop {
            let socket = SOCKET.load(Ordering::Acquire);
            match receive(socket, &mut room, &mut self.descriptors) {
                Ok(0) => return None,
                Ok(count) => {
                    for byte in &room[..count] {
                        // SAFETY: so many were written.
                        self.bytes.push_back(unsafe { byte.assume_init() });
                    }
                    return Some(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }
}
