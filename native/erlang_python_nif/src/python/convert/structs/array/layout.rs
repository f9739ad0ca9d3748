//! Where the items of an array lie, and their copy in row-major order.

use super::dtype::Dtype;
use crate::base::copies;

/// The items of an array in memory: those of a dimension are its stride apart, in bytes, which may be negative.
#[derive(Clone, Debug)]
pub struct Layout {
    pub dtype: Dtype,
    /// The bytes of an item are in the other order than this machine's.
    pub swapped: bool,
    pub shape: Vec<usize>,
    pub strides: Vec<isize>,
}

impl Layout {
    /// Without gaps, in row-major order.
    pub fn row_major(dtype: Dtype, swapped: bool, shape: Vec<usize>) -> Option<Self> {
        let mut strides = vec![0; shape.len()];
        let mut stride = dtype.bytes();
        for (at, &count) in shape.iter().enumerate().rev() {
            strides[at] = isize::try_from(stride).ok()?;
            stride = stride.checked_mul(count.max(1))?;
        }
        Some(Layout {
            dtype,
            swapped: swapped && dtype.unit() > 1,
            shape,
            strides,
        })
    }

    /// How many bytes its items have. None if there are more than can be counted.
    pub fn size(&self) -> Option<usize> {
        size(self.dtype, &self.shape)
    }

    /// Whether the items are as they are to be: without gaps, in order, with this machine's order of bytes.
    pub fn is_plain(&self) -> bool {
        !self.swapped && (self.shape.contains(&0) || self.gapless())
    }

    fn gapless(&self) -> bool {
        let dimensions = self.dimensions();
        match &dimensions[..] {
            [] => true,
            [one] => one.stride == self.dtype.bytes() as isize,
            _ => false,
        }
    }

    /// From where to where the items lie, seen from the first one, in bytes. None if that cannot be counted.
    pub fn span(&self) -> Option<(isize, isize)> {
        if self.shape.contains(&0) {
            return Some((0, 0));
        }
        let (mut low, mut high) = (0isize, isize::try_from(self.dtype.bytes()).ok()?);
        for (&count, &stride) in self.shape.iter().zip(&self.strides) {
            let reach = isize::try_from(count - 1).ok()?.checked_mul(stride)?;
            if reach < 0 {
                low = low.checked_add(reach)?;
            } else {
                high = high.checked_add(reach)?;
            }
        }
        Some((low, high))
    }

    /// The dimensions with more than one item, those joined that follow each other without a gap.
    fn dimensions(&self) -> Vec<Dimension> {
        let mut dimensions: Vec<Dimension> = Vec::with_capacity(self.shape.len());
        let mut target = self.dtype.bytes();
        let inner_first = self.shape.iter().zip(&self.strides).rev();
        for (&count, &stride) in inner_first.filter(|(count, _)| **count != 1) {
            match dimensions.last_mut() {
                Some(inner) if inner.reaches() == Some(stride) => inner.count *= count,
                _ => dimensions.push(Dimension {
                    count,
                    stride,
                    target,
                }),
            }
            target *= count;
        }
        dimensions
    }

    /// Copies the items.
    ///
    /// # Safety
    ///
    /// `source` is the first item, all others lie where shape and strides say, and `target` has room for `size()`
    /// bytes.
    pub unsafe fn copy(&self, source: *const u8, target: *mut u8) {
        if self.shape.contains(&0) {
            return;
        }
        let bytes = self.dtype.bytes();
        let dimensions = self.dimensions();
        let is_whole = !self.swapped && self.gapless();
        // SAFETY: as this function demands. Without dimensions there is one item.
        unsafe {
            if is_whole {
                let items: usize = dimensions.iter().map(|dimension| dimension.count).product();
                return copies::copy(source, target, items * bytes);
            }
            match (bytes, self.swapped.then(|| self.dtype.unit())) {
                (1, _) => strided::<1, 0>(&dimensions, source, target),
                (2, None) => strided::<2, 0>(&dimensions, source, target),
                (2, _) => strided::<2, 2>(&dimensions, source, target),
                (4, None) => strided::<4, 0>(&dimensions, source, target),
                (4, _) => strided::<4, 4>(&dimensions, source, target),
                (8, None) => strided::<8, 0>(&dimensions, source, target),
                (8, Some(4)) => strided::<8, 4>(&dimensions, source, target),
                (8, _) => strided::<8, 8>(&dimensions, source, target),
                (_, None) => strided::<16, 0>(&dimensions, source, target),
                (_, _) => strided::<16, 8>(&dimensions, source, target),
            }
        }
    }
}

/// How many bytes so many items have.
pub fn size(dtype: Dtype, shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape
        .iter()
        .try_fold(dtype.bytes(), |size, count| size.checked_mul(*count))
}

#[derive(Clone, Copy, Debug)]
struct Dimension {
    count: usize,
    stride: isize,
    /// The stride in row-major order.
    target: usize,
}

impl Dimension {
    /// Where the next item would be.
    fn reaches(&self) -> Option<isize> {
        self.stride.checked_mul(isize::try_from(self.count).ok()?)
    }
}

/// So many items each way are copied at a time where rows become columns: they share lines of the cache.
const TILE: usize = 32;

/// Copies items of `SIZE` bytes, in which the order of each `UNIT` bytes is turned round, unless that is 0.
/// `dimensions`: the innermost first.
///
/// # Safety
///
/// As `Layout::copy` demands.
unsafe fn strided<const SIZE: usize, const UNIT: usize>(
    dimensions: &[Dimension],
    source: *const u8,
    target: *mut u8,
) {
    // SAFETY: as this function demands: all that is added up stays within the items.
    unsafe {
        match dimensions {
            [] => item::<SIZE, UNIT>(source, target),
            [row] => line::<SIZE, UNIT>(source, row.stride, target, SIZE, row.count),
            [row, others @ ..] => {
                // The dimension whose items lie closest, if that is not the innermost.
                let near = (0..others.len()).min_by_key(|at| others[*at].stride.unsigned_abs());
                let near = near.filter(|at| {
                    others[*at].stride.unsigned_abs() < row.stride.unsigned_abs()
                        && row.stride.unsigned_abs() > SIZE
                });
                match near {
                    Some(at) => {
                        let mut rest = others.to_vec();
                        let column = rest.remove(at);
                        each(&rest, source, target, &mut |source, target| {
                            tiles::<SIZE, UNIT>(*row, column, source, target);
                        });
                    }
                    None => each(others, source, target, &mut |source, target| {
                        line::<SIZE, UNIT>(source, row.stride, target, SIZE, row.count);
                    }),
                }
            }
        }
    }
}

/// Calls a function with each place of these dimensions, the last of them outermost.
///
/// # Safety
///
/// As `strided` demands.
unsafe fn each(
    dimensions: &[Dimension],
    source: *const u8,
    target: *mut u8,
    work: &mut impl FnMut(*const u8, *mut u8),
) {
    let Some((outer, inner)) = dimensions.split_last() else {
        return work(source, target);
    };
    for at in 0..outer.count {
        // SAFETY: within the items.
        unsafe {
            each(
                inner,
                source.offset(at as isize * outer.stride),
                target.add(at * outer.target),
                work,
            );
        }
    }
}

/// Copies a plane of items in squares.
///
/// # Safety
///
/// As `strided` demands.
unsafe fn tiles<const SIZE: usize, const UNIT: usize>(
    row: Dimension,
    column: Dimension,
    source: *const u8,
    target: *mut u8,
) {
    for down in (0..column.count).step_by(TILE) {
        let rows = TILE.min(column.count - down);
        for along in (0..row.count).step_by(TILE) {
            let items = TILE.min(row.count - along);
            for at in down..down + rows {
                // SAFETY: within the plane.
                unsafe {
                    let source = source
                        .offset(at as isize * column.stride)
                        .offset(along as isize * row.stride);
                    let target = target.add(at * column.target + along * row.target);
                    line::<SIZE, UNIT>(source, row.stride, target, row.target, items);
                }
            }
        }
    }
}

/// Copies items of one dimension.
///
/// # Safety
///
/// As `strided` demands.
#[inline]
unsafe fn line<const SIZE: usize, const UNIT: usize>(
    source: *const u8,
    stride: isize,
    target: *mut u8,
    step: usize,
    count: usize,
) {
    // SAFETY: within the items.
    unsafe {
        if stride == SIZE as isize && step == SIZE {
            if UNIT == 0 {
                return target.copy_from_nonoverlapping(source, count * SIZE);
            }
            // Strides that are known when this is compiled let several items be turned round at once.
            for at in 0..count {
                item::<SIZE, UNIT>(source.add(at * SIZE), target.add(at * SIZE));
            }
            return;
        }
        for at in 0..count {
            item::<SIZE, UNIT>(source.offset(at as isize * stride), target.add(at * step));
        }
    }
}

/// # Safety
///
/// There is an item, and room for it.
#[inline(always)]
unsafe fn item<const SIZE: usize, const UNIT: usize>(source: *const u8, target: *mut u8) {
    // SAFETY: as this function demands; the parts of an item are within it.
    unsafe {
        if UNIT == 0 {
            return target.copy_from_nonoverlapping(source, SIZE);
        }
        for at in (0..SIZE).step_by(UNIT) {
            let (source, target) = (source.add(at), target.add(at));
            match UNIT {
                2 => {
                    let value = source.cast::<u16>().read_unaligned();
                    target.cast::<u16>().write_unaligned(value.swap_bytes());
                }
                4 => {
                    let value = source.cast::<u32>().read_unaligned();
                    target.cast::<u32>().write_unaligned(value.swap_bytes());
                }
                _ => {
                    let value = source.cast::<u64>().read_unaligned();
                    target.cast::<u64>().write_unaligned(value.swap_bytes());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The items one by one, in order.
    fn slowly(layout: &Layout, memory: &[u8], first: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let total: usize = layout.shape.iter().product();
        for number in 0..total {
            let (mut at, mut rest) = (first as isize, number);
            for (&count, &stride) in layout.shape.iter().zip(&layout.strides).rev() {
                at += (rest % count) as isize * stride;
                rest /= count;
            }
            let item = &memory[at as usize..at as usize + layout.dtype.bytes()];
            for unit in item.chunks(layout.dtype.unit()) {
                if layout.swapped {
                    bytes.extend(unit.iter().rev());
                } else {
                    bytes.extend(unit);
                }
            }
        }
        bytes
    }

    fn check(layout: &Layout) {
        let (low, high) = layout.span().unwrap();
        let memory: Vec<u8> = (0..high - low).map(|at| (at * 7 % 251) as u8).collect();
        let first = low.unsigned_abs();
        let mut copy = vec![0xee; layout.size().unwrap() + 1];
        // SAFETY: memory for all items, and room for them.
        unsafe { layout.copy(memory.as_ptr().add(first), copy.as_mut_ptr()) };
        assert_eq!(copy.pop(), Some(0xee));
        assert!(copy == slowly(layout, &memory, first), "{layout:?}");
    }

    #[test]
    fn items_come_in_order_from_wherever_they_lie() {
        // A generator of numbers that is the same each time.
        let mut state = 1u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let dtypes = [
            ('i', 1),
            ('u', 2),
            ('f', 4),
            ('f', 8),
            ('c', 8),
            ('c', 16),
            ('B', 2),
        ];
        for round in 0..3_000 {
            let (letter, bytes) = dtypes[random(dtypes.len() as u64) as usize];
            let dtype = Dtype::of_letter(letter, bytes).unwrap();
            let shape: Vec<usize> = (0..random(5)).map(|_| random(8) as usize).collect();
            let mut layout = Layout::row_major(dtype, round % 2 == 0, shape.clone()).unwrap();
            // Dimensions in another order, turned round, with gaps, and standing still.
            let mut order: Vec<usize> = (0..shape.len()).collect();
            for at in (1..order.len()).rev() {
                order.swap(at, random(at as u64 + 1) as usize);
            }
            let mut stride = bytes as isize;
            for at in order {
                let gap = [0, 0, 1, 3][random(4) as usize];
                layout.strides[at] = match random(8) {
                    0 => 0,
                    1 | 2 => -stride,
                    _ => stride,
                };
                stride = stride * shape[at].max(1) as isize + gap;
            }
            check(&layout);
        }
    }

    #[test]
    fn large_planes_are_turned_in_squares() {
        for (letter, bytes) in [('u', 1), ('f', 8), ('c', 16)] {
            let dtype = Dtype::of_letter(letter, bytes).unwrap();
            for swapped in [false, true] {
                let shape = vec![3, 100, 70];
                let mut layout = Layout::row_major(dtype, swapped, shape).unwrap();
                layout.strides = vec![bytes as isize * 7_000, bytes as isize, bytes as isize * 100];
                check(&layout);
                layout.shape.push(1);
                layout.strides.push(12_345);
                check(&layout);
            }
        }
    }

    #[test]
    fn what_is_plain_is_copied_as_it_is() {
        let dtype = Dtype::of_letter('f', 8).unwrap();
        let plain = |shape: Vec<usize>| Layout::row_major(dtype, false, shape).unwrap();
        for shape in [
            vec![],
            vec![0],
            vec![5],
            vec![2, 3],
            vec![4, 1, 2],
            vec![7, 0],
        ] {
            assert!(plain(shape.clone()).is_plain(), "{shape:?}");
            check(&plain(shape));
        }
        let mut column = plain(vec![3, 2]);
        column.strides = vec![8, 24];
        assert!(!column.is_plain());
        assert!(!Layout::row_major(dtype, true, vec![2]).unwrap().is_plain());
    }

    #[test]
    fn what_cannot_be_counted_is_nothing() {
        let dtype = Dtype::of_letter('f', 8).unwrap();
        assert_eq!(size(dtype, &[usize::MAX, 2]), None);
        assert_eq!(size(dtype, &[usize::MAX, 2, 0]), Some(0));
        assert!(Layout::row_major(dtype, false, vec![usize::MAX, 2]).is_none());
    }
}
