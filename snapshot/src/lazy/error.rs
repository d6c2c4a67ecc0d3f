//! Why a chunk is not here.

use crate::image::{ImageId, OpenError};
use crate::memory::MemoryImageError;

/// Why a source is asked no more.
#[derive(Debug, thiserror::Error)]
pub enum BadChunk {
    /// The bytes are not the chunk's.
    #[error(transparent)]
    Contents(#[from] OpenError),
    /// It was not asked for, or was given before, or is longer or shorter than it is.
    #[error("expected chunk {expected} of {bytes} bytes; it gave chunk {found} of {found_bytes}")]
    Other {
        /// A chunk that was asked for.
        expected: u32,
        /// Its length.
        bytes: u32,
        /// The one given.
        found: u32,
        /// The length given.
        found_bytes: usize,
    },
}

/// Why a chunk could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Every source failed.
    #[error("chunk {chunk} of image {image} cannot be had: {tried}; is a host up that has it?")]
    NoSource {
        /// The image.
        image: ImageId,
        /// The chunk.
        chunk: u32,
        /// Each source, and why it did not give it.
        tried: String,
    },
    /// Somebody else fetches it, and it did not come in time.
    #[error("chunk {chunk} of image {image} did not come in time")]
    Late {
        /// The image.
        image: ImageId,
        /// The chunk.
        chunk: u32,
    },
    /// It could not be put into the memory file.
    #[error(transparent)]
    Memory(#[from] MemoryImageError),
}
