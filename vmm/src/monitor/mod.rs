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
mod builders;
mod caller;
mod calling;
mod calls;
mod config;
mod deploy;
mod functions;
mod groups;
mod images;
mod in_flight;
mod link;
mod load;
mod lock;
mod logs;
mod measure;
mod quic;
pub mod state;
mod stats;

use std::fs::File;
use std::sync::{Arc, Weak};
use std::time::Duration;

use faaslet_abi::Outcome;
use faaslet_net::server::{BindError, Server, ServerConfig};
use faaslet_net::tls::{self, TlsError};
use faaslet_store::{
    BlobError, BlobKind, DbError, FunctionError, FunctionName, Hash, NameError, Store, TenantError,
};
use tokio::runtime::Handle;

pub use admin::AdminError;
pub use caller::Reply;
pub use calling::Calling;
pub use calls::Incoming;
pub use config::{Config, MAX_TIMEOUT};
pub use deploy::{DeployError, ModuleError};
pub use functions::Deployed;
pub use link::{CellError, CellLink, WorkerCounts};
pub use load::LoadError;
pub use logs::Logs;
pub use measure::{CellMeasure, FunctionMeasure, Measures};
pub use stats::{OUTCOMES, Snapshot};

use crate::cell::Answer;
use functions::Functions;
use groups::Groups;
use in_flight::InFlight;
use link::{CellEvents, ChainOut};
use state::States;

/// Name of the tenant that a new folder begins with.
pub const DEFAULT_TENANT: &str = "default";
/// File of the operator's token, in the monitor's folder.
pub const ADMIN_TOKEN_FILE: &str = "admin.token";
/// File of the default tenant's token, in the monitor's folder.
pub const DEFAULT_TOKEN_FILE: &str = "default.token";
/// File in which clients find where the monitor listens.
pub const ADDRESS_FILE: &str = "address.json";
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
    /// No thread.
    #[error("cannot start a thread: {0}; raise the limit on threads of this user")]
    Thread(std::io::Error),
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
    /// What functions print and log.
    pub logs: Logs,
    /// What functions share.
    pub states: Arc<States>,
    functions: Functions,
    groups: Groups,
    runtime: Handle,
    in_flight: InFlight,
    bakes: deploy::Bakes,
    /// Version of engine and processor that artefacts are compiled for.
    engine: String,
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
        let states = States::in_memory().map_err(StartError::Thread)?;
        let keys = config.dir.join("tls");
        if !keys.exists() {
            tls::generate(&keys)?;
        }
        let tls = tls::server_config(&keys)?;
        let listen = config.listen;
        let handler = Arc::new(quic::Ingress::default());
        let server =
            Server::bind(listen, &tls, ServerConfig::default(), Arc::clone(&handler) as _)?;
        let monitor = Arc::new(Self {
            config,
            store,
            logs: Logs::default(),
            states,
            functions: Functions::default(),
            groups,
            runtime: server.runtime().clone(),
            in_flight: InFlight::default(),
            bakes: deploy::Bakes::default(),
            engine,
        });
        monitor.first_start()?;
        monitor.read_functions()?;
        handler.open(&monitor);
        let watched = Arc::clone(&monitor);
        monitor.runtime.spawn(async move { watched.retire_idle_cells().await });
        Ok((monitor, server))
    }

    /// Takes no new calls, waits for those in flight, and ends the cells.
    pub async fn drain(&self) {
        self.in_flight.close();
        let _ = tokio::time::timeout(self.config.drain, self.in_flight.empty()).await;
        for tenant in self.functions.tenants() {
            if let Some(link) = tenant.current() {
                link.kill();
                link.wait_ended().await;
            }
        }
    }

    /// Whether it takes no new calls any more.
    pub fn draining(&self) -> bool {
        self.in_flight.is_closed()
    }

    /// Calls in flight.
    pub fn calls_in_flight(&self) -> usize {
        self.in_flight.count()
    }

    async fn retire_idle_cells(self: Arc<Self>) {
        let mut look = tokio::time::interval(IDLE_LOOK.min(self.config.idle_cell));
        while !self.draining() {
            look.tick().await;
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

/// What cells tell the monitor. It holds the monitor weakly: a cell's tasks must not keep it.
pub(crate) struct Events(Weak<Monitor>);

impl CellEvents for Events {
    fn chain(&self, cell: &Arc<CellLink>, chain: ChainOut, reply: Reply) {
        match self.0.upgrade() {
            Some(monitor) => monitor.chain(cell, chain, reply),
            None => reply(Answer::message(Outcome::Lost, "the monitor has ended")),
        }
    }

    fn log(&self, tenant: &str, function: u32, call: &[u8; 16], level: u8, text: &[u8]) {
        let Some(monitor) = self.0.upgrade() else { return };
        if let Some(name) = monitor.functions.tenant(tenant).function(function) {
            monitor.logs.push(tenant, &name, call, level, text);
        }
    }

    fn ended(&self, cell: &Arc<CellLink>, why: &str) {
        tracing::info!(tenant = cell.tenant(), pid = cell.pid(), why, "cell ended");
    }
}
