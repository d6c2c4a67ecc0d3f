//! The entries of all tenants by key, and what each tenant has.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use super::Payload;
use super::config::{LOOK_AT_GONE, MAX_GONE, MAX_WAITING_PER_TENANT, OwnerConfig};
use super::entry::{Entry, State};
use super::record::{Id, Ticket};
use super::shards::Shards;
use crate::key::Key;
use crate::message::{Failure, MAX_LISTED, Reply};
use crate::payload::write_name;

/// What a tenant has at an owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Values.
    pub values: u64,
    /// Bytes of their versions, with what it takes to keep them.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Tenant {
    entries: BTreeMap<Key, Entry>,
    usage: Usage,
    /// Waits for locks.
    waiting: usize,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    tenants: HashMap<Arc<str>, Tenant>,
    /// Bytes of all.
    bytes: u64,
    /// Keys without a value, oldest first; some may have one again.
    gone: VecDeque<Id>,
}

impl Tenants {
    /// The tenant's name, shared.
    pub(super) fn name(&self, tenant: &str) -> Arc<str> {
        self.tenants.get_key_value(tenant).map_or_else(|| tenant.into(), |(name, _)| name.clone())
    }

    pub(super) fn usage(&self, tenant: &str) -> Usage {
        self.tenants.get(tenant).map_or(Usage::default(), |tenant| tenant.usage)
    }

    pub(super) fn entry(&self, tenant: &str, key: &str) -> Option<&Entry> {
        self.tenants.get(tenant)?.entries.get(key)
    }

    pub(super) fn get(&self, id: &Id) -> Option<&Entry> {
        self.entry(&id.tenant, &id.key)
    }

    pub(super) fn get_mut(&mut self, id: &Id) -> Option<&mut Entry> {
        self.tenants.get_mut(&id.tenant)?.entries.get_mut(&id.key)
    }

    /// The entry, made where there is none: then it is one of a key that is gone.
    pub(super) fn make(&mut self, id: &Id) -> &mut Entry {
        let known = self.get(id).is_some();
        if !known {
            self.gone.push_back(id.clone());
        }
        let tenant = self.tenants.entry(id.tenant.clone()).or_default();
        tenant.entries.entry(id.key.clone()).or_default()
    }

    /// Forgets the oldest key without a value, if there are too many; what was kept of it.
    pub(super) fn forget_gone(&mut self, settled: Ticket) -> Option<(Id, Entry)> {
        for _ in 0..LOOK_AT_GONE {
            if self.gone.len() <= MAX_GONE {
                return None;
            }
            let id = self.gone.front()?;
            match self.get(id) {
                Some(entry) if entry.after > Some(settled) => return None,
                // Its turn comes again, when its locks may be free.
                Some(entry) if entry.is_gone() && !entry.locks.is_free() => {
                    self.gone.rotate_left(1);
                }
                Some(entry) if entry.is_gone() => {
                    let id = self.gone.pop_front()?;
                    let tenant = self.tenants.get_mut(&id.tenant)?;
                    let entry = tenant.entries.remove(&id.key)?;
                    return Some((id, entry));
                }
                _ => drop(self.gone.pop_front()),
            }
        }
        None
    }

    /// Whether the tenant may have one more value.
    pub(super) fn room_for_value(&self, id: &Id, config: &OwnerConfig) -> Result<(), Failure> {
        let limit = config.values_per_tenant;
        if self.usage(&id.tenant).values < limit {
            Ok(())
        } else {
            Err(Failure::Limit { what: "values of the tenant on one host".to_owned(), limit })
        }
    }

    /// Whether one more of the tenant may wait for a lock.
    pub(super) fn room_to_wait(&self, id: &Id) -> Result<(), Failure> {
        let limit = MAX_WAITING_PER_TENANT;
        let waiting = self.tenants.get(&id.tenant).map_or(0, |tenant| tenant.waiting);
        let what = || "waits for locks of the tenant's values on one host".to_owned();
        if waiting < limit {
            Ok(())
        } else {
            Err(Failure::Limit { what: what(), limit: limit as u64 })
        }
    }

    /// Counts the waits for the locks of a value, which have changed.
    pub(super) fn count_waits(&mut self, id: &Id) {
        let Some(tenant) = self.tenants.get_mut(&id.tenant) else { return };
        let Some(entry) = tenant.entries.get_mut(&id.key) else { return };
        let waiting = entry.locks.waits();
        let before = std::mem::replace(&mut entry.counted_waits, waiting);
        tenant.waiting = (tenant.waiting + waiting).saturating_sub(before);
    }

    /// Whether the tenant may have so many bytes more.
    pub(super) fn room(&self, id: &Id, bytes: u64, config: &OwnerConfig) -> Result<(), Failure> {
        let limits = [
            (self.usage(&id.tenant).bytes, config.bytes_per_tenant, "bytes of the tenant's values"),
            (self.bytes, config.bytes, "bytes of all values on one host"),
        ];
        for (used, limit, what) in limits {
            if used.saturating_add(bytes) > limit {
                return Err(Failure::Limit { what: what.to_owned(), limit });
            }
        }
        Ok(())
    }

    /// A value of `id` has changed: by so many bytes, and so many values.
    pub(super) fn count(&mut self, id: &Id, before: Usage, after: Usage) {
        let tenant = self.tenants.entry(id.tenant.clone()).or_default();
        tenant.usage.bytes = (tenant.usage.bytes + after.bytes).saturating_sub(before.bytes);
        tenant.usage.values = (tenant.usage.values + after.values).saturating_sub(before.values);
        self.bytes = (self.bytes + after.bytes).saturating_sub(before.bytes);
    }

    /// Changes an entry, and counts what it is then.
    pub(super) fn update<T>(&mut self, id: &Id, update: impl FnOnce(&mut Entry) -> T) -> T {
        let entry = self.make(id);
        let before = entry.usage();
        let updated = update(entry);
        let after = entry.usage();
        if before.values > after.values {
            self.gone.push_back(id.clone());
        }
        self.count(id, before, after);
        updated
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, &Entry)> {
        self.tenants.iter().flat_map(|(name, tenant)| {
            let id = |key: &Key| Id { tenant: name.clone(), key: key.clone() };
            tenant.entries.iter().map(move |(key, entry)| (id(key), entry))
        })
    }

    /// Keys with the prefix behind `after`, in order.
    pub(super) fn list(
        &self,
        tenant: &str,
        prefix: &str,
        after: &str,
        limit: u32,
        shards: &Shards,
    ) -> (Reply, Payload) {
        let mut names = Vec::new();
        let mut left = limit.min(MAX_LISTED);
        let from = if after >= prefix { Bound::Excluded(after) } else { Bound::Included(prefix) };
        let entries = self.tenants.get(tenant).map(|tenant| &tenant.entries);
        let keys = entries.map(|entries| entries.range::<str, _>((from, Bound::Unbounded)));
        for (key, entry) in keys.into_iter().flatten() {
            if !key.starts_with(prefix) {
                break;
            }
            if matches!(entry.state, State::Gone) || !shards.owns(key.shard(tenant)) {
                continue;
            }
            if left == 0 {
                return (Reply::Listed { more: true }, names.into());
            }
            left -= 1;
            write_name(&mut names, key);
        }
        (Reply::Listed { more: false }, names.into())
    }
}
