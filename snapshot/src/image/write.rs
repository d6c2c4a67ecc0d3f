//! Writes an image in two passes over the guest's memory.
//!
//! The first pass finds the pages that are not zero and hashes the chunks that have any; with that
//! the head, and so the image's id, is known. The second copies those pages out. Nothing is held
//! but one chunk and the head.

use std::io::Write;

use super::contents::ImageContents;
use super::digest::{ChunkHash, ImageId};
use super::encode::{self, ChunkRow};
use super::error::WriteError;
use super::layout::{CHUNK_BYTES, MAX_MEMORY_BYTES, PAGE_BYTES};
use super::source::{Chunk, ChunkRead, MemorySource, new_chunk};

/// An image about to be written: its head is laid out, its id is known.
pub struct ImageWriter<'a> {
    memory: &'a dyn MemorySource,
    chunks: Vec<ChunkRow>,
    head: Vec<u8>,
    id: ImageId,
}

impl<'a> ImageWriter<'a> {
    /// Scans the memory and lays out the head. The guest must stand still until it is written.
    pub fn new(contents: &ImageContents<'a>) -> Result<Self, WriteError> {
        check_memory(contents)?;
        let chunks = scan(contents.memory)?;
        let (head, id) = encode::head(contents, &chunks)?;
        Ok(Self { memory: contents.memory, chunks, head, id })
    }

    /// Writes `contents` out and returns the id of the image.
    pub fn write(
        contents: &ImageContents<'a>,
        out: &mut impl Write,
    ) -> Result<ImageId, WriteError> {
        let writer = Self::new(contents)?;
        writer.write_to(out)?;
        Ok(writer.id)
    }

    /// Name of the image.
    #[must_use]
    pub fn id(&self) -> ImageId {
        self.id
    }

    /// How many bytes [`Self::write_to`] writes.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        let pages: u64 = self.chunks.iter().map(|row| u64::from(row.pages.count_ones())).sum();
        self.head.len() as u64 + pages * PAGE_BYTES as u64
    }

    /// Writes the image out. What was written is no image when this fails.
    pub fn write_to(&self, out: &mut impl Write) -> Result<(), WriteError> {
        out.write_all(&self.head).map_err(WriteError::Output)?;
        let mut chunk = new_chunk();
        for row in &self.chunks {
            read(self.memory, row.index, &mut chunk)?;
            if pages_in_use(&chunk) != row.pages || hash(&chunk, row.pages) != row.hash {
                return Err(WriteError::Changed { chunk: row.index });
            }
            for run in runs(row.pages) {
                out.write_all(&chunk[run]).map_err(WriteError::Output)?;
            }
        }
        out.flush().map_err(WriteError::Output)
    }
}

fn check_memory(contents: &ImageContents<'_>) -> Result<(), WriteError> {
    let size = contents.memory.len_bytes();
    let whole = |bytes: u64| bytes.is_multiple_of(CHUNK_BYTES as u64) && bytes <= MAX_MEMORY_BYTES;
    if !whole(size) {
        return Err(WriteError::MemorySize { found: size, limit: MAX_MEMORY_BYTES });
    }
    match contents.memory_max_bytes {
        Some(max) if !whole(max) => {
            Err(WriteError::MemorySize { found: max, limit: MAX_MEMORY_BYTES })
        }
        Some(max) if max < size => Err(WriteError::AboveMaximum { size, max }),
        _ => Ok(()),
    }
}

fn scan(memory: &dyn MemorySource) -> Result<Vec<ChunkRow>, WriteError> {
    let chunks = (memory.len_bytes() / CHUNK_BYTES as u64) as u32;
    let mut chunk = new_chunk();
    let mut rows = Vec::new();
    for index in 0..chunks {
        if read(memory, index, &mut chunk)? == ChunkRead::Zero {
            continue;
        }
        let pages = pages_in_use(&chunk);
        if pages != 0 {
            rows.push(ChunkRow { index, pages, hash: hash(&chunk, pages) });
        }
    }
    Ok(rows)
}

fn read(
    memory: &dyn MemorySource,
    chunk: u32,
    buffer: &mut Chunk,
) -> Result<ChunkRead, WriteError> {
    memory.read_chunk(chunk, buffer).map_err(|source| WriteError::Memory { chunk, source })
}

/// Hash of the stored pages of a chunk.
fn hash(chunk: &Chunk, pages: u16) -> ChunkHash {
    let mut hasher = blake3::Hasher::new();
    runs(pages).for_each(|run| {
        hasher.update(&chunk[run]);
    });
    ChunkHash::from_bytes(*hasher.finalize().as_bytes())
}

/// Bit n is set when page n of the chunk is not all zeros.
fn pages_in_use(chunk: &Chunk) -> u16 {
    let pages = chunk.chunks_exact(PAGE_BYTES).enumerate();
    pages.fold(0, |bits, (n, page)| bits | (u16::from(!is_zero(page)) << n))
}

pub(crate) fn is_zero(page: &[u8]) -> bool {
    // Blocks are folded without a branch, so that the compiler uses vector instructions.
    page.chunks_exact(64).all(|block| block.iter().fold(0, |seen, byte| seen | byte) == 0)
}

/// The byte ranges within a chunk of the runs of set bits, in order.
pub(crate) fn runs(pages: u16) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut left = u32::from(pages);
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let start = left.trailing_zeros();
        let end = start + (left >> start).trailing_ones();
        left &= u32::MAX << end;
        Some(start as usize * PAGE_BYTES..end as usize * PAGE_BYTES)
    })
}
