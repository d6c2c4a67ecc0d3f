//! What a monitor is started with, checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use faaslet_sandbox::Strictness;

use super::state::{PeersConfig, StateBounds, StatesConfig};
use crate::cell::Limits;

/// Longest deadline that a call may have.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(3600);

/// Images of fewer bytes are sooner read than forked before they are whole.
const LAZY_ABOVE_BYTES: u64 = 4 << 20;

/// Most worker threads of a cell.
pub const MAX_WORKERS: usize = 64;
/// Longest initialisation that a deployment may ask for.
pub const MAX_INITIALISE: Duration = Duration::from_secs(600);

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything is kept.
    pub dir: PathBuf,
    /// Where calls over QUIC arrive.
    pub listen: SocketAddr,
    /// Where HTTP arrives.
    pub http: SocketAddr,
    /// Where HTTP over TLS arrives, with the certificate of `dir`.
    pub http_tls: Option<SocketAddr>,
    /// Worker threads of a cell.
    pub workers: usize,
    /// Slots of each worker.
    pub slots: usize,
    /// What a function may use that does not say.
    pub limits: Limits,
    /// Deadline of a call when neither it nor its function names one.
    pub timeout: Duration,
    /// A cell without calls for this long is ended.
    pub idle_cell: Duration,
    /// Versions of a function that are kept beside the current one.
    pub keep_versions: usize,
    /// Most memory of a cell's cgroup, in bytes.
    pub cell_memory_bytes: u64,
    /// Most memory of a builder's cgroup, in bytes.
    pub builder_memory_bytes: u64,
    /// Most bytes of all files of the store; old versions go to keep within it.
    pub disk_budget_bytes: Option<u64>,
    /// Most bytes of a tenant's uploads that no version of a function names.
    pub upload_quota_bytes: u64,
    /// Most bytes of images in memory, of all tenants; the least recently used go.
    pub image_memory_bytes: u64,
    /// Most slots of all cells together; those of the least recently used functions go.
    pub host_slots: u64,
    /// How long calls may take to end at shutdown.
    pub drain: Duration,
    /// Whether cells run without a fence that this machine cannot put up.
    pub sandbox: Strictness,
    /// Images of more bytes than this are called before they are whole.
    pub lazy_above_bytes: u64,
    /// Keep the processor awake: lower latency, more power.
    pub low_latency: bool,
    /// What this host may hold of state.
    pub state: StateBounds,
    /// The list of hosts; `None` for one that is alone.
    pub peers: Option<PeersConfig>,
}

impl Config {
    /// The defaults, over a folder.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            listen: SocketAddr::from(([127, 0, 0, 1], 7410)),
            http: SocketAddr::from(([127, 0, 0, 1], 7411)),
            http_tls: None,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            slots: 2048,
            limits: Limits::default(),
            timeout: Duration::from_secs(60),
            idle_cell: Duration::from_secs(300),
            keep_versions: 3,
            cell_memory_bytes: 8 << 30,
            builder_memory_bytes: 8 << 30,
            disk_budget_bytes: None,
            upload_quota_bytes: 1 << 30,
            image_memory_bytes: 8 << 30,
            host_slots: 32_768,
            drain: Duration::from_secs(30),
            sandbox: Strictness::of_this_user(),
            lazy_above_bytes: LAZY_ABOVE_BYTES,
            low_latency: false,
            state: StateBounds::default(),
            peers: None,
        }
    }

    /// What state is started with.
    pub(super) fn states(&self) -> StatesConfig {
        StatesConfig { dir: self.dir.clone(), bounds: self.state, peers: self.peers.clone() }
    }
}
