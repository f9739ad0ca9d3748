//! What a program of Linux says of the libraries that it is linked with: the part of it that the dynamic linker reads.

pub struct Elf {
    /// The names of the libraries.
    pub needed: Vec<Vec<u8>>,
    /// Where they are looked for, before the places that all programs have: folders with colons between them.
    pub search_path: Option<Vec<u8>>,
}

const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;

const END: u64 = 0;
const NEEDED: u64 = 1;
const STRINGS: u64 = 5;
const RPATH: u64 = 15;
const RUNPATH: u64 = 29;

/// Of the entries, whose sizes the header says too.
const SEGMENT_BYTES: usize = 56;
const ENTRY_BYTES: usize = 16;

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    bytes: u64,
}

impl Elf {
    /// None if it is no such program, or one for another kind of machine than this is.
    pub fn parse(file: &[u8]) -> Option<Self> {
        // 64 bits, little-endian, the first version, as those of this machine.
        if !cfg!(all(target_pointer_width = "64", target_endian = "little"))
            || file.get(..7)? != b"\x7fELF\x02\x01\x01"
            || number(file, 18, 2)? != MACHINE?
        {
            return None;
        }
        let segments = segments(file)?;
        let dynamic = segments.iter().find(|segment| segment.kind == DYNAMIC)?;
        let start = usize::try_from(dynamic.offset).ok()?;
        let bytes = usize::try_from(dynamic.bytes).ok()?;

        let (mut needed, mut strings, mut search_path) = (Vec::new(), None, None);
        for at in (start..start.checked_add(bytes)?).step_by(ENTRY_BYTES) {
            let value = number(file, at.checked_add(8)?, 8)?;
            match number(file, at, 8)? {
                END => break,
                NEEDED => needed.push(value),
                STRINGS => strings = Some(value),
                // Of two, the linker forgets one.
                RPATH | RUNPATH if search_path.is_some() => return None,
                RPATH | RUNPATH => search_path = Some(value),
                _ => {}
            }
        }
        let strings = offset_of(&segments, strings?)?;
        let text = |at: u64| text(file, strings.checked_add(at)?);
        Some(Self {
            needed: needed.into_iter().map(text).collect::<Option<_>>()?,
            search_path: match search_path {
                Some(at) => Some(text(at)?),
                None => None,
            },
        })
    }
}

const MACHINE: Option<u64> = if cfg!(target_arch = "x86_64") {
    Some(62)
} else if cfg!(target_arch = "aarch64") {
    Some(183)
} else {
    None
};

fn segments(file: &[u8]) -> Option<Vec<Segment>> {
    let start = usize::try_from(number(file, 32, 8)?).ok()?;
    if number(file, 54, 2)? != SEGMENT_BYTES as u64 {
        return None;
    }
    let count = usize::try_from(number(file, 56, 2)?).ok()?;
    (0..count)
        .map(|index| {
            let at = start.checked_add(index.checked_mul(SEGMENT_BYTES)?)?;
            Some(Segment {
                kind: u32::try_from(number(file, at, 4)?).ok()?,
                offset: number(file, at.checked_add(8)?, 8)?,
                address: number(file, at.checked_add(16)?, 8)?,
                bytes: number(file, at.checked_add(32)?, 8)?,
            })
        })
        .collect()
}

/// Where in the file an address in memory is.
fn offset_of(segments: &[Segment], address: u64) -> Option<u64> {
    segments.iter().find_map(|segment| {
        let inside = address.checked_sub(segment.address)?;
        (segment.kind == LOAD && inside < segment.bytes)
            .then(|| segment.offset.checked_add(inside))
            .flatten()
    })
}

fn text(file: &[u8], at: u64) -> Option<Vec<u8>> {
    let rest = file.get(usize::try_from(at).ok()?..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    Some(rest[..end].to_owned())
}

fn number(file: &[u8], at: usize, bytes: usize) -> Option<u64> {
    let bytes = file.get(at..at.checked_add(bytes)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::Elf;

    #[test]
    fn this_program_says_what_it_is_linked_with() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let elf = Elf::parse(&file).unwrap();
        assert!(elf.needed.iter().any(|name| name.starts_with(b"libc.")));
    }

    #[test]
    fn what_is_broken_is_none() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for end in (0..4096).chain([file.len() / 2]) {
            let _ = Elf::parse(&file[..end]);
        }
        for at in 0..1024 {
            let mut broken = file[..65_536.min(file.len())].to_owned();
            broken[at] ^= 0xff;
            let _ = Elf::parse(&broken);
        }
        assert!(Elf::parse(b"#!/bin/sh\n").is_none());
        assert!(Elf::parse(&[]).is_none());
    }
}
