//! The global write lock on its own host: whoever holds it has the value alone.

use std::task::Poll;

use faaslet_state::delta::acknowledge;

use crate::error::TierError;
use crate::push::{Prepared, pages_of};
use crate::sys::PAGE_BYTES;
use crate::table::Table;
use crate::task::Task;
use crate::value::Value;

impl Value {
    /// Has the value for `task`, which holds the local write lock, alone: from now on others may
    /// not map it for writing, write or push; ready when nobody else has it mapped for writing.
    /// Who waits for that is woken when the last of them unmaps, and asks again. To be called
    /// before the owner is asked for the lock.
    pub fn begin_exclusive(&self, task: Task) -> Result<Poll<()>, TierError> {
        let mut table = self.table_mut();
        self.check_there(&table)?;
        self.check_not_locked(&table, task)?;
        if !self.lock().is_held_by(task) {
            return Err(self.invalid("expected the local write lock to be held: lock it first"));
        }
        table.exclusive = Some(task);
        let others = table.maps.others_write(task);
        Ok(if others { Poll::Pending } else { Poll::Ready(()) })
    }

    /// Who has the value alone.
    pub fn exclusive(&self) -> Option<Task> {
        self.table().exclusive
    }

    /// Ends that; with `revert`, what was not pushed goes back to the base. Nothing happens if the
    /// task does not have it. Of a push whose outcome is not known, `sent`, what was sent stays
    /// until it is: see [`Value::push_lost`]. Refused, and not ended, without that push.
    pub fn end_exclusive(
        &self,
        task: Task,
        revert: bool,
        sent: Option<&Prepared>,
    ) -> Result<(), TierError> {
        let mut table = self.table_mut();
        if table.exclusive != Some(task) {
            return Ok(());
        }
        match sent {
            Some(sent) if revert => self.revert_to(&mut table, sent)?,
            _ if revert => self.revert_all(&mut table)?,
            _ => {}
        }
        table.exclusive = None;
        Ok(())
    }

    /// Takes everything that was not pushed back to the base.
    pub fn revert(&self) -> Result<(), TierError> {
        self.revert_all(&mut self.table_mut())
    }

    /// Takes everything back to what is under way.
    fn revert_to(&self, table: &mut Table, sent: &Prepared) -> Result<(), TierError> {
        let under_way = table.sending.take();
        let len = table.owner_len.max(sent.len);
        let reverted = self.revert_all(table);
        table.sending = under_way;
        table.len = len;
        reverted?;
        for (chunk, pages, changes) in sent.changes(self)?.iter() {
            let view = self.chunk(table, chunk)?;
            let used = table.used(chunk);
            let Some(base) = &table.entry_mut(chunk).base else { continue };
            let mut copy = base[..used].to_vec();
            // What the owner makes of it is told by its answer.
            let _ = acknowledge(self.spec(), &mut copy, &changes);
            for (_, bytes) in pages_of(pages, used) {
                view.part(bytes.start, bytes.len()).write(&copy[bytes]);
            }
        }
        Ok(())
    }

    fn revert_all(&self, table: &mut Table) -> Result<(), TierError> {
        if table.sending.is_some() {
            return Err(self.invalid("expected the push under way with the end of the lock"));
        }
        let end = table.len.next_multiple_of(PAGE_BYTES);
        self.harvest(table, 0, end);
        for chunk in std::mem::take(&mut table.dirty).into_iter().map(faaslet_state::Chunk) {
            let view = self.chunk(table, chunk)?;
            let entry = table.entry_mut(chunk);
            let Some(base) = &entry.base else { continue };
            for (_, bytes) in pages_of(entry.dirty, base.len()) {
                view.part(bytes.start, bytes.len()).write(&base[bytes]);
            }
            entry.dirty = 0;
        }
        table.len = table.owner_len;
        Ok(())
    }
}
