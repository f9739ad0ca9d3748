//! What a term in bytes consists of, found without making it: where its parts end, and which of them are terms that the
//! VM knows, too.

use crate::{Broken, MAX_DEPTH, Reader, tag};

type Result<T> = std::result::Result<T, Broken>;

/// Maps up to this size are plain arrays in the VM.
pub const FLAT: usize = 32;

/// What takes part in a `Shape`.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Maps of more keys are not plain.
    pub most_keys: usize,
    /// Nor are binaries of more bytes.
    pub most_bytes: usize,
}

/// A list, tuple or map that has parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// How many bytes of the whole are before its end.
    pub end: u32,
    /// Where that follows which comes after it and what is in it.
    pub next: u32,
    /// All of it is in the external term format as the VM itself writes it.
    pub plain: bool,
    /// All of its parts are.
    pub plain_parts: bool,
    /// A proper list of many integers of up to 32 bits, and nothing else: whoever knows that makes it sooner than the
    /// VM, so what it is in is not plain.
    pub integers: bool,
}

/// How many are many.
const MANY: usize = 1_024;

/// The containers of a term, in the order of their beginnings.
#[derive(Default)]
pub struct Shape {
    pub containers: Vec<Container>,
    /// Of the whole term.
    pub plain: bool,
    /// How many keys the largest of its maps has.
    pub largest_map: usize,
    open: Vec<Open>,
}

/// A container that has not ended.
#[derive(Clone, Copy)]
struct Open {
    /// How many of its parts have not begun.
    left: usize,
    /// Its place among the containers.
    at: usize,
    plain: bool,
    plain_parts: bool,
}

impl Open {
    /// How many bytes the numbers have that begin here, all of one tag and size. The first is begun already.
    #[inline]
    fn run(&mut self, bytes: &[u8], here: usize, tag: u8, size: usize) -> usize {
        let mut end = here + size;
        while self.left > 0 && bytes.get(end) == Some(&tag) {
            self.left -= 1;
            end += size;
        }
        end - here
    }
}

impl Shape {
    /// Is empty again, and keeps the memory for so many containers at most.
    pub fn forget(&mut self, most: usize) {
        self.containers.clear();
        self.containers.shrink_to(most);
        self.open.clear();
    }

    /// Reads over a term, all of whose lengths, counts, depths and tags it checks.
    pub fn read(&mut self, reader: &mut Reader<'_>, limits: Limits) -> Result<()> {
        let bytes = reader.rest();
        if u32::try_from(bytes.len()).is_err() {
            return Err(Broken("a term is larger than a frame"));
        }
        self.containers.clear();
        self.open.clear();
        self.largest_map = 0;
        // What is around the term.
        let mut open = Open {
            left: 1,
            at: 0,
            plain: true,
            plain_parts: true,
        };
        let mut at = 0;
        loop {
            if let Some((parts, plain)) = leaves(bytes, &mut at, &mut open, limits)? {
                if parts > FLAT && begins(bytes, at, tag::MAP) {
                    self.largest_map = self.largest_map.max(parts / 2);
                }
                if parts > MANY
                    && let Some(end) = integers(bytes, at, parts - 1)
                {
                    at = end;
                    self.containers.push(Container {
                        end: at as u32,
                        next: self.containers.len() as u32 + 1,
                        integers: true,
                        ..Container::default()
                    });
                    open.plain_parts = false;
                    continue;
                }
                if self.open.len() == MAX_DEPTH {
                    return Err(Broken("a term is nested too deep"));
                }
                self.open.push(open);
                open = Open {
                    left: parts,
                    at: self.containers.len(),
                    plain,
                    plain_parts: true,
                };
                self.containers.push(Container::default());
                continue;
            }
            let plain = open.plain && open.plain_parts;
            let Some(outer) = self.open.pop() else {
                self.plain = plain;
                return reader.bytes(at).map(drop);
            };
            self.containers[open.at] = Container {
                end: at as u32,
                next: self.containers.len() as u32,
                plain,
                plain_parts: open.plain_parts,
                integers: false,
            };
            open = outer;
            open.plain_parts &= plain;
        }
    }
}

/// Whether what has its parts from `at` on may be of this kind: it is, if it is no small tuple.
fn begins(bytes: &[u8], at: usize, tag: u8) -> bool {
    at >= HEAD && bytes[at - HEAD] == tag
}

/// A tag, and a number of 32 bits.
const HEAD: usize = 5;

/// Where a list ends whose elements begin here, if they are integers, and as many.
fn integers(bytes: &[u8], at: usize, count: usize) -> Option<usize> {
    if !begins(bytes, at, tag::LIST) {
        return None;
    }
    let mut rest = &bytes[at..];
    for _ in 0..count {
        rest = match rest {
            [tag::SMALL_INTEGER, _, rest @ ..] => rest,
            [tag::INTEGER, _, _, _, _, rest @ ..] => rest,
            _ => return None,
        };
    }
    let [tag::NIL, rest @ ..] = rest else {
        return None;
    };
    Some(bytes.len() - rest.len())
}

/// Reads over parts of a container until one has parts itself: how many, and whether it is plain apart from these.
/// None if the container has ended.
#[inline]
fn leaves(
    bytes: &[u8],
    at: &mut usize,
    open: &mut Open,
    limits: Limits,
) -> Result<Option<(usize, bool)>> {
    let mut here = *at;
    while open.left > 0 {
        open.left -= 1;
        let [tag, rest @ ..] = bytes.get(here..).unwrap_or_default() else {
            return Err(Broken("it ends too early"));
        };
        here += match (*tag, rest) {
            (tag::SMALL_INTEGER, _) => open.run(bytes, here, tag::SMALL_INTEGER, 2),
            (tag::INTEGER, _) => open.run(bytes, here, tag::INTEGER, 5),
            (tag::NEW_FLOAT, _) => open.run(bytes, here, tag::NEW_FLOAT, 9),
            (tag::NIL, _) => 1,
            (tag::SMALL_ATOM_UTF8, [length, ..]) => 2 + usize::from(*length),
            (tag::BINARY, [a, b, c, d, ..]) => {
                let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                open.plain_parts &= length <= limits.most_bytes;
                5 + length
            }
            (tag, rest) => {
                let mut reader = Reader::new(rest);
                let (parts, plain) = others(tag, &mut reader, limits)?;
                here = bytes.len() - reader.len();
                if parts > 0 {
                    *at = here;
                    return Ok(Some((parts, plain)));
                }
                open.plain_parts &= plain;
                continue;
            }
        };
        if here > bytes.len() {
            return Err(Broken("it ends too early"));
        }
    }
    *at = here;
    Ok(None)
}

/// Reads over what another term begins with: how many parts follow, and whether it is plain apart from these.
#[inline]
fn others(tag: u8, reader: &mut Reader<'_>, limits: Limits) -> Result<(usize, bool)> {
    match tag {
        tag::LIST => {
            // With the tail. One of no elements is that alone, which the VM never writes.
            let count = reader.count_be(1)?;
            Ok((count + 1, count > 0))
        }
        tag::SMALL_TUPLE => Ok((reader.u8()?.into(), true)),
        tag::LARGE_TUPLE => {
            let count = reader.count_be(1)?;
            if count > LARGEST_TUPLE {
                return Err(Broken("a tuple has too many elements"));
            }
            Ok((count, true))
        }
        tag::MAP => {
            let count = reader.count_be(2)?;
            Ok((2 * count, count <= limits.most_keys))
        }
        tag::ATOM_UTF8 => {
            let length = reader.u16_be()?.into();
            reader.bytes(length)?;
            Ok((0, true))
        }
        tag => rest(tag, reader).map(|plain| (0, plain)),
    }
}

/// What the VM has room for.
pub const LARGEST_TUPLE: usize = (1 << 24) - 1;

/// Reads over the rest of a rare term, which has no parts. Says whether it is plain.
#[cold]
pub fn rest(tag: u8, reader: &mut Reader<'_>) -> Result<bool> {
    match tag {
        tag::SMALL_BIG => {
            let length: usize = reader.u8()?.into();
            reader.bytes(1 + length)?;
            return Ok(true);
        }
        tag::LARGE_BIG => {
            let length = reader.u32_be()? as usize;
            reader.bytes(1)?;
            reader.bytes(length)?;
            return Ok(true);
        }
        tag::BIT_BINARY => {
            let length = reader.u32_be()? as usize;
            let bits = reader.u8()?;
            if !(1..=8).contains(&bits) || length == 0 {
                return Err(Broken("a bitstring has an impossible number of bits"));
            }
            reader.bytes(length)?;
            return Ok(true);
        }
        tag::STRING => {
            let length = reader.u16_be()?.into();
            reader.bytes(length)?;
            return Ok(true);
        }
        tag::INT64 => drop(reader.i64()?),
        tag::OBJECT => drop(reader.bytes(1 + 8 + 8)?),
        tag::BLOB => drop(reader.bytes(8 + 8 + 8)?),
        tag::KEPT => {
            reader.bytes(1 + 8)?;
            let length = reader.u32()? as usize;
            reader.bytes(length)?;
        }
        tag::NEW_PID => {
            node(reader)?;
            reader.bytes(4 + 4 + 4)?;
        }
        tag::NEWER_REFERENCE => {
            let words: usize = reader.u16_be()?.into();
            node(reader)?;
            reader.bytes(4 + 4 * words)?;
        }
        tag::NEW_PORT => {
            node(reader)?;
            reader.bytes(4 + 4)?;
        }
        tag::V4_PORT => {
            node(reader)?;
            reader.bytes(8 + 4)?;
        }
        _ => return Err(Broken("a term has an unknown tag")),
    }
    Ok(false)
}

/// Reads over the name of a node, which it gives.
pub fn node<'b>(reader: &mut Reader<'b>) -> Result<&'b [u8]> {
    let length = match reader.u8()? {
        tag::SMALL_ATOM_UTF8 => reader.u8()?.into(),
        tag::ATOM_UTF8 => reader.u16_be()?.into(),
        _ => return Err(Broken("the name of a node is not an atom")),
    };
    reader.bytes(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        most_keys: FLAT,
        most_bytes: 100,
    };

    fn shape(bytes: &[u8]) -> Result<(Shape, usize)> {
        let mut shape = Shape::default();
        let mut reader = Reader::new(bytes);
        shape.read(&mut reader, LIMITS)?;
        Ok((shape, reader.len()))
    }

    #[test]
    fn the_ends_of_parts_are_found() {
        // {[1], %{}, "ab", 7}, and one byte more.
        let bytes = [
            104, 4, 108, 0, 0, 0, 1, 97, 1, 106, 116, 0, 0, 0, 0, 109, 0, 0, 0, 2, 65, 66, 97, 7, 0,
        ];
        let (shape, left) = shape(&bytes).expect("it is whole");
        assert_eq!(left, 1);
        assert!(shape.plain);
        let whole = Container {
            end: 24,
            next: 2,
            plain: true,
            plain_parts: true,
            integers: false,
        };
        let list = Container { end: 10, ..whole };
        assert_eq!(shape.containers, [whole, list]);
    }

    #[test]
    fn lists_of_many_integers_are_told_from_others() {
        // {[1, -1, 1, -1, …], 7}
        let list = |last: &[u8]| {
            let mut bytes = vec![104, 2, 108, 0, 0, 16, 0];
            for _ in 0..2_048 {
                bytes.extend([97, 1, 98, 255, 255, 255, 255]);
            }
            bytes.extend(last);
            bytes.extend([97, 7]);
            bytes
        };
        let (own, left) = shape(&list(&[106])).expect("it is whole");
        assert_eq!(left, 0);
        assert!(!own.plain && own.containers[1].integers && !own.containers[0].integers);
        assert_eq!(own.containers[1].end as usize, 7 + 2_048 * 7 + 1);
        assert_eq!((own.containers[0].next, own.containers[1].next), (2, 2));
        // An improper one, and one with something else in it.
        let (others, _) = shape(&list(&[97, 1])).expect("it is whole");
        assert!(others.plain && !others.containers[1].integers);
        let mut other = list(&[106]);
        other[5..7].copy_from_slice(&[16, 1]);
        other.extend([106]);
        assert!(!shape(&other).expect("it is whole").0.containers[1].integers);
        assert!(shape(&list(&[106])[..5_000]).is_err());
    }

    #[test]
    fn what_has_something_of_ours_in_it_is_not_plain_and_the_rest_is() {
        // {{1}, [OBJECT], {2}}
        let mut bytes = vec![104, 3, 104, 1, 97, 1, 108, 0, 0, 0, 1, tag::OBJECT];
        bytes.extend([0; 17]);
        bytes.extend([106, 104, 1, 97, 2]);
        let (shape, left) = shape(&bytes).expect("it is whole");
        assert_eq!(left, 0);
        let plain: Vec<_> = shape.containers.iter().map(|part| part.plain).collect();
        assert_eq!(
            (plain, shape.plain),
            (vec![false, true, false, true], false)
        );
        assert_eq!(shape.containers[1].next, 2);
    }

    #[test]
    fn what_is_large_is_not_plain() {
        let mut binary = vec![109, 0, 0, 0, 101];
        binary.extend([0; 101]);
        assert!(!shape(&binary).expect("it is whole").0.plain);
        let none = shape(&[104, 1, 116, 0, 0, 0, 0]).expect("it is whole").0;
        assert_eq!(none.largest_map, 0);
        let mut map = vec![116, 0, 0, 0, 33];
        map.extend((0..33).flat_map(|key| [97, key, 106]));
        let (shape, _) = shape(&map).expect("it is whole");
        assert!(!shape.plain && shape.containers[0].plain_parts);
    }

    #[test]
    fn what_is_cut_off_is_broken_wherever_that_is() {
        let bytes = [
            104, 3, 108, 0, 0, 0, 1, 97, 1, 106, 116, 0, 0, 0, 1, 97, 1, 98, 0, 0, 0, 1, 110, 1, 0,
            5,
        ];
        assert!(shape(&bytes).is_ok());
        for end in 0..bytes.len() {
            assert!(shape(&bytes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn what_is_too_deep_is_broken() {
        let nested = |depth: usize| {
            let mut bytes: Vec<u8> = std::iter::repeat_n([104, 1], depth).flatten().collect();
            bytes.push(106);
            bytes
        };
        assert!(shape(&nested(MAX_DEPTH)).is_ok());
        assert!(shape(&nested(MAX_DEPTH + 1)).is_err());
    }

    #[test]
    fn nothing_is_made_for_what_is_not_there() {
        for tag in [105, 108, 109, 116] {
            assert!(shape(&[tag, 0x7f, 0xff, 0xff, 0xff, 106, 106]).is_err());
        }
        assert!(shape(&[105, 1, 0, 0, 0]).is_err());
        assert!(shape(&[100, 0, 2, 111, 107]).is_err(), "no tag of ours");
    }
}
