//! The order of terms, which is that of the VM, and whether they are the same.

use crate::env::HostEnv;
use crate::kept;
use crate::map;
use crate::number::{self, Big};
use crate::pid;
use crate::word::{self, Kind, View, Word};
use crate::{atom, binary, hash, reference};
use std::cell::Cell;
use std::cmp::Ordering;
use std::ffi::c_int;

/// Whether two terms are the same.
#[inline]
pub unsafe fn identical(left: Word, right: Word) -> bool {
    if left == right {
        return true;
    }
    if word::is_immediate(left) || word::is_immediate(right) {
        return false;
    }
    // What most keys are.
    if let (Some(left), Some(right)) = (
        word::of_kind(left, Kind::Binary),
        word::of_kind(right, Kind::Binary),
    ) {
        return *left == *right && word::bytes(left) == word::bytes(right);
    }
    identical_boxed(left, right)
}

unsafe fn identical_boxed(left: Word, right: Word) -> bool {
    let mut rest = vec![(left, right)];
    while let Some((mut left, mut right)) = rest.pop() {
        while word::is_cell(left) && word::is_cell(right) && left != right {
            let (left_cell, right_cell) = (word::pointer(left), word::pointer(right));
            if *left_cell != *right_cell {
                if word::is_immediate(*left_cell) || word::is_immediate(*right_cell) {
                    return false;
                }
                rest.push((*left_cell, *right_cell));
            }
            left = *left_cell.add(1);
            right = *right_cell.add(1);
        }
        if left == right {
            continue;
        }
        if !word::is_boxed(left) || !word::is_boxed(right) {
            return false;
        }
        if !same_so_far(word::pointer(left), word::pointer(right), &mut rest) {
            return false;
        }
    }
    true
}

/// Whether two boxed terms are the same, as far as it is not left to what is added to `rest`.
unsafe fn same_so_far(left: *const Word, right: *const Word, rest: &mut Vec<(Word, Word)>) -> bool {
    match (word::kind(left), word::kind(right)) {
        (Kind::Tuple, Kind::Tuple) => {
            let (left, right) = (word::words(left), word::words(right));
            let same = left.len() == right.len();
            if same {
                rest.extend(left.iter().copied().zip(right.iter().copied()));
            }
            same
        }
        (Kind::Map, Kind::Map) => same_keys(left, right, rest),
        (Kind::Float, Kind::Float)
        | (Kind::Resource, Kind::Resource)
        | (Kind::Request, Kind::Request) => *left.add(1) == *right.add(1),
        (Kind::Big, Kind::Big) => *left == *right && word::words(left) == word::words(right),
        (Kind::Binary | Kind::Shared | Kind::Bits, Kind::Binary | Kind::Shared | Kind::Bits) => {
            binary::bits_of(left) == binary::bits_of(right)
        }
        (Kind::Kept, Kind::Kept) => {
            let (left, right) = (kept::of(left), kept::of(right));
            left.kind == right.kind && left.identity() == right.identity() && {
                // What cannot be told from others is the same as itself.
                !left.identity().is_empty() || left.number == right.number
            }
        }
        (Kind::Pid, Kind::Pid) => word::bytes(left) == word::bytes(right),
        (Kind::Port | Kind::Reference | Kind::Kept, Kind::Port | Kind::Reference | Kind::Kept) => {
            reference::external(left) == reference::external(right)
        }
        _ => false,
    }
}

thread_local! {
    /// How many maps are keys of maps that are being compared.
    static WITHIN_KEYS: Cell<usize> = const { Cell::new(0) };
}

/// Keys are compared on the stack. When they are nested deeper, their hashes are.
const DEEPEST_KEYS: usize = 50;

struct WithinKeys;

impl WithinKeys {
    fn enter() -> Option<Self> {
        let depth = WITHIN_KEYS.get();
        (depth < DEEPEST_KEYS).then(|| {
            WITHIN_KEYS.set(depth + 1);
            WithinKeys
        })
    }
}

impl Drop for WithinKeys {
    fn drop(&mut self) {
        WITHIN_KEYS.set(WITHIN_KEYS.get() - 1);
    }
}

unsafe fn same_keys(left: *const Word, right: *const Word, rest: &mut Vec<(Word, Word)>) -> bool {
    if word::size(left) != word::size(right) {
        return false;
    }
    let Some(_within) = WithinKeys::enter() else {
        return hash::term(word::boxed(left)) == hash::term(word::boxed(right));
    };
    for (number, [key, value]) in map::pairs(left).iter().enumerate() {
        let [other_key, other_value] = map::pairs(right)[number];
        if other_key == *key {
            rest.push((*value, other_value));
            continue;
        }
        match map::get(right, *key) {
            Some(other) => rest.push((*value, other)),
            None => return false,
        }
    }
    true
}

/// What is still to be compared, the next last, and whether 1 differs from 1.0.
type Rest = Vec<(Word, Word, bool)>;

/// `exact`: integers come before floats, as in the order of keys.
pub unsafe fn order(left: Word, right: Word, exact: bool) -> Ordering {
    let mut rest = vec![(left, right, exact)];
    while let Some((mut left, mut right, exact)) = rest.pop() {
        while word::is_cell(left) && word::is_cell(right) && left != right {
            let (left_cell, right_cell) = (word::pointer(left), word::pointer(right));
            if *left_cell != *right_cell {
                // First the heads, then the rest.
                rest.push((*left_cell.add(1), *right_cell.add(1), exact));
                left = *left_cell;
                right = *right_cell;
            } else {
                left = *left_cell.add(1);
                right = *right_cell.add(1);
            }
        }
        if left == right {
            continue;
        }
        let found = rank(left)
            .cmp(&rank(right))
            .then_with(|| within_rank(left, right, exact, &mut rest));
        if found.is_ne() {
            return found;
        }
    }
    Ordering::Equal
}

unsafe fn rank(term: Word) -> u8 {
    match word::view(term) {
        View::Small(_) | View::Boxed(Kind::Big | Kind::Float, _) => 0,
        View::Atom(_) | View::None => 1,
        View::Boxed(Kind::Resource | Kind::Request | Kind::Reference, _) => 2,
        View::Boxed(Kind::Kept, boxed) => match kept::of(boxed).kind {
            erlang_python_wire::tag::kept::FUNCTION => 3,
            erlang_python_wire::tag::kept::PORT => 4,
            _ => 2,
        },
        View::Boxed(Kind::Port, _) => 4,
        View::Pid(_) | View::Boxed(Kind::Pid, _) => 5,
        View::Boxed(Kind::Tuple, _) => 6,
        View::Boxed(Kind::Map, _) => 7,
        View::Nil => 8,
        View::Cell => 9,
        View::Boxed(Kind::Binary | Kind::Shared | Kind::Bits, _) => 10,
    }
}

unsafe fn within_rank(left: Word, right: Word, exact: bool, rest: &mut Rest) -> Ordering {
    match (word::view(left), word::view(right)) {
        (View::Atom(left), View::Atom(right)) => atom::name(left).cmp(atom::name(right)),
        (View::Pid(left), View::Pid(right)) => {
            let numbers = pid::numbers(left).cmp(&pid::numbers(right));
            numbers.then(left.cmp(&right))
        }
        (View::Pid(left), View::Boxed(Kind::Pid, right)) => {
            pid::external(left).as_slice().cmp(word::bytes(right))
        }
        (View::Boxed(Kind::Pid, left), View::Pid(right)) => {
            word::bytes(left).cmp(pid::external(right).as_slice())
        }
        (View::Boxed(Kind::Pid, left), View::Boxed(Kind::Pid, right)) => {
            word::bytes(left).cmp(word::bytes(right))
        }
        (View::Boxed(Kind::Tuple, left), View::Boxed(Kind::Tuple, right)) => {
            let (left, right) = (word::words(left), word::words(right));
            let sizes = left.len().cmp(&right.len());
            if sizes.is_eq() {
                let pairs = left.iter().zip(right).rev();
                rest.extend(pairs.map(|(left, right)| (*left, *right, exact)));
            }
            sizes
        }
        (View::Boxed(Kind::Map, left), View::Boxed(Kind::Map, right)) => {
            maps(left, right, exact, rest)
        }
        (
            View::Boxed(Kind::Binary | Kind::Shared | Kind::Bits, left),
            View::Boxed(Kind::Binary | Kind::Shared | Kind::Bits, right),
        ) => bits(binary::bits_of(left), binary::bits_of(right)),
        (View::Boxed(left_kind, left), View::Boxed(right_kind, right))
            if !is_number(left_kind) && !is_number(right_kind) =>
        {
            reference::external(left).cmp(&reference::external(right))
        }
        _ => numbers(left, right, exact),
    }
}

fn is_number(kind: Kind) -> bool {
    matches!(kind, Kind::Big | Kind::Float)
}

unsafe fn maps(left: *const Word, right: *const Word, exact: bool, rest: &mut Rest) -> Ordering {
    let (left_pairs, right_pairs) = (map::pairs(left), map::pairs(right));
    let sizes = left_pairs.len().cmp(&right_pairs.len());
    if sizes.is_ne() {
        return sizes;
    }
    let Some(_within) = WithinKeys::enter() else {
        return hash::term(word::boxed(left)).cmp(&hash::term(word::boxed(right)));
    };
    let sorted = |pairs: &[map::Pair]| {
        let mut pairs = pairs.to_vec();
        // SAFETY: keys of a map.
        pairs.sort_by(|left, right| unsafe { order(left[0], right[0], true) });
        pairs
    };
    let (left, right) = (sorted(left_pairs), sorted(right_pairs));
    // All keys, then the values.
    let pairs = || left.iter().zip(&right).rev();
    rest.extend(pairs().map(|(left, right)| (left[1], right[1], exact)));
    rest.extend(pairs().map(|(left, right)| (left[0], right[0], true)));
    Ordering::Equal
}

/// Bits, of which the last byte has only some.
fn bits((left, left_used): (&[u8], u8), (right, right_used): (&[u8], u8)) -> Ordering {
    let whole = |bytes: &[u8], used| bytes.len() - usize::from(used != 8 && !bytes.is_empty());
    let common = whole(left, left_used).min(whole(right, right_used));
    left[..common].cmp(&right[..common]).then_with(|| {
        let last = |bytes: &[u8], used: u8| match bytes.len() - common {
            0 => (0, 0),
            1 => (bytes[common], used),
            _ => (bytes[common], 8),
        };
        let (left_last, left_bits) = last(left, left_used);
        let (right_last, right_bits) = last(right, right_used);
        let shift = 8 - u32::from(left_bits.min(right_bits));
        let first = |byte: u8| byte.checked_shr(shift).unwrap_or(0);
        let all = |bytes: &[u8], used: u8| 8 * bytes.len() + usize::from(used);
        first(left_last)
            .cmp(&first(right_last))
            .then(all(left, left_used).cmp(&all(right, right_used)))
    })
}

unsafe fn numbers(left: Word, right: Word, exact: bool) -> Ordering {
    let (left_float, right_float) = (float(left), float(right));
    match (left_float, right_float) {
        (Some(left), Some(right)) if exact => left.total_cmp(&right),
        (Some(left), Some(right)) => left.partial_cmp(&right).unwrap_or(Ordering::Equal),
        (None, None) => integers(integer(left, &mut 0), integer(right, &mut 0)),
        (None, Some(_)) if exact => Ordering::Less,
        (Some(_), None) if exact => Ordering::Greater,
        (None, Some(right)) => integer_and_float(integer(left, &mut 0), right),
        (Some(left), None) => integer_and_float(integer(right, &mut 0), left).reverse(),
    }
}

unsafe fn float(term: Word) -> Option<f64> {
    word::of_kind(term, Kind::Float).map(|boxed| number::float(boxed))
}

/// `limb`: where a small one is written.
unsafe fn integer(term: Word, limb: &mut u64) -> Big<'_> {
    if word::is_small(term) {
        let value = word::value(term);
        *limb = value.unsigned_abs();
        return Big {
            negative: value < 0,
            limbs: std::slice::from_ref(limb),
        };
    }
    number::big(word::pointer(term))
}

fn magnitudes(left: &[u64], right: &[u64]) -> Ordering {
    let significant = |limbs: &[u64]| {
        limbs
            .iter()
            .rposition(|&limb| limb != 0)
            .map_or(0, |last| last + 1)
    };
    let (left, right) = (&left[..significant(left)], &right[..significant(right)]);
    left.len()
        .cmp(&right.len())
        .then_with(|| left.iter().rev().cmp(right.iter().rev()))
}

fn integers(left: Big<'_>, right: Big<'_>) -> Ordering {
    match (left.negative, right.negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => magnitudes(left.limbs, right.limbs),
        (true, true) => magnitudes(right.limbs, left.limbs),
    }
}

/// By the float's integer part, then by the rest of it.
fn integer_and_float(left: Big<'_>, right: f64) -> Ordering {
    let whole = right.trunc();
    let bits = whole.abs().to_bits();
    let exponent = (bits >> 52) as i32 - 1075;
    let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
    let mut limbs = [0u64; 18];
    if whole == 0.0 {
        // No limbs.
    } else if exponent <= 0 {
        limbs[0] = mantissa >> -exponent;
    } else {
        let (limb, shift) = (exponent as usize / 64, exponent as u32 % 64);
        limbs[limb] = mantissa << shift;
        if shift > 0 {
            limbs[limb + 1] = mantissa >> (64 - shift);
        }
    }
    let whole = Big {
        negative: right < 0.0 && whole != 0.0,
        limbs: &limbs,
    };
    let rest = 0.0_f64.partial_cmp(&right.fract());
    integers(left, whole).then(rest.unwrap_or(Ordering::Equal))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_is_identical(left: Word, right: Word) -> c_int {
    c_int::from(identical(left, right))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_compare(left: Word, right: Word) -> c_int {
    order(left, right, false) as c_int
}

/// What `rustler::TermType` is made from.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn enif_term_type(_env: *mut HostEnv, term: Word) -> c_int {
    match word::view(term) {
        View::Atom(_) => 1,
        View::Boxed(Kind::Binary | Kind::Shared | Kind::Bits, _) => 2,
        View::Boxed(Kind::Float, _) => 3,
        View::Small(_) | View::Boxed(Kind::Big, _) => 5,
        View::Nil | View::Cell => 6,
        View::Boxed(Kind::Map, _) => 7,
        View::Pid(_) | View::Boxed(Kind::Pid, _) => 8,
        View::Boxed(Kind::Port, _) => 9,
        View::Boxed(Kind::Resource | Kind::Request | Kind::Reference, _) => 10,
        View::Boxed(Kind::Tuple, _) => 11,
        View::Boxed(Kind::Kept, boxed) => kept::term_type(boxed),
        View::None => -1,
    }
}
