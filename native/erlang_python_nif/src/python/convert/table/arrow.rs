//! Arrow's C data interface and C stream interface, as other libraries fill them in.

use std::ffi::{CStr, c_char, c_int, c_void};

#[repr(C)]
pub struct Schema {
    pub format: *const c_char,
    pub name: *const c_char,
    pub metadata: *const c_char,
    pub flags: i64,
    pub n_children: i64,
    pub children: *const *const Schema,
    pub dictionary: *const Schema,
    pub release: Option<unsafe extern "C" fn(*mut Schema)>,
    pub private_data: *mut c_void,
}

#[repr(C)]
pub struct Array {
    pub length: i64,
    pub null_count: i64,
    pub offset: i64,
    pub n_buffers: i64,
    pub n_children: i64,
    pub buffers: *const *const c_void,
    pub children: *const *const Array,
    pub dictionary: *const Array,
    pub release: Option<unsafe extern "C" fn(*mut Array)>,
    pub private_data: *mut c_void,
}

#[repr(C)]
pub struct Stream {
    get_schema: Option<unsafe extern "C" fn(*mut Stream, *mut Schema) -> c_int>,
    get_next: Option<unsafe extern "C" fn(*mut Stream, *mut Array) -> c_int>,
    get_last_error: Option<unsafe extern "C" fn(*mut Stream) -> *const c_char>,
    release: Option<unsafe extern "C" fn(*mut Stream)>,
    private_data: *mut c_void,
}

/// A structure of one of these kinds that was given to us, released with this.
pub struct Owned<T: Release>(T);

pub trait Release {
    /// # Safety
    ///
    /// To be called once.
    unsafe fn release(&mut self);
    fn is_released(&self) -> bool;
}

macro_rules! release {
    ($type:ty) => {
        impl Release for $type {
            unsafe fn release(&mut self) {
                if let Some(release) = self.release {
                    // SAFETY: the structure's own function, called once.
                    unsafe { release(self) }
                }
            }

            fn is_released(&self) -> bool {
                self.release.is_none()
            }
        }
    };
}

release!(Schema);
release!(Array);

impl<T: Release> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: it is ours, and dropped once.
        unsafe { self.0.release() }
    }
}

impl<T: Release> std::ops::Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Stream {
    /// # Safety
    ///
    /// A stream that is valid, and that nobody else uses meanwhile.
    pub unsafe fn schema(&mut self) -> Result<Owned<Schema>, String> {
        // SAFETY: pointers and numbers only; filled in by the stream.
        unsafe {
            let mut schema: Schema = std::mem::zeroed();
            let get = self.get_schema.ok_or("the stream is released")?;
            match get(self, &mut schema) {
                0 => Ok(Owned(schema)),
                code => Err(self.error(code)),
            }
        }
    }

    /// The next batch. None at the end.
    ///
    /// # Safety
    ///
    /// As above.
    pub unsafe fn next(&mut self) -> Result<Option<Owned<Array>>, String> {
        // SAFETY: as above.
        unsafe {
            let mut array: Array = std::mem::zeroed();
            let get = self.get_next.ok_or("the stream is released")?;
            match get(self, &mut array) {
                0 if array.is_released() => Ok(None),
                0 => Ok(Some(Owned(array))),
                code => Err(self.error(code)),
            }
        }
    }

    unsafe fn error(&mut self, code: c_int) -> String {
        // SAFETY: the text belongs to the stream until it is called again.
        unsafe {
            let text = self.get_last_error.map(|get| get(self));
            match text.filter(|text| !text.is_null()) {
                Some(text) => CStr::from_ptr(text).to_string_lossy().into_owned(),
                None => std::io::Error::from_raw_os_error(code).to_string(),
            }
        }
    }
}

impl Schema {
    pub fn format(&self) -> &str {
        // SAFETY: a null-terminated text that lives as long as the structure.
        unsafe { text(self.format) }
    }

    pub fn name(&self) -> &str {
        // SAFETY: as above.
        unsafe { text(self.name) }
    }

    pub fn children(&self) -> impl Iterator<Item = &Schema> {
        (0..self.n_children.max(0) as usize).filter_map(|at| {
            // SAFETY: so many children, which live as long as the structure.
            unsafe { (*self.children.add(at)).as_ref() }
        })
    }

    pub fn dictionary(&self) -> Option<&Schema> {
        // SAFETY: null, or as above.
        unsafe { self.dictionary.as_ref() }
    }
}

unsafe fn text<'t>(text: *const c_char) -> &'t str {
    if text.is_null() {
        return "";
    }
    // SAFETY: as the caller vouches.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("")
}

impl Array {
    pub fn child(&self, at: usize) -> Option<&Array> {
        if at >= self.n_children.max(0) as usize {
            return None;
        }
        // SAFETY: so many children, which live as long as the structure.
        unsafe { (*self.children.add(at)).as_ref() }
    }

    pub fn dictionary(&self) -> Option<&Array> {
        // SAFETY: null, or as above.
        unsafe { self.dictionary.as_ref() }
    }

    /// A buffer, null if there is none.
    pub fn buffer<T>(&self, at: usize) -> *const T {
        if at >= self.n_buffers.max(0) as usize {
            return std::ptr::null();
        }
        // SAFETY: so many buffers.
        unsafe { (*self.buffers.add(at)).cast() }
    }
}
