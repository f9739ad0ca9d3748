//! Writes frames.

/// A frame in the making.
#[derive(Default)]
pub struct Writer {
    pub bytes: Vec<u8>,
}

/// How many bytes the length of a frame has.
pub const LENGTH: usize = 4;

impl Writer {
    /// A frame of this kind, to which the fields are to be added.
    pub fn frame(kind: u8) -> Self {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend([0; LENGTH]);
        bytes.push(kind);
        Writer { bytes }
    }

    /// The frame with its length, to be sent. None if it is larger than a frame may be.
    pub fn finish(mut self) -> Option<Vec<u8>> {
        let length = self.bytes.len() - LENGTH;
        if length > crate::MAX_FRAME {
            return None;
        }
        self.bytes[..LENGTH].copy_from_slice(&(length as u32).to_le_bytes());
        Some(self.bytes)
    }

    /// What has been written so far: the kind, and the fields.
    pub fn fields(&self) -> &[u8] {
        self.bytes.get(LENGTH..).unwrap_or_default()
    }

    #[inline]
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    #[inline]
    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    #[inline]
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    #[inline]
    pub fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    #[inline]
    pub fn u16_be(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    #[inline]
    pub fn u32_be(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    #[inline]
    pub fn i32_be(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    #[inline]
    pub fn f64_be(&mut self, value: f64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}
