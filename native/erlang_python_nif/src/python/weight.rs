//! What an object weighs: about how many bytes are freed with its last reference.
//!
//! The VM is told (`object`), as it collects by the memory that it knows of. What others hold as well is not
//! counted: it would not be freed. Nothing here runs Python code: the sizes are those that classes
//! written in C have for their objects, and what objects hold is looked up as the garbage collector does it.
//! Some of these classes do not say what they have taken (files in memory, databases, images): then it is what
//! the process has grown by.

use crate::base::resident;
use crate::python::class_names::Lookup;
use crate::python::interpreter::layouts;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

/// How many objects are looked at, at most.
const MOST_LOOKS: usize = 32;

/// How many elements of a collection are looked at: they stand for the others.
const SAMPLES: usize = 8;

/// How the function of a class is found with which its objects show what they hold.
enum Traverse {
    /// So many pointers from the beginning of the class.
    At(usize),
    /// By the documented function, which up to 3.9 knows it of some classes only.
    Asked { of_all: bool },
}

/// What is looked up once.
struct Known {
    lookup: Lookup,
    traverse: Traverse,
    nbytes: Py<PyAny>,
    base: Py<PyAny>,
    sizeof: Py<PyAny>,
    /// That of `object`, which says little.
    plain_sizeof: Py<PyAny>,
    /// Whether classes have their names where they are expected.
    names: bool,
}

unsafe extern "C" {
    // Not in the limited API, exported by every supported libpython.
    static mut PyFrame_Type: ffi::PyTypeObject;
}

/// How many references to a traceback or one of its frames there are where only one exception has it: of
/// the exception, of what was raised, of frames that the frame has called.
const TRACE_REFERENCES: usize = 3;

static KNOWN: OnceLock<Option<Known>> = OnceLock::new();

/// What an object was found to weigh.
pub struct Weight {
    pub bytes: usize,
    /// A few others hold parts of it as well, which were not counted: handles, perhaps.
    pub shares: bool,
    /// What the process has grown by since that was asked last, if parts of it do not say what they weigh.
    hidden: Option<usize>,
}

/// More would not make the VM collect sooner, and may be somebody else's.
const MOST_HIDDEN: usize = 64 << 20;

impl Weight {
    /// What is known and what may be hidden. `before`: what it was found to be.
    pub fn total(&self, before: usize) -> usize {
        let Some(growth) = self.hidden else {
            return self.bytes;
        };
        let most = self.bytes.saturating_add(MOST_HIDDEN);
        let hidden = before.saturating_add(growth).min(most);
        hidden.max(self.bytes).max(before)
    }
}

/// The bytes that `object` keeps alive if it is held by so many references and no others. None if it is
/// held by more.
pub fn of(object: &Bound<'_, PyAny>, references: usize) -> Option<Weight> {
    let py = object.py();
    // SAFETY: the GIL is held; a `Bound` is proof of it.
    if unsafe { references_to(object.as_ptr()) } > references {
        return None;
    }
    let known = match KNOWN.get() {
        Some(known) => known,
        None => {
            // Not with `get_or_init`: others could wait for it and keep the GIL from this thread.
            let known = Known::look(py);
            KNOWN.get_or_init(|| known)
        }
    };
    let known = known.as_ref()?;
    let mut walk = Walk {
        found: Vec::new(),
        room: 0,
        scale: 1,
        weight: 0,
        shares: false,
        hides: false,
    };
    // SAFETY: as above, and what the walk has found it holds references to.
    unsafe {
        walk.weigh(known, object.as_ptr(), 1);
        let mut at = 0;
        while at < walk.found.len() {
            let (next, scale) = walk.found[at];
            walk.weigh(known, next, scale);
            at += 1;
        }
        for (object, _) in walk.found {
            ffi::Py_DecRef(object);
        }
    }
    Some(Weight {
        bytes: walk.weight,
        shares: walk.shares,
        hidden: walk.hides.then(resident::growth),
    })
}

/// # Safety
///
/// An object that is alive, and the GIL is held.
unsafe fn references_to(object: *mut ffi::PyObject) -> usize {
    // SAFETY: as demanded. From 3.14 on the upper half has flags.
    unsafe { ffi::Py_REFCNT(object) as usize & 0xFFFF_FFFF }
}

struct Walk {
    /// What is held by what was found before and by nobody else, with a reference of ours; and how many
    /// such objects each stands for.
    found: Vec<(*mut ffi::PyObject, usize)>,
    /// How many more may be found in the object that is looked at.
    room: usize,
    scale: usize,
    weight: usize,
    shares: bool,
    hides: bool,
}

/// What more references hold is not held by a handle or two, but known to all.
const FEW: usize = 4;

impl Walk {
    /// # Safety
    ///
    /// `object` is alive, and the GIL is held.
    unsafe fn weigh(&mut self, known: &Known, object: *mut ffi::PyObject, scale: usize) {
        // SAFETY: as demanded; each function is given an object of the type that was just checked.
        unsafe {
            let class = ffi::Py_TYPE(object);
            let is = |kind: *mut ffi::PyTypeObject| class == kind;
            if is(&raw mut ffi::PyList_Type) {
                let size = ffi::PyList_Size(object) as usize;
                self.add(size.saturating_mul(8), scale);
                self.sample(size, scale, |at| ffi::PyList_GetItem(object, at as isize));
            } else if is(&raw mut ffi::PyTuple_Type) {
                let size = ffi::PyTuple_Size(object) as usize;
                self.add(size.saturating_mul(8), scale);
                self.sample(size, scale, |at| ffi::PyTuple_GetItem(object, at as isize));
            } else if is(&raw mut ffi::PyDict_Type) {
                let size = ffi::PyDict_Size(object) as usize;
                self.add(size.saturating_mul(64), scale);
                self.traverse(known, object, scale, size.saturating_mul(2));
            } else if is(&raw mut ffi::PySet_Type) || is(&raw mut ffi::PyFrozenSet_Type) {
                let size = ffi::PySet_Size(object) as usize;
                self.add(size.saturating_mul(32), scale);
                self.traverse(known, object, scale, size);
            } else if is(&raw mut ffi::PyBytes_Type) {
                self.add(ffi::PyBytes_Size(object) as usize, scale);
            } else if is(&raw mut ffi::PyByteArray_Type) {
                self.add(ffi::PyByteArray_Size(object) as usize, scale);
            } else if is(&raw mut ffi::PyUnicode_Type) {
                self.add(ffi::PyUnicode_GetLength(object) as usize, scale);
            } else {
                let size = known.size(self, object, class, scale);
                self.add(size, scale);
                if ffi::PyType_GetFlags(class) & ffi::Py_TPFLAGS_HAVE_GC != 0 {
                    self.traverse(known, object, scale, 0);
                }
            }
            if ffi::PyErr_Occurred().is_null() {
                return;
            }
            ffi::PyErr_Clear();
        }
    }

    fn add(&mut self, bytes: usize, scale: usize) {
        self.weight = self.weight.saturating_add(bytes.saturating_mul(scale));
    }

    /// Looks at elements from all over a sequence. `get` borrows one.
    unsafe fn sample(
        &mut self,
        size: usize,
        scale: usize,
        get: impl Fn(usize) -> *mut ffi::PyObject,
    ) {
        let samples = size.min(SAMPLES);
        self.room = samples;
        self.scale = scale.saturating_mul(size / samples.max(1));
        for sample in 0..samples {
            // SAFETY: elements of a sequence that is alive.
            unsafe { self.find(get(sample * (size / samples))) };
        }
    }

    /// Looks at what an object holds. `size`: how many elements it has if it is a collection.
    unsafe fn traverse(
        &mut self,
        known: &Known,
        object: *mut ffi::PyObject,
        scale: usize,
        size: usize,
    ) {
        self.room = if size == 0 { MOST_LOOKS } else { 2 * SAMPLES };
        self.scale = scale.saturating_mul((size / self.room).max(1));
        // SAFETY: the object's class has the garbage collector's flag, and so the function. It is called as the
        // collector calls it, with the GIL held.
        unsafe {
            if let Some(traverse) = known.traverse.of(ffi::Py_TYPE(object)) {
                traverse(object, visit, ptr::from_mut(self).cast());
            }
        }
    }

    /// # Safety
    ///
    /// `object` is alive or null, and the GIL is held.
    unsafe fn find(&mut self, object: *mut ffi::PyObject) {
        // SAFETY: as demanded. A class lives on without its objects.
        unsafe {
            if object.is_null() || self.found.len() >= MOST_LOOKS {
                return;
            }
            let references = references_to(object);
            let own = references == 1
                || (references <= TRACE_REFERENCES
                    && is_of_a_trace(object)
                    && !self.found.iter().any(|(found, _)| *found == object));
            if own && ffi::PyType_Check(object) == 0 {
                ffi::Py_IncRef(object);
                self.found.push((object, self.scale));
            }
            self.shares |= !own && references <= FEW;
        }
    }
}

/// # Safety
///
/// `object` is alive, and the GIL is held.
unsafe fn is_of_a_trace(object: *mut ffi::PyObject) -> bool {
    // SAFETY: as demanded.
    let class = unsafe { ffi::Py_TYPE(object) };
    class == &raw mut PyFrame_Type || class == &raw mut ffi::PyTraceBack_Type
}

unsafe extern "C" fn visit(object: *mut ffi::PyObject, walk: *mut c_void) -> c_int {
    // SAFETY: called by `Walk::traverse`, with itself, for objects that are alive.
    let walk = unsafe { &mut *walk.cast::<Walk>() };
    if walk.room == 0 {
        return 1;
    }
    walk.room -= 1;
    // SAFETY: as above.
    unsafe { walk.find(object) };
    0
}

impl Known {
    fn look(py: Python<'_>) -> Option<Self> {
        let name = |name: &str| pyo3::types::PyString::intern(py, name).into_any().unbind();
        let object = py.get_type::<PyAny>();
        Some(Known {
            lookup: Lookup::new(py).ok()?,
            traverse: Traverse::look(py),
            nbytes: name("nbytes"),
            base: name("base"),
            // SAFETY: classes of Python's own, with the GIL held.
            names: layouts::are_read()
                && unsafe {
                    name_of(&raw mut ffi::PyFloat_Type) == Some(c"float")
                        && name_of(&raw mut ffi::PyList_Type) == Some(c"list")
                },
            sizeof: name("__sizeof__"),
            plain_sizeof: object
                .getattr("__dict__")
                .and_then(|names| names.get_item("__sizeof__"))
                .ok()?
                .unbind(),
        })
    }

    /// The size that a class written in C says its object has: `nbytes` of arrays and tensors, or
    /// `__sizeof__`.
    ///
    /// # Safety
    ///
    /// `object` is an instance of `class` and alive, and the GIL is held.
    unsafe fn size(
        &self,
        walk: &mut Walk,
        object: *mut ffi::PyObject,
        class: *mut ffi::PyTypeObject,
        scale: usize,
    ) -> usize {
        // SAFETY: as demanded. What a look-up gives is borrowed from the class, which the object keeps
        // alive. The attributes that are asked for are data descriptors written in C, so that asking
        // runs no Python code.
        unsafe {
            if self.is_in_c(class, &self.nbytes) {
                if self.is_in_c(class, &self.base) {
                    let base = ffi::PyObject_GenericGetAttr(object, self.base.as_ptr());
                    if !base.is_null() && base != ffi::Py_None() {
                        // A part of another, which is freed with it if nobody else has that. Held by
                        // the part and by us.
                        walk.scale = scale;
                        ffi::Py_DecRef(base);
                        walk.find(base);
                        return 0;
                    }
                    if !base.is_null() {
                        ffi::Py_DecRef(base);
                    }
                    ffi::PyErr_Clear();
                }
                return size_of_int(ffi::PyObject_GenericGetAttr(object, self.nbytes.as_ptr()));
            }
            let sizeof = self.lookup.find(class, self.sizeof.as_ptr());
            if sizeof.is_null()
                || sizeof == self.plain_sizeof.as_ptr()
                || ffi::Py_TYPE(sizeof) != &raw mut ffi::PyMethodDescr_Type
            {
                walk.hides |= !self.names || hides(class);
                return 0;
            }
            size_of_int(ffi::PyObject_CallFunctionObjArgs(
                sizeof,
                object,
                ptr::null_mut::<ffi::PyObject>(),
            ))
        }
    }

    /// Whether a class has an attribute of this name that C code computes.
    unsafe fn is_in_c(&self, class: *mut ffi::PyTypeObject, name: &Py<PyAny>) -> bool {
        // SAFETY: a class that is alive, and the GIL is held.
        unsafe {
            let found = self.lookup.find(class, name.as_ptr());
            !found.is_null() && {
                let kind = ffi::Py_TYPE(found);
                kind == &raw mut ffi::PyGetSetDescr_Type || kind == &raw mut ffi::PyMemberDescr_Type
            }
        }
    }
}

/// Where a class has its name, in pointers: after what each object has, and its size.
const NAME: usize = 3;

/// # Safety
///
/// A class that is alive, and the GIL is held. Its name is there.
unsafe fn name_of<'a>(class: *mut ffi::PyTypeObject) -> Option<&'a CStr> {
    // SAFETY: as demanded; it ends with a NUL.
    unsafe {
        let name = *class.cast::<*const c_char>().add(NAME);
        (!name.is_null()).then(|| CStr::from_ptr(name))
    }
}

/// So far apart lie Python's own classes, at most, that are not on the heap: its data has one MB and less.
const OWN: usize = 4 << 20;

/// Whether a class or one of its bases is of an extension module, and may take memory that nobody sees. Such have the
/// name of their module in their own, as neither Python's classes nor those of Python code have. Should they not,
/// and not be on the heap, they lie elsewhere than Python's.
///
/// # Safety
///
/// A class that is alive, and the GIL is held.
unsafe fn hides(class: *mut ffi::PyTypeObject) -> bool {
    let mut class = class;
    // SAFETY: as demanded. A class has references to its bases; classes that are not on the heap have no others as
    // bases that matter, and their slots cannot be asked for up to 3.9.
    unsafe {
        while let Some(name) = name_of(class) {
            if name.to_bytes().contains(&b'.') {
                return true;
            }
            if ffi::PyType_GetFlags(class) & ffi::Py_TPFLAGS_HEAPTYPE == 0 {
                let own = (&raw mut ffi::PyFloat_Type).addr();
                return class.addr().abs_diff(own) > OWN;
            }
            class = ffi::PyType_GetSlot(class, ffi::Py_tp_base).cast();
            if class.is_null() {
                return false;
            }
        }
    }
    false
}

/// The value of an int, which is given up. 0 if there is none.
unsafe fn size_of_int(int: *mut ffi::PyObject) -> usize {
    // SAFETY: an object or null, with the GIL held.
    unsafe {
        if int.is_null() {
            ffi::PyErr_Clear();
            return 0;
        }
        let size = match ffi::PyLong_Check(int) {
            0 => 0,
            _ => ffi::PyLong_AsSsize_t(int),
        };
        ffi::Py_DecRef(int);
        if size < 0 {
            ffi::PyErr_Clear();
        }
        usize::try_from(size).unwrap_or(0)
    }
}

impl Traverse {
    fn look(py: Python<'_>) -> Self {
        let place = layouts::are_read().then(|| traverse_place(py)).flatten();
        match place {
            Some(place) => Traverse::At(place),
            None => Traverse::Asked {
                of_all: py.version_info() >= (3, 10),
            },
        }
    }

    /// # Safety
    ///
    /// A class that is alive, and the GIL is held.
    unsafe fn of(&self, class: *mut ffi::PyTypeObject) -> Option<ffi::traverseproc> {
        // SAFETY: as demanded; the function has this type wherever it is found, or is null.
        unsafe {
            match self {
                Traverse::At(place) => *class.cast::<Option<ffi::traverseproc>>().add(*place),
                Traverse::Asked { of_all }
                    if *of_all || ffi::PyType_GetFlags(class) & ffi::Py_TPFLAGS_HEAPTYPE != 0 =>
                {
                    std::mem::transmute::<*mut c_void, Option<ffi::traverseproc>>(
                        ffi::PyType_GetSlot(class, ffi::Py_tp_traverse),
                    )
                }
                Traverse::Asked { .. } => None,
            }
        }
    }
}

/// How many pointers a class has at least.
const CLASS: usize = 48;

/// Where the place is: not in the stable ABI, so it is looked for in a class of which it is known.
fn traverse_place(py: Python<'_>) -> Option<usize> {
    unsafe extern "C" fn traverse(
        _object: *mut ffi::PyObject,
        _visit: ffi::visitproc,
        _arg: *mut c_void,
    ) -> c_int {
        0
    }
    unsafe extern "C" fn clear(_object: *mut ffi::PyObject) -> c_int {
        0
    }
    let traverse = traverse as *mut c_void;
    let slot = |slot, pfunc| ffi::PyType_Slot { slot, pfunc };
    let mut slots = [
        slot(ffi::Py_tp_traverse, traverse),
        slot(ffi::Py_tp_clear, clear as *mut c_void),
        slot(0, ptr::null_mut()),
    ];
    let mut spec = ffi::PyType_Spec {
        name: c"erlang._Sample".as_ptr(),
        basicsize: size_of::<ffi::PyObject>() as c_int,
        itemsize: 0,
        flags: (ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_HAVE_GC) as _,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the GIL is held. The class has no instance and is gone at the end; it has as many pointers.
    unsafe {
        let class = ffi::PyType_FromSpec(&mut spec);
        let class = Bound::from_owned_ptr_or_opt(py, class)?;
        let pointers = class.as_ptr().cast::<*mut c_void>();
        (0..CLASS).find(|at| *pointers.add(*at) == traverse)
    }
}
