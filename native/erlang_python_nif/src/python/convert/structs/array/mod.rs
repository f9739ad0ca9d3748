//! Arrays of numbers: `%Python.Array{}` and what numpy, torch and others have, both ways.
//!
//! Which object has what memory is found out in `priv/python/erlang/_arrays.py`; the bytes are moved here.

mod dlpack;
mod dtype;
mod layout;

use self::dtype::Dtype;
use self::layout::Layout;
use super::map;
use super::shape::{broken, field, shown};
use crate::base::atoms;
use crate::python::classes::Arrays;
use crate::python::convert::buffer::{self, PyBuffer};
use crate::python::convert::copy::{LARGE, View};
use crate::python::convert::terms::bytes;
use crate::python::convert::unconvertible::answered;
use crate::python::convert::{Decoder, Encoder, Failure, MAX_COPIED, Unconvertible};
use crate::python::current;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use rustler::{Encoder as _, Env, Term};

type Result<T> = std::result::Result<T, Failure>;

fn arrays(py: Python<'_>) -> PyResult<&'static Arrays> {
    let known = &current::get().classes.arrays;
    if let Some(arrays) = known.get() {
        return Ok(arrays);
    }
    let module = py.import("erlang._arrays")?;
    let arrays = Arrays {
        described: module.getattr("described")?.unbind(),
        made: module.getattr("made")?.unbind(),
    };
    Ok(known.get_or_init(|| arrays))
}

/// The `numpy.ndarray` of a `%Python.Array{}`: read-only, over the bytes of its binary.
pub fn to_python<'py, 'a>(encoder: &Encoder<'py, 'a>, term: Term<'a>) -> Result<Bound<'py, PyAny>> {
    let py = encoder.py();
    let data = term
        .map_get(atoms::data())
        .ok()
        .filter(|data| data.is_binary())
        .ok_or_else(|| broken(term, atoms::data()))?;
    let dtype: Term = field(term, atoms::dtype())?;
    let dtype = Dtype::of_term(dtype).ok_or_else(|| broken(term, atoms::dtype()))?;
    let shape: Term = field(term, atoms::shape())?;
    let shape = rustler::types::tuple::get_tuple(shape)
        .ok()
        .and_then(|counts| {
            let counts = counts.into_iter().map(|count| count.decode().ok());
            counts.collect::<Option<Vec<usize>>>()
        })
        .ok_or_else(|| broken(term, atoms::shape()))?;
    let size = bytes(data)?.len();
    if layout::size(dtype, &shape) != Some(size) {
        return Err(Unconvertible::new(format!(
            "this {} is not a valid array: its data has {size} bytes, which is not what its :dtype and its :shape ask \
             for; make arrays with Python.Array.new/3",
            shown(term)
        ))
        .into());
    }
    let view = buffer::view(py, data)?;
    let shape = PyTuple::new(py, shape)?;
    let made = arrays(py)?.made.bind(py);
    answered(made.call1((view, dtype.letter(), dtype.bytes(), shape))?)
}

/// Where items are that are not those of the keeper's buffer: whether they are in it nevertheless, from which byte on,
/// or else at which address; their shape and strides.
type Place = (bool, usize, Vec<usize>, Option<Vec<isize>>);

/// The memory of an object, while this lives.
struct Source<'py> {
    first: *const u8,
    layout: Layout,
    /// Whose bytes these are, if nobody can change them.
    unchanging: Option<Bound<'py, PyAny>>,
    _keeper: Bound<'py, PyAny>,
    _view: Option<View>,
}

impl<'py> Source<'py> {
    fn of(object: &Bound<'py, PyAny>, shares: bool) -> Result<Self> {
        let py = object.py();
        let described = arrays(py)?.described.bind(py).call1((object, shares))?;
        let described = answered(described)?;
        let Ok(parts) = described.cast_exact::<PyTuple>() else {
            let (first, layout) = dlpack::of_capsule(&described)?;
            return Self::checked(first, layout, None, described, None);
        };
        let (keeper, letter, bytes, swapped, place, origin) = parts.extract::<(
            Bound<'py, PyAny>,
            char,
            usize,
            bool,
            Option<Place>,
            Option<Bound<'py, PyAny>>,
        )>()?;
        let unchanging = origin.filter(is_unchanging);
        if shares && unchanging.is_none() {
            return Err(Unconvertible::new(
                "the memory of this object may change: it can only be copied; leave out `copy: false`",
            )
            .into());
        }
        let dtype = Dtype::of_letter(letter, bytes)
            .ok_or_else(|| Unconvertible::new("items of this dtype are not known"))?;
        let in_buffer = place.as_ref().is_none_or(|(in_buffer, ..)| *in_buffer);
        let view = match in_buffer {
            true => Some(View::of(&keeper)?),
            false => None,
        };
        let buffer = view
            .as_ref()
            .map_or(std::ptr::null(), |view| view.get().buf);
        let (first, shape, strides) = match (place, &view) {
            (Some((_, at, shape, strides)), _) => {
                (buffer.cast::<u8>().wrapping_add(at), shape, strides)
            }
            (None, Some(view)) => (buffer.cast(), counts(view.get()), strides_of(view.get())),
            (None, None) => (buffer.cast(), vec![0], None),
        };
        let mut layout = Layout::row_major(dtype, swapped, shape).ok_or_else(too_large)?;
        if let Some(strides) = strides {
            if strides.len() != layout.shape.len() {
                return Err(
                    Unconvertible::new("this array has not as many strides as dimensions").into(),
                );
            }
            layout.strides = strides;
        }
        Self::checked(first, layout, unchanging, keeper, view)
    }

    fn checked(
        first: *const u8,
        layout: Layout,
        unchanging: Option<Bound<'py, PyAny>>,
        keeper: Bound<'py, PyAny>,
        view: Option<View>,
    ) -> Result<Self> {
        if layout.span().is_none() {
            return Err(too_large());
        }
        // What is described by others than the memory's owner must lie within it.
        if let Some(view) = &view
            && !view.has(first, layout.span().unwrap_or_default())
        {
            return Err(Unconvertible::new(
                "the shape and the strides of this array reach beyond its memory",
            )
            .into());
        }
        Ok(Source {
            first,
            layout,
            unchanging,
            _keeper: keeper,
            _view: view,
        })
    }
}

fn counts(view: &PyBuffer) -> Vec<usize> {
    if view.shape.is_null() {
        return match view.ndim {
            0 => Vec::new(),
            _ => vec![view.len as usize / (view.itemsize as usize).max(1)],
        };
    }
    // SAFETY: a number for each dimension, while the view lives.
    let shape = unsafe { std::slice::from_raw_parts(view.shape, view.ndim as usize) };
    shape.iter().map(|count| *count as usize).collect()
}

fn strides_of(view: &PyBuffer) -> Option<Vec<isize>> {
    // SAFETY: as above.
    (!view.strides.is_null())
        .then(|| unsafe { std::slice::from_raw_parts(view.strides, view.ndim as usize) }.to_vec())
}

/// `bytes`, and what holds a binary of the VM.
fn is_unchanging(origin: &Bound<'_, PyAny>) -> bool {
    let binary = current::get().classes.binary.get();
    origin.is_exact_instance_of::<PyBytes>()
        || binary.is_some_and(|binary| origin.get_type().is(binary.bind(origin.py())))
}

fn too_large() -> Failure {
    Unconvertible::new(format!(
        "an array of more than {} GiB cannot be copied; take it in parts",
        MAX_COPIED >> 30
    ))
    .into()
}

/// `%Python.Array{}` with the items of an object. `shares`: its memory is shown, not copied.
pub fn from<'py, 'a>(
    decoder: &Decoder<'py, 'a, '_>,
    object: &Bound<'py, PyAny>,
    shares: bool,
) -> Result<Term<'a>> {
    let (py, env) = (object.py(), decoder.env());
    let source = Source::of(object, shares)?;
    let layout = &source.layout;
    let size = layout.size().ok_or_else(too_large)?;
    let data = match source.unchanging.as_ref().filter(|_| shares) {
        Some(_) if !layout.is_plain() => {
            return Err(Unconvertible::new(
                "the items of this array have gaps, another order or another order of bytes: it can only be copied; \
                 leave out `copy: false`",
            )
            .into());
        }
        // SAFETY: the bytes of the owner, which nobody changes; that they lie within them was checked.
        Some(owner) if size >= buffer::SHARED => unsafe {
            let memory = View::of(owner)?;
            if !memory.has(source.first, layout.span().unwrap_or_default()) {
                return Err(Unconvertible::new("the memory of this array is another's").into());
            }
            buffer::shared_binary(env, owner, source.first, size)
        },
        _ => copied(py, env, &source, size)?,
    };
    let shape: Vec<Term> = layout.shape.iter().map(|count| count.encode(env)).collect();
    Ok(map(
        env,
        &[
            (atoms::__struct__(), atoms::array().to_term(env)),
            (atoms::data(), data),
            (atoms::dtype(), layout.dtype.to_term(env)),
            (
                atoms::shape(),
                rustler::types::tuple::make_tuple(env, &shape),
            ),
        ],
    ))
}

/// The letter of an array's items, the bytes of each, and all of them in row-major order.
pub fn items(object: &Bound<'_, PyAny>) -> Result<(char, usize, Vec<u8>)> {
    let source = Source::of(object, false)?;
    let layout = &source.layout;
    let size = layout.size().filter(|size| *size <= MAX_COPIED);
    let mut bytes = vec![0; size.ok_or_else(too_large)?];
    // SAFETY: the source has its items where its layout says, and there is room for them.
    unsafe { layout.copy(source.first, bytes.as_mut_ptr()) };
    Ok((layout.dtype.letter(), layout.dtype.bytes(), bytes))
}

fn copied<'a>(py: Python<'_>, env: Env<'a>, source: &Source<'_>, size: usize) -> Result<Term<'a>> {
    if size > MAX_COPIED {
        return Err(too_large());
    }
    let mut term = std::mem::MaybeUninit::uninit();
    // SAFETY: gives `size` writable bytes and writes the term.
    let (target, term) = unsafe {
        let target = rustler::sys::enif_make_new_binary(env.as_c_arg(), size, term.as_mut_ptr());
        (target, Term::new(env, term.assume_init()))
    };
    let copy = Copy {
        first: source.first,
        layout: &source.layout,
        target,
    };
    if size >= LARGE {
        py.detach(move || copy.run());
    } else {
        copy.run();
    }
    Ok(term)
}

/// A copy that needs no GIL.
struct Copy<'s> {
    first: *const u8,
    layout: &'s Layout,
    target: *mut u8,
}

// SAFETY: it is run by the thread that has made it. The memory is kept in place by what the source holds. Should another
// thread write to it meanwhile, the copy has some of the old bytes and some of the new ones.
unsafe impl Send for Copy<'_> {}

impl Copy<'_> {
    fn run(&self) {
        // SAFETY: the source has its items where its layout says, and there is room for them.
        unsafe { self.layout.copy(self.first, self.target) }
    }
}
