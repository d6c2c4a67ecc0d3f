//! All values of the tenant on this host, and the memory that they may take.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faaslet_state::message::Stat;
use faaslet_state::{Chunk, Key};

use crate::budget::Budget;
use crate::error::TierError;
use crate::table::Table;
use crate::task::Wake;
use crate::track::{Tracker, Tracking};
use crate::value::Value;

/// Most values that are here at a time; each takes a descriptor.
pub const MAX_VALUES: usize = 16 * 1024;
/// Part of the budget that is freed at a time, at least: so that not every chunk looks for its own.
const EVICTED_PART: u64 = 64;

/// See the module.
#[derive(Debug)]
pub struct Tier {
    values: Arc<Values>,
    tracker: Arc<Tracker>,
}

/// How much is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Values that are here, if only in part.
    pub values: usize,
    /// Bytes of chunks and bases.
    pub bytes: u64,
    /// The most there may be.
    pub budget: u64,
    /// Chunks that may hold something that was not pushed: those that are mapped for writing among
    /// them, as what was stored to is known when they are pushed or unmapped.
    pub dirty_chunks: u64,
}

#[derive(Debug)]
pub(crate) struct Values {
    budget: Arc<Budget>,
    values: Mutex<HashMap<Key, Arc<Value>>>,
}

impl Tier {
    /// A tier of at most `budget_bytes` of memory.
    pub fn new(budget_bytes: u64, tracker: Tracker) -> Self {
        let budget = Arc::new(Budget::new(budget_bytes));
        let values = Arc::new(Values { budget, values: Mutex::default() });
        Self { values, tracker: Arc::new(tracker) }
    }

    /// The value of this key, which its owner knows as `stat`; made here if it is not here, or was
    /// another of the same name: that one is gone then, and who waits on its words is woken.
    pub fn value(&self, key: &Key, stat: &Stat) -> Result<(Arc<Value>, Wake), TierError> {
        if let Some(value) = self.get(key) {
            match value.seen(stat) {
                // Another value of the same name: this one is forgotten below.
                Err(TierError::Gone { .. }) if stat.made > value.made() => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok((value, Wake::nobody())),
            }
        }
        self.values.make(key, stat, &self.tracker)
    }

    /// The value of this key, if it is here.
    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.values.lock().get(key).cloned()
    }

    /// Forgets a value that its owner does not have any more.
    pub fn deleted(&self, key: &Key) -> Wake {
        let value = self.values.lock().remove(key);
        value.map_or(Wake::nobody(), |value| value.deleted())
    }

    /// How pages that functions stored to are found.
    pub fn tracking(&self) -> Tracking {
        self.tracker.tracking()
    }

    /// How much is in use.
    pub fn usage(&self) -> Usage {
        let values: Vec<_> = self.values.lock().values().cloned().collect();
        let dirty = values.iter().map(|value| value.table().unpushed_chunks());
        let budget = &self.values.budget;
        Usage {
            dirty_chunks: dirty.sum(),
            values: values.len(),
            bytes: budget.used(),
            budget: budget.limit(),
        }
    }
}

/// A chunk that can go.
struct Candidate {
    used: u32,
    value: Arc<Value>,
    chunk: Chunk,
}

impl Values {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Value>>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(
        self: &Arc<Self>,
        key: &Key,
        stat: &Stat,
        tracker: &Arc<Tracker>,
    ) -> Result<(Arc<Value>, Wake), TierError> {
        let budget = Arc::clone(&self.budget);
        let weak = Arc::downgrade(self);
        let made = Value::new(key.clone(), stat, budget, Arc::clone(tracker), weak)?;
        let made = Arc::new(made);
        let mut values = self.lock();
        match values.get(key) {
            // Another thread was first.
            Some(there) if there.made() >= stat.made => {
                return Ok((Arc::clone(there), Wake::nobody()));
            }
            _ => {}
        }
        if values.len() >= MAX_VALUES && !forget_idle(&mut values) {
            return Err(made.too_many("values on this host", MAX_VALUES));
        }
        let old = values.insert(key.clone(), Arc::clone(&made));
        Ok((made, old.map_or(Wake::nobody(), |old| old.deleted())))
    }

    /// Evicts what was not used for longest, until `asked` bytes fit; whether they do.
    pub(crate) fn evict(&self, asked: u64) -> bool {
        let limit = self.budget.limit();
        if asked > limit {
            return false;
        }
        let wanted = limit - asked.max(limit / EVICTED_PART).min(limit);
        let values: Vec<_> = self.lock().values().cloned().collect();
        for bases in [true, false] {
            let mut candidates = Vec::new();
            for value in &values {
                value.evictable(bases, |used, chunk| {
                    candidates.push(Candidate { used, value: Arc::clone(value), chunk });
                });
            }
            candidates.sort_by_key(|candidate| candidate.used);
            for candidate in candidates {
                if self.budget.used() <= wanted {
                    return true;
                }
                candidate.value.evict(candidate.chunk, bases);
            }
        }
        self.budget.used() + asked <= limit
    }
}

/// Forgets values that nobody has open and of which nothing would be lost; whether there were any.
fn forget_idle(values: &mut HashMap<Key, Arc<Value>>) -> bool {
    let before = values.len();
    values.retain(|_, value| Arc::strong_count(value) > 1 || !value.is_clean());
    values.len() < before
}

impl Value {
    /// Whether nothing would be lost with it.
    fn is_clean(&self) -> bool {
        let table = self.table();
        table.dirty.is_empty() && table.sending.is_none() && table.len == table.owner_len
    }

    /// Tells the chunks of which the base, or all, can go.
    fn evictable(&self, bases: bool, mut found: impl FnMut(u32, Chunk)) {
        let table = self.table();
        if self.is_pinned(&table) {
            return;
        }
        for (chunk, entry) in table.present_from(Chunk(0)) {
            if can_go(&table, chunk, bases) {
                found(entry.used.load(std::sync::atomic::Ordering::Relaxed), chunk);
            }
        }
    }

    /// Evicts the base of a chunk, or all of it, if that can still go.
    fn evict(&self, chunk: Chunk, base: bool) {
        let mut table = self.table_mut();
        if self.is_pinned(&table) || !can_go(&table, chunk, base) {
            return;
        }
        if base {
            let cost = table.cost(chunk);
            table.entry_mut(chunk).base = None;
            self.give_back(&mut table, cost);
        } else {
            // A hole that cannot be punched leaves the chunk where it is.
            let _ = self.drop_chunk(&mut table, chunk);
        }
    }

    fn is_pinned(&self, table: &Table) -> bool {
        table.exclusive.is_some() || self.lock().is_held()
    }
}

/// Whether the base of a chunk, or all of it, can go.
fn can_go(table: &Table, chunk: Chunk, base: bool) -> bool {
    let Some(entry) = table.entry(chunk) else { return false };
    let sent = table.sending.as_ref().is_some_and(|push| push.chunks.contains(&chunk.0));
    let idle = entry.is_clean() && !sent;
    if base { idle && entry.base.is_some() } else { idle && entry.maps == 0 }
}
