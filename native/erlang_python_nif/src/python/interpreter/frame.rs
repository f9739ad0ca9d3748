//! Where another thread is, looked at with the GIL and without running any code.
//!
//! `sys._current_frames` and generic look-ups are no way to do so: an audit hook, the garbage collector, a
//! function that took another's place, or the `__hash__` of a constant in a code object may be anybody's code,
//! and block. So the thread state is asked, frames and code objects have their built-in attributes read, and
//! code is told apart by its address.

use super::tracing::Shown;
use super::{layouts, symbol};
use crate::base::side;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::ffi::{c_char, c_int, c_ulong};
use std::sync::OnceLock;

type GetFrame = unsafe extern "C" fn(*mut ffi::PyThreadState) -> *mut ffi::PyFrameObject;
type GetLine = unsafe extern "C" fn(*mut ffi::PyObject) -> c_int;
type LineAt = unsafe extern "C" fn(*mut ffi::PyObject, c_int) -> c_int;
type SetCollector = unsafe extern "C" fn() -> c_int;

/// Names longer than this many characters are cut.
const LONGEST_NAME: ffi::Py_ssize_t = 4_096;

/// Functions that are in no limited API, or not in that of 3.8.
struct Functions {
    /// None in 3.8, where the thread state is shown.
    frame: Option<GetFrame>,
    line: Option<GetLine>,
    line_at: Option<LineAt>,
    /// None up to 3.9, where nothing that is done here makes an object that the collector counts.
    collector: Option<(SetCollector, SetCollector)>,
}

fn functions() -> &'static Functions {
    static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
    FUNCTIONS.get_or_init(|| {
        // SAFETY: functions of these types, in all versions that have them.
        unsafe {
            Functions {
                frame: symbol(c"PyThreadState_GetFrame"),
                line: symbol(c"PyFrame_GetLineNumber"),
                line_at: symbol(c"PyCode_Addr2Line"),
                collector: symbol(c"PyGC_Disable").zip(symbol(c"PyGC_Enable")),
            }
        }
    })
}

pub use crate::base::Location;

/// The program of a Python process.
const WORKER: &str = "/priv/python/worker/start.py";

/// Where event loops are run.
const LOOP: &str = "/priv/python/erlang/_loop.py";

/// A frame of a thread that stands still, as it waits for the GIL.
pub struct Frame<'py>(Bound<'py, PyAny>);

impl<'py> Frame<'py> {
    /// What a thread is in, given by its state and its ident. None if that is no Python code, or none but that which calls
    /// `stand` in: nobody's code.
    ///
    /// # Safety
    ///
    /// The thread still has this state: it runs a request, say, whose end would need the GIL.
    pub unsafe fn innermost(
        py: Python<'py>,
        state: *mut ffi::PyThreadState,
        ident: c_ulong,
        stand: Option<&Py<PyAny>>,
    ) -> Option<Self> {
        let frame = match functions().frame {
            // SAFETY: the GIL is held, and the state is there. A new reference or null.
            Some(get) => unsafe { get(state) },
            None if !layouts::are_read() => listed(py, ident)?.into_ptr().cast(),
            // SAFETY: as above; this is 3.8. The field is borrowed.
            None => unsafe {
                let frame = (*state.cast::<Shown>()).frame;
                ffi::Py_XINCREF(frame.cast());
                frame
            },
        };
        // SAFETY: an own reference, or null without an exception.
        let frame = unsafe { Bound::from_owned_ptr_or_opt(py, frame.cast()) };
        let mut frame = frame.map(Frame)?;
        while let (Some(code), Some(stand)) = (frame.code(), stand)
            && code.is(stand)
        {
            frame = frame.back()?;
        }
        (!frame.is_of_worker() && !frame.is_of_loop()).then_some(frame)
    }

    /// That in which an event loop begins with what it is asked for.
    fn is_of_loop(&self) -> bool {
        self.code().is_some_and(|code| {
            code.name().is_some_and(|name| name == "_take")
                && code.file().is_some_and(|file| file.ends_with(LOOP))
        })
    }

    /// That of the program that a Python process runs for its VM, below all that it is asked for.
    fn is_of_worker(&self) -> bool {
        side::is_worker() && {
            let file = self.code().and_then(|code| code.file());
            file.is_some_and(|file| file.ends_with(WORKER)) && self.back().is_none()
        }
    }

    pub fn code(&self) -> Option<Code<'py>> {
        let code = self.0.getattr(intern!(self.0.py(), "f_code")).ok()?;
        Some(Code(code))
    }

    /// The offset of the bytecode that was run last; -1 before the first.
    pub fn at(&self) -> Option<i64> {
        let at = self.0.getattr(intern!(self.0.py(), "f_lasti")).ok()?;
        at.extract().ok()
    }

    /// The frame that called this one.
    pub fn back(&self) -> Option<Frame<'py>> {
        let frame = self.0.getattr(intern!(self.0.py(), "f_back")).ok()?;
        (!frame.is_none()).then_some(Frame(frame))
    }

    /// Its code, and that of the frames that have called it.
    pub fn codes(self) -> impl Iterator<Item = Code<'py>> {
        let mut next = Some(self);
        std::iter::from_fn(move || {
            let frame = next.take()?;
            next = frame.back();
            frame.code()
        })
    }

    /// Its file, line and function.
    pub fn location(&self) -> Option<Location> {
        let code = self.code()?;
        Some((code.file()?, self.line(&code), code.name()?))
    }

    /// The frame that its thread has begun with.
    pub fn outermost(self) -> Self {
        let mut outermost = self;
        while let Some(frame) = outermost.back() {
            outermost = frame;
        }
        outermost
    }

    /// Its line. 3.10 and 3.11 know none at the jump back to the head of a loop: then it is that of the
    /// bytecode before.
    pub fn line(&self, code: &Code<'py>) -> i64 {
        let known = |line: c_int| (line > 0).then_some(i64::from(line));
        let line = functions().line.and_then(|line| {
            // SAFETY: a frame, and the GIL is held.
            known(unsafe { line(self.0.as_ptr()) })
        });
        let before = || {
            let (line_at, at) = (functions().line_at?, c_int::try_from(self.at()?).ok()?);
            (0..=at).rev().step_by(2).find_map(|at| {
                // SAFETY: a code object, and the GIL is held.
                known(unsafe { line_at(code.0.as_ptr(), at) })
            })
        };
        let first = || {
            let line = code.0.getattr(intern!(code.0.py(), "co_firstlineno"));
            line.and_then(|line| line.extract()).unwrap_or(0)
        };
        line.or_else(before).unwrap_or_else(first)
    }
}

/// `sys._current_frames`, before anybody could put another one there.
static LIST: OnceLock<Py<PyAny>> = OnceLock::new();

/// When the interpreter has started.
pub fn remember_list(py: Python<'_>) -> PyResult<()> {
    if !layouts::are_read() {
        let list = py.import("sys")?.getattr("_current_frames")?;
        let _ = LIST.set(list.unbind());
    }
    Ok(())
}

/// The frame of a thread in the list of all. The list is a new object, so that the garbage collector and audit hooks
/// may run: only where there is no other way.
fn listed(py: Python<'_>, ident: c_ulong) -> Option<Bound<'_, PyAny>> {
    let list = LIST.get()?.bind(py).call0().ok()?;
    list.get_item(ident).ok()
}

/// A code object, which may be made by anybody.
pub struct Code<'py>(Bound<'py, PyAny>);

impl<'py> Code<'py> {
    pub fn is(&self, other: &Py<PyAny>) -> bool {
        self.0.is(other)
    }

    pub fn as_object(&self) -> &Bound<'py, PyAny> {
        &self.0
    }

    pub fn file(&self) -> Option<String> {
        text(self.0.getattr(intern!(self.0.py(), "co_filename")).ok()?)
    }

    pub fn name(&self) -> Option<String> {
        text(self.0.getattr(intern!(self.0.py(), "co_name")).ok()?)
    }

    /// Whether it is that of a `__del__` method.
    pub fn is_finalizer(&self) -> bool {
        let py = self.0.py();
        let name = self.0.getattr(intern!(py, "co_name"));
        // Names of code are interned.
        name.is_ok_and(|name| name.is(intern!(py, "__del__")))
    }

    pub fn bytecode(&self) -> Option<Bound<'py, PyBytes>> {
        let code = self.0.getattr(intern!(self.0.py(), "co_code")).ok()?;
        code.cast_into().ok()
    }
}

/// The text of a `str`, of subclasses too. Lone surrogates become escapes.
fn text(object: Bound<'_, PyAny>) -> Option<String> {
    let py = object.py();
    // SAFETY: the functions are given a `str`, and return new references or null. The names of codec and
    // error handler are such that Python looks none up.
    let bytes = unsafe {
        if ffi::PyUnicode_Check(object.as_ptr()) == 0 {
            return None;
        }
        let cut = ffi::PyUnicode_Substring(object.as_ptr(), 0, LONGEST_NAME);
        let cut = Bound::from_owned_ptr_or_opt(py, cut)?;
        let bytes = ffi::PyUnicode_AsEncodedString(
            cut.as_ptr(),
            c"utf-8".as_ptr().cast::<c_char>(),
            c"backslashreplace".as_ptr().cast::<c_char>(),
        );
        Bound::from_owned_ptr_or_opt(py, bytes)?
    };
    let bytes = bytes.cast::<PyBytes>().ok()?;
    String::from_utf8(bytes.as_bytes().to_vec()).ok()
}

/// The garbage collector, with its callbacks and what it finalises, does not run while this lives: frames may
/// have to be made to be looked at. The GIL must be kept as long.
pub struct Uncollected(Option<SetCollector>);

impl Uncollected {
    pub fn new(_py: Python<'_>) -> Self {
        Uncollected(functions().collector.and_then(|(disable, enable)| {
            // SAFETY: the GIL is held.
            (unsafe { disable() } != 0).then_some(enable)
        }))
    }
}

impl Drop for Uncollected {
    fn drop(&mut self) {
        if let Some(enable) = self.0 {
            // SAFETY: the GIL is held, as `new` asks.
            unsafe { enable() };
        }
    }
}
