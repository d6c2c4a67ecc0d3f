//! Chunks: the unit in which a value is pulled, and of which an owner keeps versions.

use std::ops::Range;

/// Bytes of a chunk; the last of a value may be shorter.
pub const CHUNK_BYTES: u64 = 64 * 1024;

/// The number of a chunk within its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chunk(pub u32);

impl Chunk {
    /// Where it begins in the value, in bytes.
    pub const fn start(self) -> u64 {
        self.0 as u64 * CHUNK_BYTES
    }

    /// The part of a value of `len` bytes that is this chunk; empty beyond the end.
    pub fn bytes(self, len: u64) -> Range<u64> {
        let start = self.start().min(len);
        start..(start + CHUNK_BYTES).min(len)
    }
}

/// Chunks one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRange {
    /// The first.
    pub first: Chunk,
    /// How many.
    pub count: u32,
}

impl ChunkRange {
    /// The chunks that `len` bytes from `offset` on touch; nothing where they overflow or lie
    /// beyond what chunk numbers can say.
    pub fn covering(offset: u64, len: u64) -> Option<Self> {
        let end = offset.checked_add(len)?;
        let first = offset / CHUNK_BYTES;
        let last = end.div_ceil(CHUNK_BYTES).max(first);
        let count = u32::try_from(last - first).ok()?;
        u32::try_from(last).ok()?;
        Some(Self { first: Chunk(first as u32), count: if len == 0 { 0 } else { count } })
    }

    /// The chunks, in order.
    pub fn iter(self) -> impl Iterator<Item = Chunk> {
        (self.first.0..self.first.0 + self.count).map(Chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_touches_the_chunks_that_hold_its_bytes() {
        let covering = |offset, len| {
            ChunkRange::covering(offset, len).map(|range| (range.first.0, range.count))
        };
        assert_eq!(covering(0, 0), Some((0, 0)));
        assert_eq!(covering(0, 1), Some((0, 1)));
        assert_eq!(covering(CHUNK_BYTES - 1, 2), Some((0, 2)));
        assert_eq!(covering(CHUNK_BYTES, CHUNK_BYTES), Some((1, 1)));
        assert_eq!(covering(u64::MAX, 1), None);
        assert_eq!(covering(u64::MAX - 1, 1), None, "more chunks than a u32 counts");
    }

    #[test]
    fn the_last_chunk_ends_with_the_value() {
        assert_eq!(Chunk(1).bytes(CHUNK_BYTES + 10), CHUNK_BYTES..CHUNK_BYTES + 10);
        assert!(Chunk(2).bytes(CHUNK_BYTES + 10).is_empty());
    }
}
