//! The monitor: one for each host, holds all authority, and runs neither guest code nor compiler.
//!
//! ```text
//! quic ─┐                ┌─ functions (who can be called)
//!       ├─► calls ─► link (a cell: rings, orders) ─► cell process
//! http ─┘      └─ load (start the cell, hand the function over)
//!       └─► deploy ─► builders (a child for each bake) ─► store ─► functions
//! ```
//!
//! Start at [`Monitor::start`]; `calls` is the way of a call, `deploy` that of a module.

mod admin;
mod bakes;
mod bases;
mod budget;
mod builders;
mod caller;
mod calling;
mod calls;
mod code;
mod config;
mod credentials;
mod deploy;
mod disk;
mod filling;
mod functions;
mod groups;
mod images;
mod in_flight;
mod link;
mod load;
mod lock;
mod logs;
mod measure;
mod once;
mod quic;
mod remote;
pub mod state;
mod stats;
mod tenants;
mod working_sets;

use std::fs::File;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use faaslet_abi::Outcome;
use faaslet_net::server::{BindError, Server, ServerConfig};
use faaslet_net::tls::{self, TlsError};
use faaslet_sandbox::cgroup;
use faaslet_store::{
    BlobError, BlobKind, DbError, FunctionError, FunctionName, Hash, NameError, Store, TenantError,
};
use tokio::runtime::Handle;
use tokio::sync::Notify;

pub use admin::AdminError;
pub use bakes::{Busy, Turn};
pub use bases::{RUNTIMES, RestError};
pub use budget::ImageMeasure;
pub use caller::Reply;
pub use calling::Calling;
pub use calls::Incoming;
pub use config::{Config, MAX_TIMEOUT, MAX_WORKERS};
pub use deploy::{DeployError, ModuleError};
pub use disk::OverBudget;
pub use functions::Deployed;
pub use link::{CellError, CellLink, WorkerCounts};
pub use load::LoadError;
pub use logs::{Follower, Log};
pub use measure::{CellMeasure, FunctionMeasure, Measures, StateMeasure};
pub use remote::{ListError, PrewarmError, RemoteCounts, Tell};
pub use stats::{BOUNDS_US, OUTCOMES, Snapshot};

use crate::cell::Answer;
use credentials::Credentials;
use functions::{Functions, TenantCell};
use groups::Groups;
use in_flight::InFlight;
use link::{CellEvents, ChainOut};
use state::{States, StatesError};

/// Name of the tenant that a new folder begins with.
pub const DEFAULT_TENANT: &str = "default";
/// File of the operator's token, in the monitor's folder.
pub const ADMIN_TOKEN_FILE: &str = "admin.token";
/// File of the default tenant's token, in the monitor's folder.
pub const DEFAULT_TOKEN_FILE: &str = "default.token";
/// File in which clients find where the monitor listens.
pub const ADDRESS_FILE: &str = "address.json";
/// Processes and threads of a tenant's builders.
const BUILDER_PIDS: u32 = 256;
/// How often idle cells are looked for.
const IDLE_LOOK: Duration = Duration::from_secs(5);

/// Why the store did not give what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A record.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A file.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A function.
    #[error(transparent)]
    Function(#[from] FunctionError),
    /// A tenant.
    #[error(transparent)]
    Tenant(#[from] TenantError),
    /// A name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Why a monitor did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder.
    #[error(transparent)]
    Open(#[from] faaslet_store::OpenError),
    /// A record in it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Keys and certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The engine.
    #[error("expected a processor that Cranelift can compile for; {0:#}")]
    Engine(wasmtime::Error),
    /// State.
    #[error(transparent)]
    States(#[from] StatesError),
    /// A token's file.
    #[error("cannot write {path}: {error}; is the folder writable?")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// See the module's documentation.
pub struct Monitor {
    /// What it was started with.
    pub config: Config,
    /// What it keeps on disk.
    pub store: Store,
    /// What functions share.
    pub states: Arc<States>,
    functions: Functions,
    groups: Groups,
    runtime: Handle,
    in_flight: InFlight,
    credentials: Credentials,
    bakes: Arc<bakes::Bakes>,
    uploads: disk::Uploads,
    /// Asks for a collection.
    collect: Notify,
    /// Held while a record and what is served are changed, so that both say the same. One for all
    /// functions, as the store has one writer too.
    changes: Mutex<()>,
    /// What code is compiled by and for.
    engine: Hash,
    /// The other hosts, where there are any.
    remote: Option<remote::Remote>,
    warms: remote::Warms,
    drops: budget::Drops,
}

/// Runs what blocks on a thread that may.
async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(run).await.map_err(std::io::Error::other)
}

impl Monitor {
    /// Opens the folder, makes keys and tokens at the first start, and listens for calls.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(config: Config) -> Result<(Arc<Self>, Server), StartError> {
        let store = Store::open(&config.dir)?;
        // After the store, whose lock keeps other monitors from this folder.
        let groups = Groups::new(&config.dir);
        let engine = crate::engine::fingerprint().map_err(StartError::Engine)?;
        let states = States::open(&config.states())?;
        let remote = states.peers().map(remote::Remote::new);
        let keys = config.dir.join("tls");
        if !keys.exists() {
            tls::generate(&keys)?;
        }
        let tls = tls::server_config(&keys)?;
        let listen = config.listen;
        let handler = Arc::new(quic::Ingress::default());
        let server =
            Server::bind(listen, &tls, ServerConfig::default(), Arc::clone(&handler) as _)?;
        let builders = cgroup::Limits {
            memory_max_bytes: Some(config.builder_memory_bytes),
            pids_max: Some(BUILDER_PIDS),
            ..cgroup::Limits::default()
        };
        let monitor = Arc::new(Self {
            config,
            store,
            states,
            functions: Functions::default(),
            bakes: Arc::new(bakes::Bakes::new(groups.cgroups.clone(), builders)),
            groups,
            runtime: server.runtime().clone(),
            in_flight: InFlight::default(),
            credentials: Credentials::new(server.closer()),
            uploads: disk::Uploads::default(),
            collect: Notify::new(),
            changes: Mutex::default(),
            engine: deploy::engine_id(&engine),
            remote,
            warms: remote::Warms::default(),
            drops: budget::Drops::default(),
        });
        monitor.first_start()?;
        monitor.read_functions()?;
        handler.open(&monitor);
        monitor.serve_others();
        let watched = Arc::clone(&monitor);
        monitor.runtime.spawn(async move { watched.retire_idle_cells().await });
        monitor.runtime.spawn(Arc::clone(&monitor).collect_by_itself());
        Ok((monitor, server))
    }

    /// Takes no new calls, waits for those in flight, and ends the cells.
    pub async fn drain(&self) {
        self.in_flight.close();
        self.collect.notify_one();
        let _ = tokio::time::timeout(self.config.drain, self.in_flight.empty()).await;
        for tenant in self.functions.tenants() {
            if let Some(link) = tenant.current() {
                link.kill();
                link.wait_ended().await;
            }
        }
        if let Err(error) = self.states.stop() {
            tracing::error!(%error, "state in memory was not saved, and is lost");
        }
    }

    /// Whether it takes no new calls any more.
    pub fn draining(&self) -> bool {
        self.in_flight.is_closed()
    }

    /// How often tokens were removed: while it is the same, a token that was right is right.
    pub fn tokens_removed(&self) -> u64 {
        self.credentials.removed()
    }

    /// Calls in flight.
    pub fn calls_in_flight(&self) -> usize {
        self.in_flight.count()
    }

    async fn retire_idle_cells(self: Arc<Self>) {
        let mut look = tokio::time::interval(IDLE_LOOK.min(self.config.idle_cell));
        while !self.draining() {
            look.tick().await;
            let monitor = Arc::clone(&self);
            if let Err(error) = blocking(move || monitor.keep_within_budget()).await {
                tracing::error!(%error, "the budget of images was not looked after");
            }
            for tenant in self.functions.tenants() {
                let Some(link) = tenant.current() else { continue };
                let idle = self.config.idle_cell;
                if link.idle_for() >= idle && link.may_forget(idle) && link.retire() {
                    tracing::info!(tenant = tenant.name, pid = link.pid(), "idle cell ended");
                }
            }
        }
    }

    pub(crate) fn open_blob(&self, kind: BlobKind, hash: Hash) -> Result<File, StoreError> {
        Ok(self.store.open_blob(kind, hash)?)
    }

    /// Environment of a function, secrets among it, as a call gets it.
    fn environment(&self, function: &FunctionName) -> Result<Vec<(String, String)>, StoreError> {
        let settings = self.store.settings(function)?;
        let secrets = settings.secrets.iter().map(|(k, v)| (k.clone(), v.reveal().to_owned()));
        Ok(settings.env.iter().map(|(k, v)| (k.clone(), v.clone())).chain(secrets).collect())
    }
}

/// What the cells of one tenant tell the monitor. It holds both weakly: a cell's tasks must not
/// keep them, and a cell that outlives its tenant speaks for nobody.
pub(crate) struct Events {
    monitor: Weak<Monitor>,
    tenant: Weak<TenantCell>,
}

impl Events {
    fn new(monitor: &Arc<Monitor>, tenant: &Arc<TenantCell>) -> Self {
        Self { monitor: Arc::downgrade(monitor), tenant: Arc::downgrade(tenant) }
    }

    /// The monitor, while the tenant has not been removed from it.
    fn monitor(&self) -> Option<Arc<Monitor>> {
        let (monitor, tenant) = (self.monitor.upgrade()?, self.tenant.upgrade()?);
        monitor.functions.has_tenant(&tenant).then_some(monitor)
    }
}

impl CellEvents for Events {
    fn chain(&self, cell: &Arc<CellLink>, chain: ChainOut, reply: Reply) {
        match self.monitor() {
            Some(monitor) => monitor.chain(cell, chain, reply),
            None => reply(Answer::message(Outcome::Lost, "monitor or tenant have gone")),
        }
    }

    fn log(&self, _tenant: &str, function: u32, call: &[u8; 16], level: u8, text: &[u8]) {
        let log = self.tenant.upgrade().and_then(|tenant| tenant.log_of(function));
        if let Some(log) = log {
            log.push(call, level, text, Instant::now());
        }
    }

    fn ended(&self, cell: &Arc<CellLink>, why: &str) {
        tracing::info!(tenant = cell.tenant(), pid = cell.pid(), why, "cell ended");
    }
}
