//! Lengths: here, and at the owner.

use faaslet_state::delta::lay_under;
use faaslet_state::message::Stat;
use faaslet_state::{Chunk, Version};

use crate::error::TierError;
use crate::sys::PAGE_BYTES;
use crate::table::Table;
use crate::task::Wake;
use crate::value::Value;

impl Value {
    /// Takes note of what the owner said of the value.
    pub fn seen(&self, stat: &Stat) -> Result<(), TierError> {
        if stat.made != self.made() {
            return Err(TierError::Gone { key: self.key().clone() });
        }
        self.see(&mut self.table_mut(), stat.version, stat.len)
    }

    /// That the value may have this length.
    pub fn check_length(&self, len: u64) -> Result<(), TierError> {
        if self.spec().allows(len) {
            return Ok(());
        }
        let limit = self.spec().quota_bytes();
        Err(TierError::Length { key: self.key().clone(), limit, found: len })
    }

    /// The owner has set the length, and made `version` of it: what lies behind it is gone, here
    /// too, pushed or not. To be called in one's turn.
    pub fn resized(&self, version: Version, len: u64) -> Result<(), TierError> {
        self.check_length(len)?;
        let mut table = self.table_mut();
        self.clear_behind(&table, len)?;
        if len < table.len {
            let old = std::mem::replace(&mut table.len, len);
            self.cut(&mut table, len, old)?;
        }
        // A later version may have been seen before this answer came: its length stands.
        if version >= table.version {
            (table.version, table.owner_len) = (version, len);
        }
        table.len = table.owner_len;
        Ok(())
    }

    /// It was deleted: every operation says so from now on. What is mapped stays so until it is
    /// unmapped. Wakes all who wait on its words.
    pub fn deleted(&self) -> Wake {
        self.table_mut().gone = true;
        self.notify_all()
    }

    /// A version of the owner, and its length then: older ones than before say nothing.
    pub(crate) fn see(
        &self,
        table: &mut Table,
        version: Version,
        len: u64,
    ) -> Result<(), TierError> {
        if version <= table.version {
            return Ok(());
        }
        self.check_length(len)?;
        let before = std::mem::replace(&mut table.owner_len, len);
        table.version = version;
        let grown_here = table.len > before;
        let now = if grown_here { table.len.max(len) } else { len };
        match (len < before, grown_here) {
            (true, true) => self.lay_end(table, len, before)?,
            (true, false) => self.cut(table, len, before)?,
            (false, _) => self.clear_behind(table, now)?,
        }
        table.len = now;
        Ok(())
    }

    /// Makes zeros of what functions stored behind the end, as the value grows past it.
    pub(crate) fn clear_behind(&self, table: &Table, grows_to: u64) -> Result<(), TierError> {
        let end = table.len.next_multiple_of(PAGE_BYTES).min(grows_to);
        let chunk = Chunk((table.len / faaslet_state::CHUNK_BYTES) as u32);
        if end > table.len && table.entry(chunk).is_some_and(|entry| entry.present) {
            let view = self.memory.view(table.len, end - table.len);
            view.map_err(|error| self.system(error))?.zero();
        }
        Ok(())
    }

    /// The owner's value ends at `from` now, not at `to`: zeros are newer there.
    fn lay_end(&self, table: &mut Table, from: u64, to: u64) -> Result<(), TierError> {
        for chunk in present_between(table, from, to) {
            let view = self.chunk(table, chunk)?;
            let keep = (from.max(chunk.start()) - chunk.start()) as usize;
            let used = table.used(chunk);
            let entry = table.entry_mut(chunk);
            entry.mixed = true;
            match &mut entry.base {
                Some(base) => {
                    let mut newer = base.clone();
                    newer[keep..].fill(0);
                    lay_under(self.spec(), &view, &mut base[..used], &newer[..used]);
                    base[keep..].fill(0);
                }
                None => view.part(keep, view.len() - keep).zero(),
            }
        }
        Ok(())
    }

    /// Makes zeros of `from..to`, in bases too; whole chunks that nobody has mapped go. What is left
    /// of a chunk is of no version any more, so the next pull brings it whole.
    fn cut(&self, table: &mut Table, from: u64, to: u64) -> Result<(), TierError> {
        for chunk in present_between(table, from, to) {
            let view = self.chunk(table, chunk)?;
            let keep = (from.max(chunk.start()) - chunk.start()) as usize;
            if keep == 0 && table.entry(chunk).is_some_and(|entry| entry.maps == 0) {
                self.drop_chunk(table, chunk)?;
                continue;
            }
            view.part(keep, view.len() - keep).zero();
            let entry = table.entry_mut(chunk);
            entry.mixed = true;
            if let Some(base) = &mut entry.base {
                base[keep..].fill(0);
            }
        }
        Ok(())
    }

    /// Gives a chunk's memory back, whatever was in it.
    pub(crate) fn drop_chunk(&self, table: &mut Table, chunk: Chunk) -> Result<(), TierError> {
        let cost = table.cost(chunk);
        let punched = self.memory.punch(chunk.start(), cost);
        punched.map_err(|error| self.system(error))?;
        let entry = table.entry_mut(chunk);
        let bytes = if entry.base.is_some() { 2 * cost } else { cost };
        *entry = crate::table::Entry::default();
        table.dirty.remove(&chunk.0);
        self.give_back(table, bytes);
        Ok(())
    }
}

/// Chunks that are here and have bytes of `from..to`.
fn present_between(table: &Table, from: u64, to: u64) -> Vec<Chunk> {
    let first = Chunk((from / faaslet_state::CHUNK_BYTES) as u32);
    let here = table.present_from(first).map(|(chunk, _)| chunk);
    here.take_while(|chunk| chunk.start() < to).collect()
}
