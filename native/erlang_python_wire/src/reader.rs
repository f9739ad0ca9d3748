//! Reads what may be broken.

/// The bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken(pub &'static str);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Broken {}

/// Bytes, read from the front. Never beyond their end.
#[derive(Clone, Copy)]
pub struct Reader<'b> {
    left: &'b [u8],
}

type Result<T> = std::result::Result<T, Broken>;

impl<'b> Reader<'b> {
    pub fn new(bytes: &'b [u8]) -> Self {
        Reader { left: bytes }
    }

    /// How many bytes are left.
    pub fn len(&self) -> usize {
        self.left.len()
    }

    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'b [u8] {
        self.left
    }

    #[inline]
    pub fn bytes(&mut self, count: usize) -> Result<&'b [u8]> {
        let (bytes, left) = self
            .left
            .split_at_checked(count)
            .ok_or(Broken("it ends too early"))?;
        self.left = left;
        Ok(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, left) = self
            .left
            .split_first_chunk()
            .ok_or(Broken("it ends too early"))?;
        self.left = left;
        Ok(*bytes)
    }

    #[inline]
    pub fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next byte, which is not read by this.
    pub fn peek(&self) -> Result<u8> {
        self.left
            .first()
            .copied()
            .ok_or(Broken("it ends too early"))
    }

    #[inline]
    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    #[inline]
    pub fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// As the external term format has it.
    #[inline]
    pub fn u16_be(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub fn u32_be(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    pub fn i32_be(&mut self) -> Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    #[inline]
    pub fn f64_be(&mut self) -> Result<f64> {
        self.array().map(f64::from_be_bytes)
    }

    /// How many elements follow, each of which has so many bytes at least.
    #[inline]
    pub fn count_be(&mut self, least: usize) -> Result<usize> {
        let count = self.u32_be()? as usize;
        if count > self.left.len() / least.max(1) {
            return Err(Broken("it has fewer elements than it says"));
        }
        Ok(count)
    }

    /// Nothing is left.
    pub fn end(&self) -> Result<()> {
        if self.left.is_empty() {
            Ok(())
        } else {
            Err(Broken("it goes on after its end"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_beyond_the_end() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert!(reader.u32().is_err());
        assert_eq!(reader.u8(), Ok(1));
        assert!(reader.bytes(3).is_err());
        assert_eq!(reader.u16_be(), Ok(0x0203));
        assert!(reader.u8().is_err() && reader.peek().is_err() && reader.end().is_ok());
    }

    #[test]
    fn a_count_is_no_larger_than_what_can_follow() {
        assert!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 106])
                .count_be(1)
                .is_err()
        );
        assert_eq!(Reader::new(&[0, 0, 0, 1, 106]).count_be(1), Ok(1));
        assert!(Reader::new(&[0, 0, 0, 1, 106]).count_be(2).is_err());
    }
}
