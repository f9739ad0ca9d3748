//! Functions of libpython that are in no limited API, or not in every version.

use std::ffi::{CStr, c_void};

/// The function of this name. None if the libpython that was opened does not export it.
///
/// # Safety
///
/// `F` is a function pointer, of the type that the function has in every version that exports it.
pub unsafe fn symbol<F: Copy>(name: &CStr) -> Option<F> {
    assert_eq!(size_of::<F>(), size_of::<*mut c_void>());
    // SAFETY: a null-terminated name.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: as this function demands.
    (!found.is_null()).then(|| unsafe { std::mem::transmute_copy(&found) })
}
