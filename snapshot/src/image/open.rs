//! Opens an image: every byte checked, its memory put into a sealed memory file.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::digest::{ChunkHash, ImageId};
use super::encode::ChunkRow;
use super::error::OpenError;
use super::head::Head;
use super::layout::{CHUNK_BYTES, PAGE_BYTES};
use super::source::{ImageBytes, new_chunk};
use super::write::{is_zero, runs};
use crate::bytes::Bytes;
use crate::memory::{MemoryDraft, MemoryImage};

/// An image whose every byte was checked, ready to be forked.
#[derive(Clone, Debug)]
pub struct Image {
    head: Head,
    memory: Arc<MemoryImage>,
}

impl Image {
    /// Checks all of an image and puts its memory into a memory file, sealed against change.
    pub fn open(image: &(impl ImageBytes + ?Sized)) -> Result<Self, OpenError> {
        let head = Head::read(image)?;
        let id = head.id();
        let failed = |source| OpenError::Memory { id, source };
        let draft = MemoryDraft::new(Bytes(head.memory_bytes())).map_err(failed)?;
        each_chunk(image, &head, |row, mut stored| {
            let start = u64::from(row.index) * CHUNK_BYTES as u64;
            for run in runs(row.pages) {
                let (pages, rest) = stored.split_at(run.len());
                draft.write(Bytes(start + run.start as u64), pages).map_err(failed)?;
                stored = rest;
            }
            Ok(())
        })?;
        let memory = Arc::new(draft.seal().map_err(failed)?);
        Ok(Self { head, memory })
    }

    /// Takes an image that another process opened: the memory file it made, and its head.
    ///
    /// The head is checked whole. Of the memory, length and seals are: its bytes are those that
    /// were checked before it was sealed, provided that the sender is trusted.
    pub fn from_parts(memory: OwnedFd, head: &[u8]) -> Result<Self, OpenError> {
        let head = Head::from_bytes(head.to_vec())?;
        let id = head.id();
        let memory = MemoryImage::from_fd(memory, Bytes(head.memory_bytes()))
            .map_err(|source| OpenError::Memory { id, source })?;
        Ok(Self { head, memory: Arc::new(memory) })
    }

    /// The same, of memory that the pager still fills.
    pub fn filling_from_parts(memory: OwnedFd, head: &[u8]) -> Result<Self, OpenError> {
        let head = Head::from_bytes(head.to_vec())?;
        let id = head.id();
        let len = Bytes(head.memory_bytes());
        let memory = MemoryImage::filling(memory, len, head.data_pages())
            .map_err(|source| OpenError::Memory { id, source })?;
        Ok(Self { head, memory: Arc::new(memory) })
    }

    /// Name of the image.
    #[must_use]
    pub fn id(&self) -> ImageId {
        self.head.id()
    }

    /// Everything but the memory.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The memory, to be mapped by slots.
    #[must_use]
    pub fn memory(&self) -> &Arc<MemoryImage> {
        &self.memory
    }
}

/// Checks all of an image as [`Image::open`] does, and keeps nothing of its memory.
pub fn verify(image: &(impl ImageBytes + ?Sized)) -> Result<Head, OpenError> {
    let head = Head::read(image)?;
    each_chunk(image, &head, |_, _| Ok(()))?;
    Ok(head)
}

/// Reads the stored pages of each chunk, in order and checked before `take` sees them.
fn each_chunk(
    image: &(impl ImageBytes + ?Sized),
    head: &Head,
    mut take: impl FnMut(&ChunkRow, &[u8]) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let mut buffer = new_chunk();
    let mut offset = head.as_bytes().len() as u64;
    for row in head.chunks() {
        let stored = &mut buffer[..row.pages.count_ones() as usize * PAGE_BYTES];
        image.read_exact_at(stored, offset).map_err(OpenError::Read)?;
        offset += stored.len() as u64;
        check_chunk(row, stored)?;
        take(row, stored)?;
    }
    Ok(())
}

pub(crate) fn check_chunk(row: &ChunkRow, stored: &[u8]) -> Result<(), OpenError> {
    let found = ChunkHash::from_bytes(*blake3::hash(stored).as_bytes());
    if row.hash != found {
        return Err(OpenError::ChunkHash { chunk: row.index, expected: row.hash, found });
    }
    if stored.chunks_exact(PAGE_BYTES).any(is_zero) {
        return Err(OpenError::ZeroPage { chunk: row.index });
    }
    Ok(())
}
