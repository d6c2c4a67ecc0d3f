//! The head of an image: all of it but the stored pages.
//!
//! What it is: a checked, immutable head with its bytes, so that it can be listed without its
//! memory, and sent to a cell beside the memory's descriptor. What it is not: proof that the
//! memory is right; each chunk's hash is, when the chunk is read.

use std::collections::BTreeMap;

use super::contents::{Global, Identity, TableImage};
use super::decode::{self, Decoded};
use super::digest::ImageId;
use super::encode::ChunkRow;
use super::error::OpenError;
use super::layout::{HEADER_BYTES, MIN_HEAD_BYTES, PAGES_PER_CHUNK, at};
use super::source::ImageBytes;

/// Everything in an image but the stored pages, checked.
#[derive(Clone, Debug)]
pub struct Head {
    bytes: Vec<u8>,
    decoded: Decoded,
}

impl Head {
    /// Checks and reads a head that was cut off its payload, as [`Self::as_bytes`] gives it.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, OpenError> {
        let decoded = decode::head(&bytes)?;
        Ok(Self { bytes, decoded })
    }

    /// Reads the head of an image and checks it, and the length of the whole, but no memory.
    pub fn read(image: &(impl ImageBytes + ?Sized)) -> Result<Self, OpenError> {
        let found = image.len_bytes().map_err(OpenError::Read)?;
        if found < MIN_HEAD_BYTES as u64 {
            return Err(short_file(image, found));
        }
        let mut header = [0; HEADER_BYTES];
        image.read_exact_at(&mut header, 0).map_err(OpenError::Read)?;
        let lengths = decode::lengths(&header)?;
        let expected = lengths.head as u64 + lengths.payload;
        if found != expected {
            return Err(OpenError::Length { expected, found });
        }
        let mut bytes = vec![0; lengths.head];
        image.read_exact_at(&mut bytes, 0).map_err(OpenError::Read)?;
        Self::from_bytes(bytes)
    }

    /// The bytes of the head, for a message to a cell.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Name of the image.
    #[must_use]
    pub fn id(&self) -> ImageId {
        self.decoded.id
    }

    /// What the image was made from.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.decoded.identity
    }

    /// Virtual size of the memory.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.decoded.memory_bytes
    }

    /// The maximum that the module declares for its memory, if it does.
    #[must_use]
    pub fn memory_max_bytes(&self) -> Option<u64> {
        self.decoded.memory_max_bytes
    }

    /// Values of mutable globals, by rising index.
    #[must_use]
    pub fn globals(&self) -> &[Global] {
        &self.decoded.globals
    }

    /// Tables that differ from the module's own, by rising index.
    #[must_use]
    pub fn tables(&self) -> &[TableImage] {
        &self.decoded.tables
    }

    /// Descriptors open at the end of the bake, in the guest's system interface's own bytes, which
    /// are as trustworthy as the guest.
    #[must_use]
    pub fn files(&self) -> &[u8] {
        &self.decoded.files
    }

    /// Named values needed to run.
    #[must_use]
    pub fn meta(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.decoded.meta
    }

    pub(crate) fn chunks(&self) -> &[ChunkRow] {
        &self.decoded.chunks
    }

    /// Numbers of the pages that are not zeros, by rising number.
    pub(crate) fn data_pages(&self) -> impl Iterator<Item = u64> + '_ {
        self.chunks().iter().flat_map(|row| {
            let first = u64::from(row.index) * PAGES_PER_CHUNK as u64;
            (0..PAGES_PER_CHUNK as u64).filter(|n| row.pages >> n & 1 == 1).map(move |n| first + n)
        })
    }

    pub(crate) fn decoded(&self) -> &Decoded {
        &self.decoded
    }
}

/// A file too short to be an image is told apart from one that is something else, or newer.
fn short_file(image: &(impl ImageBytes + ?Sized), found: u64) -> OpenError {
    let mut header = [0; HEADER_BYTES];
    let readable = header.len().min(found as usize);
    if let Err(error) = image.read_exact_at(&mut header[..readable], 0) {
        return OpenError::Read(error);
    }
    match decode::lengths(&header) {
        Err(error @ (OpenError::NotAnImage { .. } | OpenError::Version { .. }))
            if found >= at::HEAD_BYTES as u64 =>
        {
            error
        }
        _ => OpenError::Length { expected: MIN_HEAD_BYTES as u64, found },
    }
}
