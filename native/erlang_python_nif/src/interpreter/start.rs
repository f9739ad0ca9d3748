//! Starting the interpreter: once per VM, on a thread of its own, never ended.

use super::{assistant, environ, foreign, interrupt, python, reaper, signals, stack, thread};
use crate::lock::{Condvar, Mutex};
use crate::term_env::{Sender, TermEnv};
use crate::{atoms, ending, fork, watchdog};
use pyo3::ffi;
use rustler::{Encoder, LocalPid};
use std::ffi::{CStr, CString, c_char, c_int};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the interpreter is started with.
pub struct Start {
    /// The interpreter or the virtual environment's, which tells Python where its library is.
    pub program: String,
    /// The folder of the package that Python code knows as `erlang`.
    pub package: String,
    /// The environment of the VM, which is to be that of Python and of C.
    pub environment: Vec<(String, String)>,
    /// Whether what Python prints, and reads, goes to the group leader of the caller.
    pub stdio: bool,
    /// Whether Python's `logging` goes to the log of the VM.
    pub logging: bool,
    /// Whether results are shown in a notebook: nothing is to open windows.
    pub notebook: bool,
    /// Folders to be put in front of `sys.path`.
    pub paths: Vec<String>,
    /// Bytes of stack for every thread that is entered through us, and for Python's own.
    pub stack_size: usize,
    /// Whom to tell how it went: `{:started, executable, prefix}` or `{:failed, text}`.
    pub owner: LocalPid,
}

static STARTED: OnceLock<()> = OnceLock::new();

pub fn is_started() -> bool {
    STARTED.get().is_some()
}

/// Threads may enter Python.
static READY: Mutex<bool> = Mutex::new(false);
static CHANGED: Condvar = Condvar::new();

/// Waits until there is an interpreter. For threads that live as long as the VM and are needed as soon as there
/// is one.
pub fn wait_for_python() {
    let ready = READY.lock();
    drop(CHANGED.wait_while(ready, |ready| !*ready));
}

/// Starts such a thread, unless it was when the interpreter was to be started before, and could not.
pub fn start_once(
    started: &AtomicBool,
    start: impl FnOnce() -> std::io::Result<()>,
) -> std::io::Result<()> {
    // By one at a time: `start` is called by one process.
    if !started.load(Ordering::Acquire) {
        start()?;
        started.store(true, Ordering::Release);
    }
    Ok(())
}

/// Begins to start the interpreter. What comes of it is sent to the owner. Starting a second time
/// would start a second set of threads, so the caller (`Python.Runtime`) asks `is_started` first.
pub fn start(start: Start) -> std::io::Result<()> {
    stack::set_stack_size(start.stack_size);
    std::thread::Builder::new()
        .name("py_main".into())
        .stack_size(start.stack_size)
        .spawn(move || {
            let Some(sender) = Sender::own_thread() else {
                return;
            };
            let mut message = TermEnv::new();
            match initialize(&start) {
                Ok(()) => {
                    let _ = STARTED.set(());
                    message.send(sender, &start.owner, |env| atoms::started().to_term(env));
                    drop(message);
                    reaper::run();
                }
                Err(text) => {
                    message.send(sender, &start.owner, |env| {
                        (atoms::failed(), text).encode(env)
                    });
                }
            }
        })
        .map(drop)
}

fn initialize(start: &Start) -> Result<(), String> {
    // The VM ignores SIGCHLD, and `waitpid` then finds no children: `subprocess.run` would hang.
    // The VM's own children are those of a helper process, so it does not mind the default.
    // SAFETY: SIG_DFL is a valid disposition.
    #[cfg(unix)]
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
    }
    environ::set(&start.environment);
    ending::stay_first();
    // The threads first: without them there is to be no interpreter, which cannot be started a second time.
    watchdog::start()
        .and_then(|()| interrupt::start())
        .and_then(|()| assistant::start())
        .map_err(|error| format!("cannot start a thread: {error}"))?;
    fork::install().map_err(|error| format!("forks cannot be told: {error}"))?;
    config::initialize(&start.program)?;
    // SAFETY: the interpreter has just been initialised by this thread, which holds the GIL and
    // lets it go here. Every later entry, this thread's too, goes through `thread::enter`.
    unsafe { ffi::PyEval_SaveThread() };
    thread::enter(|py, _| {
        #[cfg(unix)]
        super::memory::install(py);
        #[cfg(all(unix, debug_assertions))]
        super::checked::install(py);
        foreign::install(py);
        python::install(py, start)
    })
    .ok_or("there is no memory for a stack")??;
    *READY.lock() = true;
    CHANGED.notify_all();
    Ok(())
}

/// Python's initialisation by configuration. The older `Py_InitializeEx` ends the process when
/// something is wrong with the installation; this way says what it is.
mod config {
    use super::*;
    use std::ptr;

    /// `PyPreConfig`, the same in every version since 3.8.
    #[repr(C)]
    struct PyPreConfig {
        config_init: c_int,
        parse_argv: c_int,
        isolated: c_int,
        use_environment: c_int,
        configure_locale: c_int,
        coerce_c_locale: c_int,
        coerce_c_locale_warn: c_int,
        #[cfg(windows)]
        legacy_windows_fs_encoding: c_int,
        utf8_mode: c_int,
        dev_mode: c_int,
        allocator: c_int,
        /// Room for fields that later versions might add.
        spare: [c_int; 32],
    }

    /// `PyStatus`, the same in every version since 3.8.
    #[repr(C)]
    struct PyStatus {
        kind: c_int,
        function: *const c_char,
        message: *const c_char,
        exit_code: c_int,
    }

    /// `PyConfig` grows with every version; only its functions touch it. It takes less than 500
    /// bytes in all of them.
    #[repr(C, align(16))]
    struct PyConfig([u8; 8192]);

    unsafe extern "C" {
        fn PyPreConfig_InitPythonConfig(config: *mut PyPreConfig);
        fn Py_PreInitialize(config: *const PyPreConfig) -> PyStatus;
        fn PyConfig_InitPythonConfig(config: *mut PyConfig);
        fn PyConfig_Clear(config: *mut PyConfig);
        fn Py_InitializeFromConfig(config: *const PyConfig) -> PyStatus;
        fn Py_DecodeLocale(text: *const c_char, size: *mut usize) -> *mut libc::wchar_t;
    }

    impl PyStatus {
        fn check(self) -> Result<(), String> {
            if self.kind == 0 {
                return Ok(());
            }
            let text = |pointer: *const c_char| {
                (!pointer.is_null()).then(|| {
                    // SAFETY: PyStatus holds static, null-terminated texts.
                    unsafe { CStr::from_ptr(pointer) }
                        .to_string_lossy()
                        .into_owned()
                })
            };
            Err(match (text(self.function), text(self.message)) {
                (Some(function), Some(message)) => format!("{function}: {message}"),
                (None, Some(message)) => message,
                _ => format!("the initialisation ended with status {}", self.exit_code),
            })
        }
    }

    pub fn initialize(program: &str) -> Result<(), String> {
        let program = CString::new(program)
            .map_err(|_| "the interpreter's path has a NUL in it".to_string())?;
        signals::kept(|| {
            // SAFETY: the calls are made in the order that PEP 587 asks for, on zeroed memory of at
            // least the size of the structures. The program's name is leaked, as it must stay valid.
            let status = unsafe {
                let mut pre: PyPreConfig = std::mem::zeroed();
                PyPreConfig_InitPythonConfig(&mut pre);
                // As `python` does, but without setting LC_CTYPE in the environment: the VM's threads
                // may be reading that. UTF-8 mode is chosen in the C locale all the same.
                pre.coerce_c_locale = 0;
                Py_PreInitialize(&pre).check()?;

                let name = Py_DecodeLocale(program.as_ptr(), ptr::null_mut());
                if name.is_null() {
                    return Err("the interpreter's path cannot be decoded".into());
                }
                ffi::Py_SetProgramName(name.cast());

                let mut config = Box::new(PyConfig([0; 8192]));
                PyConfig_InitPythonConfig(&mut *config);
                let status = Py_InitializeFromConfig(&*config);
                PyConfig_Clear(&mut *config);
                status
            };
            status.check()
        })
    }
}
