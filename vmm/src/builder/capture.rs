//! A slot's memory as an image reads it: chunk by chunk, while the guest stands still.

use std::io;

use faaslet_snapshot::guest::GuestMemory;
use faaslet_snapshot::image::{Chunk, ChunkRead, MemorySource};

/// See the module's documentation.
pub(super) struct SlotMemory(GuestMemory);

impl SlotMemory {
    pub(super) fn new(memory: GuestMemory) -> Self {
        Self(memory)
    }
}

impl MemorySource for SlotMemory {
    fn len_bytes(&self) -> u64 {
        self.0.size().0
    }

    fn read_chunk(&self, index: u32, chunk: &mut Chunk) -> io::Result<ChunkRead> {
        let start = u64::from(index) * chunk.len() as u64;
        let start = u32::try_from(start).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        self.0.read(start, chunk).map_err(io::Error::other)?;
        Ok(ChunkRead::Filled)
    }
}
