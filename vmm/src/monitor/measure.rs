//! What a monitor counts, at one moment.

use faaslet_store::BlobKind;

use super::Monitor;
use super::budget::ImageMeasure;
use super::link::WorkerCounts;
use super::remote::RemoteCounts;
use super::state::{DiskCount, TenantCount};
use super::stats::Snapshot;
use crate::wire::StateCounts;

/// See the module's documentation.
#[derive(Debug, Clone, Default)]
pub struct Measures {
    /// Calls that have begun and not ended.
    pub in_flight: u64,
    /// Bytes of modules, artefacts, images and plans on disk.
    pub store_bytes: u64,
    /// Functions, by tenant and name.
    pub functions: Vec<FunctionMeasure>,
    /// Cells that run.
    pub cells: Vec<CellMeasure>,
    /// Images that are called before they are whole.
    pub filling: u64,
    /// Chunks of those that are not here yet.
    pub absent_chunks: u64,
    /// State, by tenant.
    pub states: Vec<StateMeasure>,
    /// What the disk stored of state.
    pub state_disk: DiskCount,
    /// Images in memory, slots, and what was dropped of them.
    pub images: ImageMeasure,
    /// What went between this host and others; nothing where there are none.
    pub remote: Option<RemoteCounts>,
}

/// What is counted of a tenant's state.
#[derive(Debug, Clone)]
pub struct StateMeasure {
    /// Whose it is.
    pub tenant: String,
    /// Requests of this host since the monitor started.
    pub count: TenantCount,
    /// Values that this host owns.
    pub values: u64,
    /// Bytes of those, older versions included.
    pub bytes: u64,
}

/// What is counted of a function.
#[derive(Debug, Clone)]
pub struct FunctionMeasure {
    /// Whose it is.
    pub tenant: String,
    /// Its name.
    pub function: String,
    /// Its counts since the monitor started.
    pub stats: Snapshot,
}

/// What a cell told last.
#[derive(Debug, Clone)]
pub struct CellMeasure {
    /// Whose it is.
    pub tenant: String,
    /// Its counts since it started.
    pub counts: WorkerCounts,
    /// Whether it can run forks of images that are not whole.
    pub pager: bool,
    /// What its local tier has, and has done since it started.
    pub state: StateCounts,
}

impl Monitor {
    /// What is counted, now.
    #[must_use]
    pub fn measures(&self) -> Measures {
        let mut measures = Measures {
            in_flight: self.calls_in_flight() as u64,
            store_bytes: self.store_bytes(),
            state_disk: self.states.disk_count(),
            images: self.image_measure(),
            remote: self.remote_counts(),
            ..Measures::default()
        };
        measures.states.extend(self.states.tenant_counts().into_iter().map(|(tenant, count)| {
            let usage = self.states.usage(&tenant);
            let (values, bytes) = (usage.values, usage.bytes);
            StateMeasure { tenant: tenant.to_string(), count, values, bytes }
        }));
        for tenant in self.functions.tenants() {
            if let Some(link) = tenant.current() {
                let (counts, state) = (link.counts(), link.state_counts());
                let tenant = tenant.name.clone();
                let pager = link.paging().can();
                measures.cells.push(CellMeasure { tenant, counts, pager, state });
            }
            let of_tenant = self.functions.of(&tenant.name);
            for deployed in &of_tenant {
                let Some(progress) = deployed.filling() else { continue };
                measures.filling += 1;
                measures.absent_chunks += (progress.chunks - progress.here) as u64;
            }
            measures.functions.extend(of_tenant.iter().map(|deployed| FunctionMeasure {
                tenant: tenant.name.clone(),
                function: deployed.name().to_owned(),
                stats: deployed.stats.snapshot(),
            }));
        }
        measures
    }

    fn store_bytes(&self) -> u64 {
        let kinds = [BlobKind::Module, BlobKind::Artefact, BlobKind::Image, BlobKind::Plan];
        let folders = kinds.into_iter().filter_map(|kind| {
            let path = self.store.blob_path(kind, faaslet_store::Hash([0; 32]));
            std::fs::read_dir(path.parent()?).ok()
        });
        let files = folders.flatten().flatten();
        files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
    }
}
