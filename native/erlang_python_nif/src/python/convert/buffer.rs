//! Big binaries without copies, both ways: a Python buffer over a binary of the VM, and a binary
//! over the bytes of a Python object.

use crate::base::column::Part;
use crate::base::term_env::TermEnv;
use crate::python::current;
use crate::python::handle;
use crate::python::interpreter::layouts;
use pyo3::ffi;
use pyo3::prelude::*;
use rustler::{Env, Resource, ResourceArc, Term};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{self, NonNull};

/// From this many bytes on a binary shares its memory with the Python object it came from.
pub const SHARED: usize = 64 << 10;

/// A Python object whose bytes a binary shows.
pub struct Shown(NonNull<ffi::PyObject>);

// SAFETY: only the reaper touches the object, with the GIL held.
unsafe impl Send for Shown {}
// SAFETY: as above.
unsafe impl Sync for Shown {}

impl Resource for Shown {}

impl Shown {
    /// For `resources::register`: it refers to nothing and must be neither read nor dropped.
    pub fn spare() -> Self {
        Shown(NonNull::dangling())
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        handle::release(self.0);
    }
}

/// A binary over `size` bytes at `data`, which belong to `owner` and do not change while that
/// lives.
///
/// # Safety
///
/// The caller vouches for `data` and `size`.
pub unsafe fn shared_binary<'a>(
    env: Env<'a>,
    owner: &Bound<'_, PyAny>,
    data: *const u8,
    size: usize,
) -> Term<'a> {
    // SAFETY: a Bound is never null.
    let object = unsafe { NonNull::new_unchecked(owner.clone().unbind().into_ptr()) };
    let shown = ResourceArc::new(Shown(object));
    // SAFETY: the resource keeps the owner alive, and the caller vouches for the rest.
    unsafe { shown.make_binary_unsafe(env, |_| std::slice::from_raw_parts(data, size)) }
        .to_term(env)
}

/// `Py_buffer`: the same in every version, in the limited API since 3.11.
#[repr(C)]
pub struct PyBuffer {
    pub buf: *mut c_void,
    pub obj: *mut ffi::PyObject,
    pub len: ffi::Py_ssize_t,
    pub itemsize: ffi::Py_ssize_t,
    pub readonly: c_int,
    pub ndim: c_int,
    pub format: *mut c_char,
    pub shape: *mut ffi::Py_ssize_t,
    pub strides: *mut ffi::Py_ssize_t,
    pub suboffsets: *mut ffi::Py_ssize_t,
    pub internal: *mut c_void,
}

// In the limited API since 3.11, exported by every supported libpython.
unsafe extern "C" {
    fn PyBuffer_FillInfo(
        view: *mut PyBuffer,
        object: *mut ffi::PyObject,
        data: *mut c_void,
        len: ffi::Py_ssize_t,
        readonly: c_int,
        flags: c_int,
    ) -> c_int;
}

/// A binary of the VM as Python sees it: an object with the buffer protocol, which keeps the
/// binary alive. The class is made by hand: pyo3 has no buffers in the limited API before 3.11.
#[repr(C)]
struct BinaryObject {
    base: ffi::PyObject,
    /// Null until it is set, which happens before anyone else sees the object; and in an instance that
    /// is not from us (see `made`).
    binary: *mut Binary,
}

struct Binary {
    /// Holds the binary's term, and so its bytes.
    _env: TermEnv,
    data: *const u8,
    size: usize,
}

/// A read-only `memoryview` of a binary, or of a part of a packed column, without a copy.
pub fn view<'py>(py: Python<'py>, binary: Term<'_>) -> PyResult<Bound<'py, PyAny>> {
    if !can_make_class(py) {
        // SAFETY: the GIL is held; a new reference or null with an exception set.
        return unsafe {
            let copy = super::copy::into_bytes(py, bytes_of(binary)?)?;
            Bound::from_owned_ptr_or_err(py, ffi::PyMemoryView_FromObject(copy.as_ptr()))
        };
    }
    let env = TermEnv::new();
    let saved = env.copy(binary);
    let bytes = bytes_of(env.term(saved))?;
    let (data, size) = (bytes.as_ptr(), bytes.len());
    let kept = Box::new(Binary {
        _env: env,
        data,
        size,
    });
    let known = &current::get().classes.binary;
    let class = match known.get() {
        Some(class) => class,
        None => {
            let class = make_class(py)?;
            known.get_or_init(|| class)
        }
    };
    // SAFETY: the GIL is held; the class is ours, so its instances are `BinaryObject`s, which
    // PyType_GenericAlloc fills with zeroes. `dealloc` frees the box.
    unsafe {
        let object = ffi::PyType_GenericAlloc(class.as_ptr().cast(), 0);
        let object = Bound::from_owned_ptr_or_err(py, object)?;
        (*object.as_ptr().cast::<BinaryObject>()).binary = Box::into_raw(kept);
        let view = ffi::PyMemoryView_FromObject(object.as_ptr());
        Bound::from_owned_ptr_or_err(py, view)
    }
}

/// `'t`: as long as the environment of the term, or the part that it refers to.
fn bytes_of<'t>(term: Term<'t>) -> PyResult<&'t [u8]> {
    if let Ok(part) = term.decode::<ResourceArc<Part>>() {
        let bytes = part.bytes();
        // SAFETY: the term refers to the part, and the environment has the term.
        return Ok(unsafe { std::slice::from_raw_parts(bytes.as_ptr(), bytes.len()) });
    }
    super::terms::bytes(term)
        .map_err(|_| pyo3::exceptions::PyTypeError::new_err("expected a binary for a buffer"))
}

/// Whether it is something to make a buffer of.
pub fn has_bytes(term: Term<'_>) -> bool {
    term.is_binary() || term.is_ref() && term.decode::<ResourceArc<Part>>().is_ok()
}

/// Up to Python 3.8 only by writing into the class: not if that is to be left alone.
fn can_make_class(py: Python<'_>) -> bool {
    layouts::are_read() || py.version_info() >= (3, 9)
}

/// A `memoryview` of a copy of its own, which may be written to.
pub fn writable<'py>(py: Python<'py>, binary: Term<'_>) -> PyResult<Bound<'py, PyAny>> {
    let copy = super::copy::into_bytearray(py, bytes_of(binary)?)?;
    // SAFETY: the GIL is held; a new reference or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyMemoryView_FromObject(copy.as_ptr())) }
}

unsafe extern "C" fn get_buffer(
    object: *mut ffi::PyObject,
    view: *mut PyBuffer,
    flags: c_int,
) -> c_int {
    // SAFETY: called by Python, with the GIL, with an instance of our class, whose binary is null or
    // ours. The data is never written to: the view is read-only.
    unsafe {
        let Some(binary) = (*object.cast::<BinaryObject>()).binary.as_ref() else {
            if !view.is_null() {
                (*view).obj = ptr::null_mut();
            }
            ffi::PyErr_SetString(
                ffi::PyExc_BufferError,
                c"this object was not made by Elixir or Erlang, and is empty".as_ptr(),
            );
            return -1;
        };
        PyBuffer_FillInfo(
            view,
            object,
            binary.data.cast_mut().cast(),
            binary.size as ffi::Py_ssize_t,
            1,
            flags,
        )
    }
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: called by Python once, when nobody refers to the object; an instance of a heap type
    // has a reference to its class.
    unsafe {
        let binary = (*object.cast::<BinaryObject>()).binary;
        if !binary.is_null() {
            drop(Box::from_raw(binary));
        }
        let class = ffi::Py_TYPE(object);
        ffi::PyObject_Free(object.cast());
        ffi::Py_DecRef(class.cast());
    }
}

/// Without it the class would have that of `object`.
unsafe extern "C" fn refuse_new(
    _class: *mut ffi::PyTypeObject,
    _args: *mut ffi::PyObject,
    _kwargs: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by Python, with the GIL; the text is static.
    unsafe {
        ffi::PyErr_SetString(
            ffi::PyExc_TypeError,
            c"erlang.Binary objects cannot be made in Python; use Python.buffer in Elixir".as_ptr(),
        );
    }
    ptr::null_mut()
}

/// `PyBufferProcs`
#[repr(C)]
struct BufferProcs {
    get: Option<unsafe extern "C" fn(*mut ffi::PyObject, *mut PyBuffer, c_int) -> c_int>,
    release: Option<unsafe extern "C" fn(*mut ffi::PyObject, *mut PyBuffer)>,
}

static PROCS: BufferProcs = BufferProcs {
    get: Some(get_buffer),
    release: None,
};

fn make_class(py: Python<'_>) -> PyResult<Py<PyAny>> {
    const NAME: &CStr = c"erlang.Binary";
    /// `Py_bf_getbuffer`, which `PyType_FromSpec` takes from 3.9 on.
    const GET_BUFFER: c_int = 1;
    let old = py.version_info() < (3, 9);
    let mut slots = vec![
        ffi::PyType_Slot {
            slot: ffi::Py_tp_dealloc,
            pfunc: dealloc as *mut c_void,
        },
        ffi::PyType_Slot {
            slot: ffi::Py_tp_new,
            pfunc: refuse_new as *mut c_void,
        },
    ];
    if !old {
        slots.push(ffi::PyType_Slot {
            slot: GET_BUFFER,
            pfunc: get_buffer as *mut c_void,
        });
    }
    slots.push(ffi::PyType_Slot {
        slot: 0,
        pfunc: ptr::null_mut(),
    });
    let mut spec = ffi::PyType_Spec {
        name: NAME.as_ptr(),
        basicsize: size_of::<BinaryObject>() as c_int,
        itemsize: 0,
        flags: ffi::Py_TPFLAGS_DEFAULT as _,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the GIL is held; the specification and its name outlive what Python reads of them.
    let class = unsafe {
        let class = ffi::PyType_FromSpec(&mut spec);
        Bound::from_owned_ptr_or_err(py, class)?
    };
    if old {
        /// `offsetof(PyTypeObject, tp_as_buffer)` in 3.8, in pointers. 3.8 will not change.
        const AS_BUFFER: usize = 20;
        // SAFETY: a type object of 3.8, just made and used by nobody yet. The table is static and
        // never written to.
        unsafe {
            class
                .as_ptr()
                .cast::<*const BufferProcs>()
                .add(AS_BUFFER)
                .write(&PROCS);
        }
    }
    Ok(class.unbind())
}
