//! The global write lock on its own host: whoever holds it has the value alone.

use std::task::Poll;

use crate::error::TierError;
use crate::push::pages_of;
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

    /// Ends that; with `revert`, what was not pushed goes back to the base, and while the outcome
    /// of a push is not known, all of this happens when it is told: until then nobody may change
    /// the value. Nothing happens if the task does not have it.
    pub fn end_exclusive(&self, task: Task, revert: bool) -> Result<(), TierError> {
        let mut table = self.table_mut();
        if table.exclusive != Some(task) {
            return Ok(());
        }
        if revert && table.sending.is_some() {
            table.exclusive_ends = true;
            return Ok(());
        }
        if revert {
            self.revert_all(&mut table)?;
        }
        table.exclusive = None;
        Ok(())
    }

    /// Whether that ends as soon as the outcome of a push is told, and not before.
    pub fn is_exclusive_until_told(&self) -> bool {
        self.table().exclusive_ends
    }

    /// The outcome of a push was told, for which the end of this waited.
    pub(crate) fn end_late(&self, table: &mut Table) -> Result<(), TierError> {
        if table.exclusive_ends {
            table.exclusive_ends = false;
            table.exclusive = None;
            self.revert_all(table)?;
        }
        Ok(())
    }

    /// Takes everything that was not pushed back to the base.
    pub fn revert(&self) -> Result<(), TierError> {
        self.revert_all(&mut self.table_mut())
    }

    fn revert_all(&self, table: &mut Table) -> Result<(), TierError> {
        if table.sending.is_some() {
            return Err(self.invalid("expected the outcome of the push under way to be told first"));
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
