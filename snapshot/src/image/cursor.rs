//! Reads fixed little-endian fields out of a head, never past its end.

use super::decode::malformed;
use super::error::OpenError;
use super::layout::{SECTION_ALIGN_BYTES, Section, round_up};

/// A place in a head. Invariant: `offset <= bytes.len()`.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// Reads `bytes` from `offset` on; the end of `bytes` is the end.
    pub(crate) fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset: offset.min(bytes.len()) }
    }

    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], OpenError> {
        let found = self.bytes[self.offset..].first_chunk::<N>();
        let array = *found.ok_or_else(|| malformed(self.offset, "a field", "the end"))?;
        self.offset += N;
        Ok(array)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, OpenError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, OpenError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, OpenError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads a number that can only be `value`.
    pub(crate) fn exactly(&mut self, expected: &'static str, value: u32) -> Result<(), OpenError> {
        let start = self.offset;
        let found = self.u32()?;
        if found == value { Ok(()) } else { Err(malformed(start, expected, found)) }
    }

    /// Reads a number that must be above the `last` one.
    pub(crate) fn ascending(
        &mut self,
        expected: &'static str,
        last: Option<u32>,
    ) -> Result<u32, OpenError> {
        let start = self.offset;
        let found = self.u32()?;
        if last.is_none_or(|last| last < found) {
            Ok(found)
        } else {
            Err(malformed(start, expected, found))
        }
    }

    /// Reads zeros up to `end`, a place in the whole head.
    pub(crate) fn zeros(&mut self, end: usize) -> Result<(), OpenError> {
        let zeros = self.bytes.get(self.offset..end);
        let zeros = zeros.ok_or_else(|| malformed(self.offset, "zeros", "the end"))?;
        if let Some(place) = zeros.iter().position(|byte| *byte != 0) {
            return Err(malformed(self.offset + place, "0", zeros[place]));
        }
        self.offset = end;
        Ok(())
    }

    /// Reads zeros up to the next multiple of the alignment.
    pub(crate) fn align(&mut self) -> Result<(), OpenError> {
        self.zeros(round_up(self.offset, SECTION_ALIGN_BYTES))
    }

    pub(crate) fn bytes(&mut self, section: Section, length: usize) -> Result<&'a [u8], OpenError> {
        self.holds_at_least(section, length, 1)?;
        let bytes = &self.bytes[self.offset..self.offset + length];
        self.offset += length;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self, section: Section, length: usize) -> Result<String, OpenError> {
        let start = self.offset;
        let text = std::str::from_utf8(self.bytes(section, length)?);
        text.map(str::to_owned).map_err(|error| malformed(start, "UTF-8", error))
    }

    /// Reads everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.offset..];
        self.offset = self.bytes.len();
        rest
    }

    /// Checks, before anything is allocated, that what is left is `count` rows.
    pub(crate) fn holds(
        &self,
        section: Section,
        count: usize,
        row: usize,
    ) -> Result<(), OpenError> {
        let (expected, bytes) = (count.saturating_mul(row), self.bytes.len() - self.offset);
        if expected == bytes {
            Ok(())
        } else {
            Err(OpenError::SectionLength { section, expected, bytes })
        }
    }

    /// Checks, before anything is allocated, that `count` rows are left.
    pub(crate) fn holds_at_least(
        &self,
        section: Section,
        count: usize,
        row: usize,
    ) -> Result<(), OpenError> {
        let (expected, bytes) = (count.saturating_mul(row), self.bytes.len() - self.offset);
        if expected <= bytes {
            Ok(())
        } else {
            Err(OpenError::SectionLength { section, expected, bytes })
        }
    }

    /// Checks that everything was read.
    pub(crate) fn end(&self, section: Section) -> Result<(), OpenError> {
        self.holds(section, 0, 1)
    }
}
