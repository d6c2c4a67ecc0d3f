//! Where an image's bytes come from: guest memory at a bake, a file at an open.
//!
//! What it is: the two narrow interfaces that the writer and the reader need, so that no memory of
//! 3 GiB is ever copied whole and tests can use plain slices. What it is not: remote sources.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::layout::CHUNK_BYTES;
use crate::guest::GuestMemory;

/// A buffer of one chunk.
pub type Chunk = [u8; CHUNK_BYTES];

/// What [`MemorySource::read_chunk`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkRead {
    /// The chunk is all zeros, known without reading it; the buffer was not written.
    Zero,
    /// The buffer holds the chunk.
    Filled,
}

/// Guest memory, read chunk by chunk while the guest stands still.
pub trait MemorySource {
    /// Its virtual size, a multiple of 64 KiB.
    fn len_bytes(&self) -> u64;

    /// Reads chunk `index`, which is below `len_bytes() / 64 KiB`, whole.
    fn read_chunk(&self, index: u32, chunk: &mut Chunk) -> io::Result<ChunkRead>;
}

impl MemorySource for Vec<u8> {
    fn len_bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read_chunk(&self, index: u32, chunk: &mut Chunk) -> io::Result<ChunkRead> {
        let start = index as usize * CHUNK_BYTES;
        let bytes = self.get(start..start + CHUNK_BYTES).ok_or(io::ErrorKind::UnexpectedEof)?;
        chunk.copy_from_slice(bytes);
        Ok(ChunkRead::Filled)
    }
}

/// A slot's memory, for the bake that has just initialised the guest in it.
impl MemorySource for GuestMemory {
    fn len_bytes(&self) -> u64 {
        self.size().0
    }

    fn read_chunk(&self, index: u32, chunk: &mut Chunk) -> io::Result<ChunkRead> {
        let address = index.checked_mul(CHUNK_BYTES as u32).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.read(address, chunk).map_err(io::Error::other)?;
        Ok(ChunkRead::Filled)
    }
}

/// The bytes of an image at rest.
pub trait ImageBytes {
    /// How many there are.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Fills `bytes` from `offset` on, or fails.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ImageBytes for File {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, offset)
    }
}

impl ImageBytes for [u8] {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(self.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A buffer of zeros.
#[expect(clippy::large_stack_arrays, reason = "64 KiB, and optimised into the allocation")]
pub(crate) fn new_chunk() -> Box<Chunk> {
    Box::new([0; CHUNK_BYTES])
}
