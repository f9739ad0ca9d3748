//! The environment variables that Python, its C libraries and its children see.
//!
//! erts copies the environment at its start and never looks at that of C again, so what `System.put_env`
//! has changed is not there. It is brought there once, before the interpreter starts.

/// Makes these the variables of C, and no others.
#[cfg(unix)]
pub fn set(wanted: &[(String, String)]) {
    use std::ffi::{CStr, CString, c_char};
    use std::sync::atomic::{AtomicPtr, Ordering};

    unsafe extern "C" {
        #[cfg(not(target_vendor = "apple"))]
        static mut environ: *mut *mut c_char;
        #[cfg(target_vendor = "apple")]
        fn _NSGetEnviron() -> *mut *mut *mut c_char;
        fn tzset();
    }

    // SAFETY: the variable of C, which lives as long as the process; all that is done to it here is
    // a load and a store of the pointer.
    let variable: &AtomicPtr<*mut c_char> = unsafe {
        #[cfg(not(target_vendor = "apple"))]
        let variable = &raw mut environ;
        #[cfg(target_vendor = "apple")]
        let variable = _NSGetEnviron();
        AtomicPtr::from_ptr(variable)
    };
    let mut there: Vec<*mut c_char> = Vec::new();
    let mut at = variable.load(Ordering::Acquire);
    // SAFETY: null, or pointers to null-terminated texts up to a null. Nothing else in the VM changes them.
    while let Some(&entry) = unsafe { at.as_ref() }.filter(|entry| !entry.is_null()) {
        there.push(entry);
        // SAFETY: not at the null yet.
        at = unsafe { at.add(1) };
    }

    let mut entries: Vec<*mut c_char> = Vec::with_capacity(wanted.len() + 1);
    for (name, value) in wanted {
        let same = there.iter().find(|&&entry| {
            // SAFETY: as above.
            is(unsafe { CStr::from_ptr(entry) }.to_bytes(), name, value)
        });
        if let Some(&entry) = same {
            entries.push(entry);
        } else if let Ok(entry) = CString::new(format!("{name}={value}")) {
            // C keeps it.
            entries.push(entry.into_raw());
        }
    }
    entries.push(std::ptr::null_mut());
    // Other threads may be reading the old one, so it stays, and is left in one step. `setenv` would change it
    // in place, piece by piece.
    variable.store(entries.leak().as_mut_ptr(), Ordering::Release);
    // SAFETY: no preconditions. The zone of the VM's own local time too, which has been read before.
    unsafe { tzset() };
}

/// Elsewhere erts and Python ask the same system.
#[cfg(not(unix))]
pub fn set(_wanted: &[(String, String)]) {}

/// Whether it is that variable with that value, as erts understands it: what is not UTF-8 is Latin-1.
#[cfg(unix)]
fn is(entry: &[u8], name: &str, value: &str) -> bool {
    let Some(equals) = entry.iter().position(|&byte| byte == b'=') else {
        return false;
    };
    let (its_name, its_value) = (&entry[..equals], &entry[equals + 1..]);
    let same = |bytes: &[u8], text: &str| match std::str::from_utf8(bytes) {
        Ok(its) => its == text,
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).eq(text.chars()),
    };
    same(its_name, name) && same(its_value, value)
}

#[cfg(all(test, unix))]
mod tests {
    use super::is;

    #[test]
    fn a_variable_that_is_not_utf8_is_the_same_as_its_latin1() {
        assert!(is(b"A=b", "A", "b"));
        assert!(is(b"A=", "A", ""));
        assert!(is(b"A=b=c", "A", "b=c"));
        assert!(is("A=\u{e4}".as_bytes(), "A", "\u{e4}"));
        assert!(is(b"A=x\xe4", "A", "x\u{e4}"));
        assert!(!is(b"A=b", "A", "c"));
        assert!(!is(b"AB=b", "A", "b"));
        assert!(!is(b"A", "A", ""));
    }
}
