//! Arrays in capsules of DLPack.

use super::dtype::Dtype;
use super::layout::Layout;
use crate::python::convert::{Failure, Unconvertible};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{CStr, c_int, c_void};

/// `DLTensor`, with which a `DLManagedTensor` begins.
#[repr(C)]
struct Tensor {
    data: *mut c_void,
    device_type: i32,
    device_id: i32,
    ndim: i32,
    code: u8,
    bits: u8,
    lanes: u16,
    shape: *const i64,
    /// In items; null if there are no gaps.
    strides: *const i64,
    byte_offset: u64,
}

/// `DLManagedTensorVersioned`
#[repr(C)]
struct Versioned {
    major: u32,
    minor: u32,
    context: *mut c_void,
    deleter: *mut c_void,
    flags: u64,
    tensor: Tensor,
}

/// Memory of the processor, and such that a graphics card reads too.
const READABLE: [c_int; 3] = [1, 3, 11];

/// What kinds there are, by their codes.
const LETTERS: [Option<char>; 7] = [
    Some('i'),
    Some('u'),
    Some('f'),
    None,
    Some('B'),
    Some('c'),
    Some('b'),
];

/// Where the items of a capsule lie, as long as it lives: it is not used up by that.
pub fn of_capsule(capsule: &Bound<'_, PyAny>) -> Result<(*const u8, Layout), Failure> {
    let tensor = tensor_of(capsule)?;
    if !READABLE.contains(&tensor.device_type) {
        return Err(refused(format!(
            "expected an array in the memory of the processor, got: one on the device {}:{} of DLPack; copy it there \
             first",
            tensor.device_type, tensor.device_id
        )));
    }
    let letter = LETTERS.get(usize::from(tensor.code)).copied().flatten();
    let dtype = letter
        .filter(|_| tensor.lanes == 1 && tensor.bits.is_multiple_of(8))
        .and_then(|letter| Dtype::of_letter(letter, usize::from(tensor.bits / 8)));
    let Some(dtype) = dtype else {
        return Err(refused(format!(
            "expected an array of plain numbers, got: items of the code {} of DLPack with {} bits and {} lanes; \
             convert them in Python to another dtype",
            tensor.code, tensor.bits, tensor.lanes
        )));
    };
    let dimensions = usize::try_from(tensor.ndim).unwrap_or_default();
    let numbers = |pointer: *const i64| match (pointer.is_null(), dimensions) {
        (true, _) | (_, 0) => &[][..],
        // SAFETY: one for each dimension.
        _ => unsafe { std::slice::from_raw_parts(pointer, dimensions) },
    };
    let shape: Option<Vec<usize>> = numbers(tensor.shape)
        .iter()
        .map(|count| usize::try_from(*count).ok())
        .collect();
    let layout = shape.and_then(|shape| Layout::row_major(dtype, false, shape));
    let Some(mut layout) = layout else {
        return Err(refused("the shape of this array makes no sense".into()));
    };
    for (stride, &items) in layout.strides.iter_mut().zip(numbers(tensor.strides)) {
        *stride = items as isize * dtype.bytes() as isize;
    }
    let data = tensor.data.cast::<u8>().cast_const();
    Ok((data.wrapping_add(tensor.byte_offset as usize), layout))
}

fn tensor_of<'t>(capsule: &'t Bound<'_, PyAny>) -> Result<&'t Tensor, Failure> {
    const VERSIONED: &CStr = c"dltensor_versioned";
    // SAFETY: the GIL is held; Python checks that it is a capsule of the name. What has a name begins with the structure
    // of that name, in all versions with the same first number.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule.as_ptr(), VERSIONED.as_ptr()) != 0 {
            let pointer = ffi::PyCapsule_GetPointer(capsule.as_ptr(), VERSIONED.as_ptr());
            let versioned = &*pointer.cast::<Versioned>();
            return match versioned.major {
                1 => Ok(&versioned.tensor),
                major => Err(refused(format!(
                    "expected an array of version 1 of DLPack, got: one of version {major}"
                ))),
            };
        }
        let pointer = ffi::PyCapsule_GetPointer(capsule.as_ptr(), c"dltensor".as_ptr());
        match pointer.is_null() {
            true => Err(PyErr::fetch(capsule.py()).into()),
            false => Ok(&*pointer.cast::<Tensor>()),
        }
    }
}

fn refused(text: String) -> Failure {
    Unconvertible::new(text).into()
}
