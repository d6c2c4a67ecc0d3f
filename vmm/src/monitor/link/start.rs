//! Starting a cell: its process, its rings, and the word that it is ready.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use faaslet_ring::{Capacity, CreateError, MonitorEnd, RingFds};
use faaslet_sandbox::aio::{AsyncChild, AsyncSocket};
use faaslet_sandbox::cgroup::{self, Cgroup, Cgroups};
use faaslet_sandbox::{Spec, Strictness, spawn};
use faaslet_snapshot::board::Board;

use super::orders::{CellError, report};
use crate::cell::FILLING_WORKERS;
use crate::cell::process::ROLE;
use crate::control::{Order, Report};
use crate::monitor::state::StateSession;

/// Capacity of each ring; larger messages travel in pieces.
const RING_BYTES: usize = 1 << 20;

/// What a cell is started with.
pub struct CellSpec {
    /// Whose it is.
    pub tenant: String,
    /// Worker threads.
    pub workers: usize,
    /// Slots of each worker.
    pub slots: usize,
    /// Whether it runs without a fence that this machine cannot put up.
    pub strictness: Strictness,
    /// Name of its cgroup, the same for each cell of a tenant of this folder, so that a group that
    /// a killed monitor left over is used again.
    pub group: String,
    /// The session of its local tier.
    pub state: StateSession,
    /// Memory that its values may take on this host.
    pub state_bytes: u64,
    /// What its cgroup may use; none where the machine has no cgroups.
    pub cgroup: cgroup::Limits,
}

/// A cell that has just become ready.
pub(super) struct Started {
    pub(super) child: AsyncChild,
    pub(super) pid: u32,
    pub(super) socket: AsyncSocket,
    pub(super) group: Option<Cgroup>,
    pub(super) rings: Vec<MonitorEnd>,
    /// What the jail could not give on this machine.
    pub(super) missing: Vec<String>,
    /// What tells the faults of forks of images that are not whole; none where there is no such
    /// way.
    pub(super) faults: Vec<OwnedFd>,
    pub(super) board: Board,
}

/// Starts the process and waits until it is ready.
pub(super) async fn start(spec: &CellSpec, cgroups: &Cgroups) -> Result<Started, CellError> {
    let failed = |error: &dyn std::fmt::Display| CellError::Start(error.to_string());
    let begun = Instant::now();
    let group = group(spec, cgroups)?;
    let mut child = spawn(&Spec {
        role: ROLE.into(),
        arguments: vec![spec.strictness.word().into()],
        log: None,
        cgroup: group.as_ref(),
        strictness: spec.strictness,
    })
    .map_err(|error| failed(&error))?;
    let socket = child.take_socket().ok_or_else(|| failed(&"it has no socket"))?;
    let socket = AsyncSocket::new(socket).map_err(|error| failed(&error))?;
    let pid = child.pid();
    let (spawned, begun) = (begun.elapsed(), Instant::now());
    let (rings, fds) = rings(spec.workers + FILLING_WORKERS)?;
    let board = Board::new().map_err(|error| failed(&error))?;
    order_start(spec, &socket, &fds, &board).await?;
    let (missing, faults) = ready(&socket).await?;
    let [spawn_us, ready_us] = [spawned, begun.elapsed()].map(|time| time.as_micros() as u64);
    tracing::debug!(tenant = spec.tenant, spawn_us, ready_us, "cell is ready");
    let child = AsyncChild::new(child).map_err(|error| failed(&error))?;
    Ok(Started { child, pid, socket, group, rings, missing, faults, board })
}

fn rings(workers: usize) -> Result<(Vec<MonitorEnd>, Vec<RingFds>), CellError> {
    let failed = |error: CreateError| CellError::Start(error.to_string());
    let capacity = Capacity::new(RING_BYTES).map_err(failed)?;
    let mut pairs = (Vec::new(), Vec::new());
    for _ in 0..workers {
        let (end, fds) = MonitorEnd::create(capacity).map_err(failed)?;
        pairs.0.push(end);
        pairs.1.push(fds);
    }
    Ok(pairs)
}

/// A missing cgroup is a missing fence.
fn group(spec: &CellSpec, cgroups: &Cgroups) -> Result<Option<Cgroup>, CellError> {
    match (cgroups.create(&spec.group, &spec.cgroup), spec.strictness) {
        (Ok(group), _) => Ok(Some(group)),
        (Err(error), Strictness::Require) => Err(CellError::Start(format!(
            "no cgroup: {error}; start the monitor with --sandbox degrade to run cells without"
        ))),
        (Err(error), Strictness::Degrade) => {
            tracing::warn!(tenant = spec.tenant, %error, "cell without a cgroup");
            Ok(None)
        }
    }
}

async fn order_start(
    spec: &CellSpec,
    socket: &AsyncSocket,
    fds: &[RingFds],
    board: &Board,
) -> Result<(), CellError> {
    let order = Order::Start {
        tenant: spec.tenant.clone(),
        workers: spec.workers as u32,
        filling_workers: FILLING_WORKERS as u32,
        slots: spec.slots as u32,
        state_bytes: spec.state_bytes,
    };
    let failed = |error: &dyn std::fmt::Display| CellError::Start(error.to_string());
    let bytes = serde_json::to_vec(&order).map_err(|error| failed(&error))?;
    let rings = fds.iter().flat_map(|ring| [ring.memory.as_fd(), ring.bell.as_fd()]);
    let fds: Vec<_> = rings.chain([board.fd()]).collect();
    socket.send_parcel(&bytes, &fds).await.map_err(|error| failed(&error))
}

async fn ready(socket: &AsyncSocket) -> Result<(Vec<String>, Vec<OwnedFd>), CellError> {
    match report(socket).await? {
        (Report::Ready { missing, jail_us, engine_us }, faults) => {
            tracing::debug!(jail_us, engine_us, "a cell told how long it took");
            Ok((missing, faults))
        }
        (other, _) => {
            Err(CellError::Report { expected: "become ready", found: format!("{other:?}") })
        }
    }
}
