//! Terms as Erlang writes them, for messages.

use crate::binary;
use crate::kept;
use crate::map;
use crate::number;
use crate::sequence::Elements;
use crate::word::{self, Kind, View, Word};
use crate::{atom, pid, reference};
use erlang_python_wire::tag;
use std::ffi::{CStr, c_char, c_int};
use std::fmt::Write;

/// Deeper terms are left out, and what goes beyond this size.
const DEEPEST: usize = 32;
const LONGEST: usize = 64 << 10;

pub unsafe fn text(term: Word) -> String {
    let mut text = String::new();
    write(&mut text, term, DEEPEST);
    text
}

unsafe fn write(text: &mut String, term: Word, depth: usize) {
    if depth == 0 || text.len() > LONGEST {
        text.push_str("...");
        return;
    }
    let _ = match word::view(term) {
        View::Small(value) => write!(text, "{value}"),
        View::Atom(index) => {
            text.push_str(&quoted(atom::name(index)));
            Ok(())
        }
        View::Nil => write!(text, "[]"),
        View::Pid(word) => {
            text.push_str(&pid::text(word));
            Ok(())
        }
        View::Cell => {
            list(text, term, depth);
            Ok(())
        }
        View::Boxed(kind, boxed) => {
            self::boxed(text, kind, boxed, depth);
            Ok(())
        }
        View::None => write!(text, "<no term>"),
    };
}

unsafe fn list(text: &mut String, term: Word, depth: usize) {
    text.push('[');
    let mut elements = Elements(term);
    let mut separator = "";
    for element in elements.by_ref() {
        text.push_str(separator);
        separator = ",";
        write(text, element, depth - 1);
        if text.len() > LONGEST {
            break;
        }
    }
    if !word::is_cell(elements.0) && elements.0 != word::NIL {
        text.push('|');
        write(text, elements.0, depth - 1);
    }
    text.push(']');
}

unsafe fn boxed(text: &mut String, kind: Kind, boxed: *const Word, depth: usize) {
    let _ = match kind {
        Kind::Tuple => {
            text.push('{');
            for (index, element) in word::words(boxed).iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                write(text, *element, depth - 1);
                if text.len() > LONGEST {
                    break;
                }
            }
            text.push('}');
            Ok(())
        }
        Kind::Map => {
            text.push_str("#{");
            for (index, [key, value]) in map::pairs(boxed).iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                write(text, *key, depth - 1);
                text.push_str("=>");
                write(text, *value, depth - 1);
                if text.len() > LONGEST {
                    break;
                }
            }
            text.push('}');
            Ok(())
        }
        Kind::Float => write!(text, "{:?}", number::float(boxed)),
        Kind::Big => {
            let big = number::big(boxed);
            let sign = if big.negative { "-" } else { "" };
            let _ = write!(text, "{sign}16#");
            let mut limbs = big.limbs.iter().rev();
            let _ = limbs.next().map(|limb| write!(text, "{limb:X}"));
            limbs
                .take(LONGEST / 16)
                .try_for_each(|limb| write!(text, "{limb:016X}"))
        }
        Kind::Binary | Kind::Shared | Kind::Bits => {
            bits(text, binary::bits_of(boxed));
            Ok(())
        }
        Kind::Pid => write!(text, "<{}>", numbers(word::bytes(boxed))),
        Kind::Port => write!(text, "#Port<{}>", numbers(word::bytes(boxed))),
        Kind::Reference | Kind::Resource | Kind::Request => {
            write!(text, "#Ref<{}>", numbers(&reference::external(boxed)))
        }
        Kind::Kept => {
            let kept = kept::of(boxed);
            let identity = numbers(kept.identity());
            match kept.kind {
                // It is told by its text, and what comes after a zero.
                tag::kept::FUNCTION => {
                    let end = kept.identity().split(|byte| *byte == 0).next();
                    let name = String::from_utf8_lossy(end.unwrap_or(&[]));
                    write!(text, "{name}")
                }
                tag::kept::REFERENCE => write!(text, "#Ref<{identity}>"),
                tag::kept::PORT => write!(text, "#Port<{identity}>"),
                _ => write!(text, "#Term<{}>", kept.number),
            }
        }
    };
}

unsafe fn bits(text: &mut String, (bytes, used): (&[u8], u8)) {
    let shown = &bytes[..bytes.len().min(LONGEST / 4)];
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    text.push_str("<<");
    if used == 8 && !shown.is_empty() && shown.iter().all(is_text) {
        let _ = write!(text, "\"{}\"", String::from_utf8_lossy(shown));
    } else {
        for (index, byte) in shown.iter().enumerate() {
            text.push_str(if index > 0 { "," } else { "" });
            let _ = if used != 8 && index + 1 == bytes.len() {
                write!(text, "{}:{used}", byte >> (8 - used))
            } else {
                write!(text, "{byte}")
            };
        }
    }
    text.push_str(if shown.len() < bytes.len() {
        "...>>"
    } else {
        ">>"
    });
}

/// The numbers of an external form, without its node.
fn numbers(external: &[u8]) -> String {
    let (tag, rest) = external.split_first().unwrap_or((&0, &[]));
    let rest = if *tag == tag::NEWER_REFERENCE {
        rest.get(2..)
    } else {
        Some(rest)
    };
    let after_node = match rest {
        Some([tag::SMALL_ATOM_UTF8, length, rest @ ..]) => rest.get(usize::from(*length)..),
        Some([tag::ATOM_UTF8, high, low, rest @ ..]) => {
            rest.get(usize::from(u16::from_be_bytes([*high, *low]))..)
        }
        _ => None,
    };
    // The creation comes first in a reference, and last in others.
    let words = after_node.unwrap_or(&[]).as_chunks::<4>().0;
    let words = match (*tag, words) {
        (tag::NEWER_REFERENCE, [_, words @ ..]) | (_, [words @ .., _]) => words,
        (_, []) => &[],
    };
    let words = words
        .iter()
        .rev()
        .map(|word| u32::from_be_bytes(*word).to_string());
    let words: Vec<_> = words.collect();
    format!("0.{}", words.join("."))
}

fn quoted(name: &str) -> String {
    let is_plain = name.starts_with(|char: char| char.is_ascii_lowercase())
        && name
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '@'));
    if is_plain {
        return name.into();
    }
    format!("'{}'", name.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Takes `%T` alone, for two terms at most, which is what rustler asks for.
///
/// C passes these arguments as if they had been named, on all systems that the engine supports; Rust has no
/// functions of its own with any number of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_snprintf(
    buffer: *mut c_char,
    size: usize,
    format: *const c_char,
    first: Word,
    second: Word,
) -> c_int {
    let format = CStr::from_ptr(format).to_string_lossy();
    let mut terms = [first, second].into_iter();
    let mut parts = format.split('%');
    let mut all: String = parts.next().unwrap_or_default().into();
    for part in parts {
        let Some((rest, term)) = part.strip_prefix('T').zip(terms.next()) else {
            return -1;
        };
        all.push_str(&text(term));
        all.push_str(rest);
    }
    if size > 0 {
        let written = all.len().min(size - 1);
        buffer
            .cast::<u8>()
            .copy_from_nonoverlapping(all.as_ptr(), written);
        *buffer.add(written) = 0;
    }
    all.len().try_into().unwrap_or(-1)
}
