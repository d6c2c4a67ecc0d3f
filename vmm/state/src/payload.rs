//! Layout of the bytes beside a head: changes, chunks and names. Little-endian, without padding.
//!
//! ```text
//! changes (push)   repeated, chunks in order:
//!                  chunk u32 │ runs u16 │ tails u16 │ runs × (first u16, last u16)
//!                  │ tails × (first u16, last u16) │ values
//!                  A run is elements first..=last of the chunk, a tail is bytes first..=last: what
//!                  changed of a last element that is not whole (`replace` alone). Values are those
//!                  of the runs and tails, one after the other; with `sum` and `xor`, differences.
//! chunks (pull)    repeated: chunk u32 │ kind u8 │ version (u64, u64) │ len u32 │ body
//!                  kind 0 zeros (no body), 1 whole (len bytes), 2 changes since the range's
//!                  `since` (len bytes: one entry as above, values absolute)
//! names (list)     repeated: len u16 │ UTF-8
//! versions         repeated: epoch u64 │ n u64 (pushed); and behind it len u64 │ age in ms u64
//!                  │ changed bytes u64 (versions)
//! ```
//!
//! Readers check everything before they give out anything, and copy nothing.

mod changes;
mod chunks;
mod names;
mod pieces;
mod versions;

pub(crate) use changes::EntryWriter;
pub use changes::{Changes, ChunkChanges, Run};
pub use chunks::{Body, PulledChunk, pulled_chunks};
pub(crate) use chunks::{write_changes, write_whole, write_zeros};
pub use names::{names, write_name};
pub use pieces::{Payload, Piece};
pub(crate) use versions::{read_version_stats, read_versions, write_version_stats, write_versions};

/// Why bytes are no payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at byte {at} of the payload; found {found}")]
pub struct PayloadError {
    /// Where.
    pub at: usize,
    /// What should be there.
    pub expected: &'static str,
    /// The number that is there instead, or how many bytes are left.
    pub found: u64,
}

/// The bytes that are left, and where they stand in the whole.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    left: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes, at: 0 }
    }

    fn take(&mut self, len: usize, expected: &'static str) -> Result<&'a [u8], PayloadError> {
        let Some((taken, left)) = self.left.split_at_checked(len) else {
            return Err(self.wrong(expected, self.left.len() as u64));
        };
        self.left = left;
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], PayloadError> {
        let taken = self.take(N, expected)?;
        let mut array = [0; N];
        array.copy_from_slice(taken);
        Ok(array)
    }

    fn wrong(&self, expected: &'static str, found: u64) -> PayloadError {
        PayloadError { at: self.at, expected, found }
    }
}

#[cfg(test)]
mod tests;
