//! Reads and writes of a value by copy.

use faaslet_state::delta::merge_into;
use faaslet_state::{CHUNK_BYTES, Chunk};

use crate::error::TierError;
use crate::table::{Standing, Table, pages_within};
use crate::task::Task;
use crate::value::{Short, Value};

/// Bytes that are copied at a time where the other side is a function's memory.
const PIECE_BYTES: usize = 4096;

/// What a copy came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "where chunks were absent nothing was copied"]
pub enum Copied {
    /// So many bytes.
    Bytes(usize),
    /// Chunks of the range are absent: pull what is [missing](Value::missing) and try again.
    Absent,
}

impl Value {
    /// Copies bytes from `offset` on out: fewer than asked for at the end of the value.
    #[inline]
    pub fn read(&self, offset: u64, out: &mut [u8]) -> Result<Copied, TierError> {
        let table = self.table();
        let Some(len) = self.readable(&table, offset, out.len())? else {
            return Ok(Copied::Absent);
        };
        self.copy_out(&table, offset, &mut out[..len])?;
        Ok(Copied::Bytes(len))
    }

    /// The same, piece by piece, each given to `put` with its place among the bytes asked for.
    pub fn read_with(
        &self,
        offset: u64,
        len: usize,
        mut put: impl FnMut(usize, &[u8]),
    ) -> Result<Copied, TierError> {
        let table = self.table();
        let Some(len) = self.readable(&table, offset, len)? else {
            return Ok(Copied::Absent);
        };
        let mut piece = [0; PIECE_BYTES];
        for at in (0..len).step_by(PIECE_BYTES) {
            let piece = &mut piece[..PIECE_BYTES.min(len - at)];
            self.copy_out(&table, offset + at as u64, piece)?;
            put(at, piece);
        }
        Ok(Copied::Bytes(len))
    }

    /// Copies bytes in at `offset`; the value grows here to hold them, and at its owner with the
    /// next push.
    pub fn write(&self, task: Task, offset: u64, bytes: &[u8]) -> Result<Copied, TierError> {
        self.with_room(|table| {
            let end = self.prepare_write(table, task, offset, bytes.len() as u64)?;
            let Some(end) = end else { return Ok(Copied::Absent) };
            self.copy_in(table, offset, bytes)?;
            table.len = table.len.max(end);
            Ok(Copied::Bytes(bytes.len()))
        })
    }

    /// The same, piece by piece, each filled by `get`, which is told its place among the bytes.
    pub fn write_with(
        &self,
        task: Task,
        offset: u64,
        len: usize,
        mut get: impl FnMut(usize, &mut [u8]),
    ) -> Result<Copied, TierError> {
        self.with_room(|table| {
            let end = self.prepare_write(table, task, offset, len as u64)?;
            let Some(end) = end else { return Ok(Copied::Absent) };
            let mut piece = [0; PIECE_BYTES];
            for at in (0..len).step_by(PIECE_BYTES) {
                let piece = &mut piece[..PIECE_BYTES.min(len - at)];
                get(at, piece);
                self.copy_in(table, offset + at as u64, piece)?;
            }
            table.len = table.len.max(end);
            Ok(Copied::Bytes(len))
        })
    }

    /// Merges whole elements into the value at `offset` by its rule, each atomically, piece by
    /// piece as with [`Value::write_with`].
    pub fn merge_with(
        &self,
        task: Task,
        offset: u64,
        len: usize,
        mut get: impl FnMut(usize, &mut [u8]),
    ) -> Result<Copied, TierError> {
        let width = self.spec().element().width();
        if !offset.is_multiple_of(width) || !(len as u64).is_multiple_of(width) {
            return Err(self.invalid("expected whole elements: offset and length in their width"));
        }
        // Room is all taken before the first element is merged, so that none is merged twice.
        self.with_room(|table| {
            let end = self.prepare_write(table, task, offset, len as u64)?;
            let Some(end) = end else { return Ok(Copied::Absent) };
            table.len = table.len.max(end);
            let mut piece = [0; PIECE_BYTES];
            for at in (0..len).step_by(PIECE_BYTES) {
                let piece = &mut piece[..PIECE_BYTES.min(len - at)];
                get(at, piece);
                self.merge_in(offset + at as u64, piece)?;
            }
            Ok(Copied::Bytes(len))
        })
    }

    fn merge_in(&self, offset: u64, values: &[u8]) -> Result<(), TierError> {
        let mut at = 0;
        while at < values.len() {
            let here = offset + at as u64;
            let len = ((CHUNK_BYTES - here % CHUNK_BYTES) as usize).min(values.len() - at);
            let view = self.memory.view(here, len as u64).map_err(|error| self.system(error))?;
            merge_into(self.spec(), &view, 0, &values[at..at + len]);
            at += len;
        }
        Ok(())
    }

    /// How many bytes can be read; nothing if chunks are absent.
    #[inline]
    fn readable(&self, table: &Table, offset: u64, len: usize) -> Result<Option<usize>, TierError> {
        self.check_there(table)?;
        let len = table.len.saturating_sub(offset).min(len as u64);
        if len == 0 {
            return Ok(Some(0));
        }
        let now = self.budget.now();
        let last = ((offset + len - 1) / CHUNK_BYTES) as u32;
        for chunk in ((offset / CHUNK_BYTES) as u32..=last).map(Chunk) {
            match table.entry(chunk) {
                Some(entry) if entry.present => entry.touch(now),
                _ if table.standing(chunk) == Standing::Zeros => {}
                _ => return Ok(None),
            }
        }
        Ok(Some(len as usize))
    }

    #[inline]
    fn copy_out(&self, table: &Table, offset: u64, out: &mut [u8]) -> Result<(), TierError> {
        let mut at = 0;
        while at < out.len() {
            let here = offset + at as u64;
            let chunk = Chunk((here / CHUNK_BYTES) as u32);
            let len = ((CHUNK_BYTES - here % CHUNK_BYTES) as usize).min(out.len() - at);
            let out = &mut out[at..at + len];
            match table.standing(chunk) {
                // A read of the hole would fill it.
                Standing::Zeros | Standing::Absent => out.fill(0),
                Standing::Present => {
                    let view = self.memory.view(here, len as u64);
                    view.map_err(|error| self.system(error))?.read(out);
                }
            }
            at += len;
        }
        Ok(())
    }

    /// Makes a range ready to be written; where the value ends then, or nothing if chunks are
    /// absent.
    fn prepare_write(
        &self,
        table: &mut Table,
        task: Task,
        offset: u64,
        len: u64,
    ) -> Result<Option<u64>, Short> {
        self.check_there(table)?;
        self.check_not_locked(table, task)?;
        let quota = self.spec().quota_bytes();
        let chunks = self.chunks(offset, len, quota)?;
        let end = offset + len;
        if end > table.len {
            self.check_length(end)?;
        }
        if chunks.iter().any(|chunk| table.standing(chunk) == Standing::Absent) {
            return Ok(None);
        }
        for chunk in chunks.iter() {
            self.make_base(table, chunk)?;
        }
        self.clear_behind(table, end)?;
        for chunk in chunks.iter() {
            table.mark(chunk, pages_within(chunk, offset, end));
        }
        Ok(Some(end))
    }

    fn copy_in(&self, table: &Table, offset: u64, bytes: &[u8]) -> Result<(), TierError> {
        debug_assert!(!table.gone);
        let mut at = 0;
        while at < bytes.len() {
            let here = offset + at as u64;
            let len = ((CHUNK_BYTES - here % CHUNK_BYTES) as usize).min(bytes.len() - at);
            let view = self.memory.view(here, len as u64);
            view.map_err(|error| self.system(error))?.write(&bytes[at..at + len]);
            at += len;
        }
        Ok(())
    }
}
