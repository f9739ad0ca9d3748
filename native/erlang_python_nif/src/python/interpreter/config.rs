//! Python's initialisation by configuration. The older `Py_InitializeEx` ends the process when
//! something is wrong with the installation; this way says what it is.

use crate::base::signals;
use crate::python::compiled::Compiled;
use pyo3::ffi;
use rustler::LocalPid;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

/// What the interpreter is started with.
pub struct Start {
    /// The interpreter or the virtual environment's, which tells Python where its library is.
    pub program: Vec<u8>,
    /// The environment of the VM, which is to be that of Python and of C.
    pub environment: Vec<(String, String)>,
    pub setup: Setup,
    /// Whom to tell how it went: `{:started, report}` or `{:failed, text}`.
    pub owner: LocalPid,
}

/// How it is prepared for its work.
pub struct Setup {
    /// The folder of the package that Python code knows as `erlang`.
    pub package: String,
    /// Whether what Python prints, and reads, goes to the group leader of the caller.
    pub stdio: bool,
    /// Whether Python's `logging` goes to the log of the VM.
    pub logging: bool,
    /// Whether results are shown in a notebook: nothing is to open windows.
    pub notebook: bool,
    /// Folders to be put in front of `sys.path`.
    pub paths: Vec<String>,
    /// Whether memory is read of which no API says how it is laid out: see `layouts`.
    pub native_layouts: bool,
    /// Whether Python gets its large pieces of memory from us: see `memory`.
    pub native_memory: bool,
    /// Bytes of stack for every thread that is entered through us, and for Python's own.
    pub stack_size: usize,
    /// It shares its process with the VM, which Python code is not to end, stop or change. Else it is a process of
    /// Python's own, which is for its code to do with as in any program.
    pub shares_the_vm: bool,
    pub compiled: Compiled,
}

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

pub fn initialize(program: &[u8]) -> Result<(), String> {
    let program = CString::new(program)
        .map_err(|_| "the path of the interpreter contains a NUL".to_string())?;
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
