//! The disk of the store: what is collected by itself and when, and how much a tenant may upload.
//!
//! After each deployment, and from time to time, a collection takes what the store's rule says
//! (see [`GcRule`]). A store that is over its budget even so takes no new files.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use faaslet_store::{BlobKind, GcError, GcRule, Hash, Name};

use super::deploy::ModuleError;
use super::lock::lock;
use super::{Monitor, blocking};

/// Time between two collections.
const COLLECT_EVERY: Duration = Duration::from_mins(10);
/// What the smallest upload counts for: a file takes that much of a disk.
const MIN_UPLOAD_BYTES: u64 = 4096;

/// Files of the store take more than its budget, and none can go.
#[derive(Debug, thiserror::Error)]
pub enum OverBudget {
    /// Nothing more can be collected.
    #[error(
        "expected the store to keep within its budget of {budget} bytes; {kept} bytes are in use or \
         too young to go; remove functions, or ask the operator for a larger --disk-budget"
    )]
    Full {
        /// The budget.
        budget: u64,
        /// What is kept.
        kept: u64,
    },
    /// It cannot be told.
    #[error(transparent)]
    Gc(#[from] GcError),
}

impl Monitor {
    /// What is kept.
    pub(super) fn gc_rule(&self) -> GcRule {
        GcRule {
            old_versions: self.config.keep_versions,
            budget_bytes: self.config.disk_budget_bytes,
            ..GcRule::default()
        }
    }

    /// Collects whenever it is asked to, and from time to time.
    pub(super) async fn collect_by_itself(self: Arc<Self>) {
        let mut tick = tokio::time::interval(COLLECT_EVERY);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.collect.notified() => {}
            }
            if self.draining() {
                return;
            }
            let monitor = Arc::clone(&self);
            let collected = blocking(move || monitor.store.gc(&monitor.gc_rule())).await;
            match collected {
                Ok(Ok(plan)) if plan.freed_bytes > 0 || !plan.versions.is_empty() => {
                    let (versions, bytes) = (plan.versions.len(), plan.freed_bytes);
                    tracing::info!(versions, bytes, "collected what is unused");
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::error!(%error, "cannot collect what is unused"),
                Err(error) => tracing::error!(%error, "cannot collect what is unused"),
            }
        }
    }

    /// Sees to it that the store is within its budget before more comes into it.
    pub(super) fn make_room(&self) -> Result<(), OverBudget> {
        let Some(budget) = self.config.disk_budget_bytes else { return Ok(()) };
        let mut used = 0;
        for kind in BlobKind::ALL {
            let blobs = self.store.blobs(kind).map_err(GcError::from)?;
            used += blobs.iter().map(|(_, bytes)| bytes).sum::<u64>();
        }
        if used <= budget {
            return Ok(());
        }
        let kept = self.store.gc(&self.gc_rule())?.kept_bytes;
        if kept > budget { Err(OverBudget::Full { budget, kept }) } else { Ok(()) }
    }

    /// Keeps an uploaded module; it is collected unless it is deployed.
    ///
    /// # Errors
    /// See [`ModuleError`].
    pub fn put_module(&self, tenant: &Name, module: &mut dyn Read) -> Result<Hash, ModuleError> {
        self.make_room()?;
        let quota = self.config.upload_quota_bytes;
        let grace = GcRule::default().grace;
        self.uploads.forget(tenant.as_str(), grace, |hash| {
            // What cannot be told counts on.
            let named = self.store.named_by(BlobKind::Module, hash);
            named.is_ok_and(|by| !by.is_empty()) || !self.store.has_blob(BlobKind::Module, hash)
        });
        let mut counted = self.uploads.begin(tenant.as_str(), quota, module);
        let put = self.store.put_blob(BlobKind::Module, None, &mut counted);
        if counted.over {
            return Err(ModuleError::Quota { quota });
        }
        let hash = put?;
        counted.keep(hash);
        Ok(hash)
    }
}

/// What tenants have uploaded since the monitor started, and what no version named at once.
#[derive(Debug, Default)]
pub(super) struct Uploads(Mutex<HashMap<String, Share>>);

/// Uploads of one tenant.
#[derive(Debug, Default)]
struct Share {
    under_way_bytes: u64,
    kept: HashMap<Hash, (u64, Instant)>,
}

impl Share {
    fn bytes(&self) -> u64 {
        self.under_way_bytes + self.kept.values().map(|(bytes, _)| bytes).sum::<u64>()
    }
}

impl Uploads {
    /// Forgets what is older than the grace of a collection, or `done`.
    fn forget(&self, tenant: &str, grace: Duration, done: impl Fn(Hash) -> bool) {
        let kept = lock(&self.0).get(tenant).map(|share| share.kept.clone()).unwrap_or_default();
        let gone = kept.iter().filter(|(hash, (_, at))| at.elapsed() > grace || done(**hash));
        let gone: Vec<_> = gone.map(|(hash, _)| *hash).collect();
        let mut all = lock(&self.0);
        let Some(share) = all.get_mut(tenant) else { return };
        for hash in gone {
            share.kept.remove(&hash);
        }
        if share.bytes() == 0 {
            all.remove(tenant);
        }
    }

    fn begin<'a>(&'a self, tenant: &str, quota: u64, reader: &'a mut dyn Read) -> Counted<'a> {
        Counted { uploads: self, tenant: tenant.to_owned(), quota, reader, bytes: 0, over: false }
    }

    /// Counts more of an upload; false when that is over the quota.
    fn count(&self, tenant: &str, bytes: u64, quota: u64) -> bool {
        let mut all = lock(&self.0);
        let share = all.entry(tenant.to_owned()).or_default();
        share.under_way_bytes += bytes;
        share.bytes() <= quota
    }
}

/// An upload that is counted while it is read.
struct Counted<'a> {
    uploads: &'a Uploads,
    tenant: String,
    quota: u64,
    reader: &'a mut dyn Read,
    bytes: u64,
    /// It was cut off for the quota.
    over: bool,
}

impl Counted<'_> {
    /// It is kept under this hash.
    fn keep(&self, hash: Hash) {
        let mut all = lock(&self.uploads.0);
        let share = all.entry(self.tenant.clone()).or_default();
        share.kept.insert(hash, (self.bytes.max(MIN_UPLOAD_BYTES), Instant::now()));
    }
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.bytes += length as u64;
        if self.uploads.count(&self.tenant, length as u64, self.quota) {
            return Ok(length);
        }
        self.over = true;
        Err(io::ErrorKind::QuotaExceeded.into())
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if let Some(share) = lock(&self.uploads.0).get_mut(&self.tenant) {
            share.under_way_bytes = share.under_way_bytes.saturating_sub(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: u64 = 100_000;

    fn upload(uploads: &Uploads, tenant: &str, bytes: usize, hash: u8) -> bool {
        let content = vec![0; bytes];
        let mut content = &content[..];
        let mut counted = uploads.begin(tenant, QUOTA, &mut content);
        let taken = io::copy(&mut counted, &mut io::sink()).is_ok();
        if taken {
            counted.keep(Hash([hash; 32]));
        }
        taken
    }

    #[test]
    fn uploads_count_until_they_are_used_or_gone_and_only_for_their_tenant() {
        let uploads = Uploads::default();
        assert!(upload(&uploads, "a", 60_000, 1));
        assert!(!upload(&uploads, "a", 60_000, 1), "two copies at once");
        assert!(upload(&uploads, "a", 30_000, 2));
        assert!(!upload(&uploads, "a", 30_000, 3));
        assert!(upload(&uploads, "b", 90_000, 3), "of another tenant");
        let hour = Duration::from_hours(1);
        uploads.forget("a", hour, |_| false);
        assert!(!upload(&uploads, "a", 30_000, 3));
        uploads.forget("a", hour, |hash| hash == Hash([1; 32]));
        assert!(upload(&uploads, "a", 60_000, 3), "the first one was deployed");
        uploads.forget("a", Duration::ZERO, |_| false);
        assert!(upload(&uploads, "a", 90_000, 4), "older than the grace");
    }

    #[test]
    fn small_uploads_count_for_what_a_file_takes() {
        let uploads = Uploads::default();
        let taken = (0..u8::MAX).take_while(|n| upload(&uploads, "a", 1, *n)).count();
        assert_eq!(taken as u64, QUOTA / MIN_UPLOAD_BYTES + 1, "the last one is over it");
    }
}
