//! A value in the local tier: its memory, what is known of its chunks, and who waits for it.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use faaslet_state::message::Stat;
use faaslet_state::{Chunk, ChunkRange, Key, Spec, Version};

use crate::budget::Budget;
use crate::error::TierError;
use crate::lock::LocalLock;
use crate::sys::{Memory, View};
use crate::table::{Standing, Table};
use crate::task::Task;
use crate::tier::Values;
use crate::track::Tracker;
use crate::turn::Turn;
use crate::wait::Waits;

/// How often room is made for one operation before it is refused.
pub(crate) const MAX_ROUNDS_OF_EVICTION: u32 = 4;

/// See the module. Reads and writes are atomic among each other, and a push or an installed pull
/// is one step for them; what functions do to mapped memory goes past all of this.
#[derive(Debug)]
pub struct Value {
    key: Key,
    spec: Spec,
    made: Version,
    pub(crate) memory: Memory,
    table: RwLock<Table>,
    turn: Turn,
    lock: LocalLock,
    pub(crate) waits: Waits,
    pub(crate) budget: Arc<Budget>,
    pub(crate) tracker: Arc<Tracker>,
    values: Weak<Values>,
}

/// Why a step did not come to its end.
pub(crate) enum Short {
    /// So many bytes of the budget are missing.
    Room(u64),
    /// For good.
    Refused(TierError),
}

impl From<TierError> for Short {
    fn from(error: TierError) -> Self {
        Self::Refused(error)
    }
}

impl Value {
    pub(crate) fn new(
        key: Key,
        stat: &Stat,
        budget: Arc<Budget>,
        tracker: Arc<Tracker>,
        values: Weak<Values>,
    ) -> Result<Self, TierError> {
        let quota = stat.spec.quota_bytes();
        let memory = match Memory::new(quota) {
            Ok(memory) => memory,
            Err(error) => return Err(TierError::System { key, error }),
        };
        Ok(Self {
            key,
            spec: stat.spec,
            made: stat.made,
            memory,
            table: RwLock::new(Table::new(quota, stat.len.min(quota), stat.version)),
            turn: Turn::default(),
            lock: LocalLock::default(),
            waits: Waits::default(),
            budget,
            tracker,
            values,
        })
    }

    /// Its key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What it was made as.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The version in which it was made.
    pub fn made(&self) -> Version {
        self.made
    }

    /// The value as this host knows it: its length here, and the newest version seen.
    pub fn stat(&self) -> Stat {
        let table = self.table();
        Stat { spec: self.spec, len: table.len, version: table.version, made: self.made }
    }

    /// The file, sealed at its quota in whole pages, for the window of a slot. What is behind the
    /// length in use is zeros, or what functions stored there, which nobody else ever gets.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.memory.fd()
    }

    /// Whose turn it is to push, pull or resize.
    pub fn turn(&self) -> &Turn {
        &self.turn
    }

    /// Its lock among the Faaslets of this host.
    pub fn lock(&self) -> &LocalLock {
        &self.lock
    }

    #[inline]
    pub(crate) fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn table_mut(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a step that may need room. It is run again from its start when others made room, so
    /// what it did until then must not matter.
    pub(crate) fn with_room<T>(
        &self,
        mut step: impl FnMut(&mut Table) -> Result<T, Short>,
    ) -> Result<T, TierError> {
        for _ in 0..MAX_ROUNDS_OF_EVICTION {
            let short = step(&mut self.table_mut());
            match short {
                Ok(done) => return Ok(done),
                Err(Short::Refused(error)) => return Err(error),
                Err(Short::Room(asked)) => self.make_room(asked)?,
            }
        }
        Err(self.no_room(0))
    }

    fn make_room(&self, asked: u64) -> Result<(), TierError> {
        let made = self.values.upgrade().is_some_and(|values| values.evict(asked));
        if made { Ok(()) } else { Err(self.no_room(asked)) }
    }

    pub(crate) fn no_room(&self, asked: u64) -> TierError {
        let (used, budget) = (self.budget.used(), self.budget.limit());
        TierError::NoRoom { key: self.key.clone(), asked, used, budget }
    }

    /// Takes bytes of the budget for the table.
    pub(crate) fn take(&self, table: &mut Table, bytes: u64) -> Result<(), Short> {
        if !self.budget.take(bytes) {
            return Err(Short::Room(bytes));
        }
        table.taken += bytes;
        Ok(())
    }

    pub(crate) fn give_back(&self, table: &mut Table, bytes: u64) {
        table.taken -= bytes;
        self.budget.give_back(bytes);
    }

    /// The bytes of a chunk, as long as the quota has it.
    pub(crate) fn chunk(&self, table: &Table, chunk: Chunk) -> Result<View<'_>, TierError> {
        let view = self.memory.view(chunk.start(), table.chunk_len(chunk) as u64);
        view.map_err(|error| self.system(error))
    }

    pub(crate) fn load_word(&self, offset: u64) -> Result<u32, TierError> {
        let view = self.memory.view(offset, crate::sys::WORD_BYTES);
        Ok(view.map_err(|error| self.system(error))?.load::<u32>(0))
    }

    /// Makes a chunk one that may be written: here, and with a base.
    pub(crate) fn make_base(&self, table: &mut Table, chunk: Chunk) -> Result<(), Short> {
        let cost = table.cost(chunk);
        match table.standing(chunk) {
            Standing::Absent => return Err(self.absent(chunk).into()),
            Standing::Zeros => {
                self.take(table, cost)?;
                let version = table.version;
                let entry = table.entry_mut(chunk);
                (entry.present, entry.version) = (true, version);
            }
            Standing::Present => {}
        }
        if table.entry(chunk).is_some_and(|entry| entry.base.is_none()) {
            self.take(table, cost)?;
            let mut base = vec![0; table.chunk_len(chunk)].into_boxed_slice();
            self.chunk(table, chunk)?.read(&mut base);
            // Behind the owner's end functions may have stored what is nothing yet.
            let end = table.owner_len.saturating_sub(chunk.start()).min(base.len() as u64);
            base[end as usize..].fill(0);
            table.entry_mut(chunk).base = Some(base);
        }
        table.entry_mut(chunk).touch(self.budget.now());
        Ok(())
    }

    pub(crate) fn check_there(&self, table: &Table) -> Result<(), TierError> {
        if table.gone { Err(TierError::Gone { key: self.key.clone() }) } else { Ok(()) }
    }

    /// That nobody but `task` has the global write lock here.
    pub(crate) fn check_not_locked(&self, table: &Table, task: Task) -> Result<(), TierError> {
        match table.exclusive {
            Some(holder) if holder != task => {
                Err(TierError::Locked { key: self.key.clone(), holder })
            }
            _ => Ok(()),
        }
    }

    /// That a range lies within the length in use.
    pub(crate) fn check_range(
        &self,
        table: &Table,
        offset: u64,
        len: u64,
    ) -> Result<(), TierError> {
        self.chunks(offset, len, table.len).map(|_| ())
    }

    /// The chunks of a range that lies within `limit`.
    pub(crate) fn chunks(
        &self,
        offset: u64,
        len: u64,
        limit: u64,
    ) -> Result<ChunkRange, TierError> {
        let fits = offset.checked_add(len).is_some_and(|end| end <= limit);
        let chunks = ChunkRange::covering(offset, len).filter(|_| fits);
        chunks.ok_or_else(|| TierError::Range { key: self.key.clone(), offset, len, limit })
    }

    pub(crate) fn absent(&self, chunk: Chunk) -> TierError {
        TierError::Absent { key: self.key.clone(), chunk: chunk.0 }
    }

    pub(crate) fn invalid(&self, why: &'static str) -> TierError {
        TierError::Invalid { key: self.key.clone(), why }
    }

    pub(crate) fn too_many(&self, what: &'static str, limit: usize) -> TierError {
        TierError::TooMany { key: self.key.clone(), what, limit }
    }

    pub(crate) fn system(&self, error: io::Error) -> TierError {
        TierError::System { key: self.key.clone(), error }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.budget.give_back(self.table().taken);
    }
}
