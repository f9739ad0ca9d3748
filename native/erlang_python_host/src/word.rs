//! How a term looks.
//!
//! A term is a word. Its low bits say what it is, in the same way as in the VM for small integers, list cells,
//! atoms and the empty list: the converter reads the former two without a call where they look so.
//!
//! | low bits | what | the rest |
//! |---|---|---|
//! | `…1111` | small integer | 60 bits |
//! | `…0011` | pid | see `pid` |
//! | `001011` | atom | its index |
//! | `111011` | empty list | 0 |
//! | `…01` | list cell | pointer to head and tail |
//! | `…10` | boxed | pointer to a header, which says the kind and a size, and what follows it |
//!
//! Zero is no term: it stands for an exception.

/// A term.
pub type Word = usize;

/// No term.
pub const NONE: Word = 0;
pub const NIL: Word = 0x3B;

const SMALL: Word = 0xF;
const SMALL_SHIFT: u32 = 4;
pub const LARGEST_SMALL: i64 = (1 << 59) - 1;
pub const SMALLEST_SMALL: i64 = -(1 << 59);

pub const PID: Word = 0x3;
const ATOM: Word = 0xB;
const ATOM_MASK: Word = 0x3F;
const ATOM_SHIFT: u32 = 6;

const CELL: Word = 1;
const BOXED: Word = 2;
const POINTER_MASK: Word = 3;

/// What a header says. The size is that of the comment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Elements, which follow.
    Tuple = 1,
    /// None. Its bits follow.
    Float,
    /// Limbs, which follow, the lowest first. `NEGATIVE` may be set in the header.
    Big,
    /// Bytes, which follow.
    Binary,
    /// Bytes. A pointer to them follows, and who owns them (`binary::Owner`).
    Shared,
    /// Bytes. How many bits of the last are used follows, then they do.
    Bits,
    /// Pairs. A pointer to a table follows.
    Map,
    /// Bytes, which follow: its external form, of a pid that fits into no word.
    Pid,
    /// Bytes, which follow: its external form.
    Port,
    /// Bytes, which follow: its external form.
    Reference,
    /// None. A pointer to the object follows.
    Resource,
    /// None. A number follows: a reference that stands for a request of the VM.
    Request,
    /// None. A pointer to a `kept::Kept` follows.
    Kept,
}

const KIND_MASK: Word = 0x7F;
/// In the header of a big integer.
pub const NEGATIVE: Word = 0x80;
const SIZE_SHIFT: u32 = 8;

/// A term, by what it is.
#[derive(Clone, Copy)]
pub enum View {
    Small(i64),
    /// Its index.
    Atom(usize),
    /// Itself.
    Pid(Word),
    Nil,
    Cell,
    Boxed(Kind, *const Word),
    /// No term.
    None,
}

/// `term`: a valid term.
#[inline]
pub unsafe fn view(term: Word) -> View {
    match term & POINTER_MASK {
        CELL => View::Cell,
        BOXED => View::Boxed(kind(pointer(term)), pointer(term)),
        _ if term & SMALL == SMALL => View::Small(value(term)),
        _ if term & SMALL == PID => View::Pid(term),
        _ if term & ATOM_MASK == ATOM => View::Atom(term >> ATOM_SHIFT),
        _ if term == NIL => View::Nil,
        _ => View::None,
    }
}

#[inline]
pub fn small(value: i64) -> Option<Word> {
    (SMALLEST_SMALL..=LARGEST_SMALL)
        .contains(&value)
        .then_some((value << SMALL_SHIFT) as Word | SMALL)
}

/// For values that fit.
#[inline]
pub const fn small_of(value: i32) -> Word {
    ((value as i64) << SMALL_SHIFT) as Word | SMALL
}

#[inline]
pub fn is_small(term: Word) -> bool {
    term & SMALL == SMALL
}

#[inline]
pub fn value(term: Word) -> i64 {
    term as i64 >> SMALL_SHIFT
}

#[inline]
pub fn atom(index: usize) -> Word {
    index << ATOM_SHIFT | ATOM
}

#[inline]
pub fn is_atom(term: Word) -> bool {
    term & ATOM_MASK == ATOM
}

#[inline]
pub fn is_cell(term: Word) -> bool {
    term & POINTER_MASK == CELL
}

#[inline]
pub fn is_boxed(term: Word) -> bool {
    term & POINTER_MASK == BOXED
}

/// It needs no environment.
#[inline]
pub fn is_immediate(term: Word) -> bool {
    term & POINTER_MASK == POINTER_MASK
}

/// What a cell or a boxed term points to.
#[inline]
pub fn pointer(term: Word) -> *mut Word {
    (term & !POINTER_MASK) as *mut Word
}

#[inline]
pub fn cell(pointer: *const Word) -> Word {
    pointer as Word | CELL
}

#[inline]
pub fn boxed(pointer: *const Word) -> Word {
    pointer as Word | BOXED
}

#[inline]
pub const fn header(kind: Kind, size: usize) -> Word {
    size << SIZE_SHIFT | kind as Word
}

#[inline]
pub unsafe fn kind(boxed: *const Word) -> Kind {
    // SAFETY: headers are made by `header` alone.
    unsafe { std::mem::transmute((*boxed & KIND_MASK) as u8) }
}

#[inline]
pub unsafe fn size(boxed: *const Word) -> usize {
    *boxed >> SIZE_SHIFT
}

/// The boxed term of this kind. None for other terms.
#[inline]
pub unsafe fn of_kind(term: Word, wanted: Kind) -> Option<*const Word> {
    if !is_boxed(term) {
        return None;
    }
    let boxed = pointer(term);
    (kind(boxed) == wanted).then_some(boxed)
}

/// The bytes that follow a header.
#[inline]
pub unsafe fn bytes<'a>(boxed: *const Word) -> &'a [u8] {
    std::slice::from_raw_parts(boxed.add(1).cast(), size(boxed))
}

/// The words that follow a header.
#[inline]
pub unsafe fn words<'a>(boxed: *const Word) -> &'a [Word] {
    std::slice::from_raw_parts(boxed.add(1), size(boxed))
}

/// How many words hold so many bytes.
#[inline]
pub const fn words_for(bytes: usize) -> usize {
    bytes.div_ceil(size_of::<Word>())
}
