//! What images and slots may take up on this host, all tenants together: least recently used first
//! out.
//!
//! What goes is a function's image in memory and its slots in its cell; the files stay, and the next
//! call loads it again. A function with a call under way, or one that was used a moment ago, stays,
//! even if that leaves more than the budget. The cell is told a little later, so that a call that
//! was just being sent still finds the function.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use faaslet_store::BlobKind;

use super::Monitor;
use super::functions::Deployed;
use super::lock::lock;
use crate::control::Order;

/// A function that was used so lately stays.
const USED_WITHIN: Duration = Duration::from_secs(1);
/// How long a call may take from finding its cell to being in its ring.
const SETTLE: Duration = Duration::from_secs(1);

/// What was dropped since the monitor started.
#[derive(Debug, Default)]
pub(super) struct Drops {
    functions: AtomicU64,
    bytes: AtomicU64,
}

/// What images and slots take up, and what was dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImageMeasure {
    /// Images in memory.
    pub images: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Slots in all cells.
    pub slots: u64,
    /// Functions whose image and slots were dropped to keep within the budget.
    pub dropped: u64,
    /// Bytes of those images.
    pub dropped_bytes: u64,
}

impl Monitor {
    /// What images and slots take up now.
    #[must_use]
    pub fn image_measure(&self) -> ImageMeasure {
        let (mut images, mut bytes, mut slots) = (0, 0, 0);
        for tenant in self.functions.tenants() {
            slots += tenant.current().map_or(0, |link| u64::from(link.counts().slots));
            for deployed in self.functions.of(&tenant.name) {
                let held = self.held_bytes(&deployed);
                images += u64::from(held > 0);
                bytes += held;
            }
        }
        let (dropped, dropped_bytes) =
            (self.drops.functions.load(Relaxed), self.drops.bytes.load(Relaxed));
        ImageMeasure { images, bytes, slots, dropped, dropped_bytes }
    }

    /// Drops what was not used for the longest time, until the rest is within the budget.
    pub(super) fn keep_within_budget(self: &Arc<Self>) {
        let ImageMeasure { mut bytes, mut slots, .. } = self.image_measure();
        let (most_bytes, most_slots) = (self.config.image_memory_bytes, self.config.host_slots);
        if bytes <= most_bytes && slots <= most_slots {
            return;
        }
        let tenants = self.functions.tenants();
        let all = tenants.iter().flat_map(|tenant| self.functions.of(&tenant.name));
        let mut idle: Vec<_> =
            all.filter_map(|deployed| Some((deployed.stats.idle_for()?, deployed))).collect();
        idle.sort_by_key(|(idle, _)| std::cmp::Reverse(*idle));
        for (idle, deployed) in idle {
            let within = bytes <= most_bytes && slots <= most_slots;
            if within || idle < USED_WITHIN {
                return;
            }
            let (held, warm) = (self.held_bytes(&deployed), u64::from(deployed.warm_slots()));
            if held == 0 && warm == 0 {
                continue;
            }
            self.drop_from_memory(&deployed, held);
            (bytes, slots) = (bytes.saturating_sub(held), slots.saturating_sub(warm));
        }
    }

    /// Bytes of a function's image, if that is in memory.
    fn held_bytes(&self, deployed: &Deployed) -> u64 {
        let Some(image) = deployed.deployment().image else { return 0 };
        if lock(&deployed.image).is_none() {
            return 0;
        }
        let file = self.store.blob_path(BlobKind::Image, image.blob).metadata();
        file.map_or(0, |file| file.len())
    }

    fn drop_from_memory(self: &Arc<Self>, deployed: &Deployed, bytes: u64) {
        let loaded = deployed.unload();
        *lock(&deployed.image) = None;
        self.drops.functions.fetch_add(1, Relaxed);
        self.drops.bytes.fetch_add(bytes, Relaxed);
        tracing::info!(function = %deployed.function, bytes, "dropped from memory");
        let Some((link, number)) = loaded else { return };
        self.runtime.spawn(async move {
            tokio::time::sleep(SETTLE).await;
            // A cell that cannot be told has ended, and the function with it.
            let _ = link.order(&Order::Remove { number }, &[]).await;
        });
    }
}
