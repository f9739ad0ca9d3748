//! The names of nodes in pids, references and ports. Older VMs write them in Latin-1; here they are UTF-8, so that
//! the same term has the same bytes.

use crate::{Broken, Reader, tag};
use std::borrow::Cow;

const LATIN1: u8 = 100;
const SMALL_LATIN1: u8 = 115;

/// The longest name of an atom, in characters.
const LONGEST: usize = 255;

/// Reads a name.
pub fn read<'b>(reader: &mut Reader<'b>) -> Result<Cow<'b, str>, Broken> {
    let tag = reader.u8()?;
    let length = match tag {
        tag::SMALL_ATOM_UTF8 | SMALL_LATIN1 => reader.u8()?.into(),
        tag::ATOM_UTF8 | LATIN1 => reader.u16_be()?.into(),
        _ => return Err(Broken("the name of a node is not an atom")),
    };
    let bytes = reader.bytes(length)?;
    let name = match tag {
        LATIN1 | SMALL_LATIN1 => Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()),
        _ => std::str::from_utf8(bytes)
            .map(Cow::Borrowed)
            .map_err(|_| Broken("the name of a node is no text"))?,
    };
    if name.chars().count() > LONGEST {
        return Err(Broken("the name of a node is too long"));
    }
    Ok(name)
}

/// Adds a name.
pub fn write(bytes: &mut Vec<u8>, name: &str) {
    match u8::try_from(name.len()) {
        Ok(length) => bytes.extend([tag::SMALL_ATOM_UTF8, length]),
        Err(_) => {
            bytes.push(tag::ATOM_UTF8);
            bytes.extend((name.len() as u16).to_be_bytes());
        }
    }
    bytes.extend_from_slice(name.as_bytes());
}

/// A pid, a reference or a port as a VM writes it, with its node in UTF-8. None for other terms.
pub fn in_utf8(external: &[u8]) -> Option<Vec<u8>> {
    let before = match *external.first()? {
        tag::NEW_PID | tag::NEW_PORT | tag::V4_PORT => 1,
        tag::NEWER_REFERENCE => 3,
        _ => return None,
    };
    let (before, rest) = external.split_at_checked(before)?;
    let mut reader = Reader::new(rest);
    let name = read(&mut reader).ok()?;
    let mut bytes = Vec::with_capacity(external.len());
    bytes.extend_from_slice(before);
    write(&mut bytes, &name);
    bytes.extend_from_slice(reader.rest());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(node: &[u8]) -> Vec<u8> {
        [
            &[tag::NEWER_REFERENCE, 0, 1],
            node,
            &[0, 0, 0, 7, 1, 2, 3, 4],
        ]
        .concat()
    }

    #[test]
    fn a_name_has_one_form_whatever_it_was_written_in() {
        let newer = reference(&[119, 3, b'a', 0xC3, 0xA4]);
        for older in [
            &[100, 0, 2, b'a', 0xE4][..],
            &[115, 2, b'a', 0xE4],
            &[118, 0, 3, b'a', 0xC3, 0xA4],
            &[119, 3, b'a', 0xC3, 0xA4],
        ] {
            assert_eq!(in_utf8(&reference(older)), Some(newer.clone()));
        }
        let long = "ä".repeat(200);
        let mut name = Vec::new();
        write(&mut name, &long);
        assert_eq!(read(&mut Reader::new(&name)).as_deref(), Ok(&*long));
    }

    #[test]
    fn what_is_broken_or_something_else_has_none() {
        for name in [
            &[119, 9, b'a'][..],
            &[119, 1, 0xFF],
            &[104, 1],
            &[118, 4, 0],
            &[],
        ] {
            assert!(read(&mut Reader::new(name)).is_err());
        }
        let long = [&[118, 1, 0][..], &[b'a'; 256]].concat();
        assert!(read(&mut Reader::new(&long)).is_err());
        assert_eq!(in_utf8(&[97, 1]), None);
        assert_eq!(in_utf8(&[]), None);
        assert_eq!(in_utf8(&[tag::NEWER_REFERENCE, 0]), None);
    }
}
