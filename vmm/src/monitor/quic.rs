//! Calls and requests for state that arrive over QUIC.

mod state;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use faaslet_abi::Outcome as AbiOutcome;
use faaslet_net::server::{CallRef, Handler, ReplySink, Tenant};
use faaslet_net::{
    Call, CancelReason, Mode as NetMode, Outcome, Refusal as NetRefusal, Reply, Timings,
    state::StateRequest,
};
use faaslet_store::Role;
use tokio::task::AbortHandle;

use super::Monitor;
use super::calling::Calling;
use super::calls::Incoming;
use super::link::CellLink;
use super::lock::lock;
use crate::cell::{Answer, Mode, Refusal};
use crate::wire::MAX_INPUT_BYTES;

/// Cells that the endpoint's thread looks at itself; more are served by their own tasks.
const MAX_CELLS_LOOKED_AT: usize = 16;
/// What a caller is told to wait when there is no room.
const RETRY_AFTER_MS: u32 = 100;

/// What the endpoint's thread calls. It exists before the monitor, which needs its runtime.
#[derive(Default)]
pub(super) struct Ingress {
    monitor: OnceLock<Weak<Monitor>>,
    /// Calls that can be cancelled, until they are answered.
    calling: Arc<Mutex<HashMap<CallRef, Calling>>>,
    /// Requests for state, until they are answered.
    asking: Arc<Mutex<HashMap<CallRef, AbortHandle>>>,
    /// Cells that have calls of ours: the endpoint's thread rings for a whole batch, and takes
    /// answers that come while it is awake anyway.
    cells: Mutex<Vec<Arc<CellLink>>>,
}

impl Ingress {
    /// Lets calls in.
    pub(super) fn open(&self, monitor: &Arc<Monitor>) {
        // Opened once; a second monitor is not heard.
        let _ = self.monitor.set(Arc::downgrade(monitor));
    }

    fn monitor(&self) -> Option<Arc<Monitor>> {
        self.monitor.get()?.upgrade()
    }

    /// Has the cell of a call looked at, or rings for it at once when there are too many.
    fn look_at(&self, calling: &Calling) {
        let Some(link) = calling.link() else { return };
        let mut cells = lock(&self.cells);
        if cells.iter().any(|cell| Arc::ptr_eq(cell, link)) {
            return;
        }
        if cells.len() < MAX_CELLS_LOOKED_AT {
            cells.push(Arc::clone(link));
        } else {
            calling.ring();
        }
    }
}

impl Handler for Ingress {
    fn authenticate(&self, token: &[u8], _remote: SocketAddr) -> Option<Tenant> {
        let token = std::str::from_utf8(token).ok()?;
        let monitor = self.monitor()?;
        let (role, credential) = monitor.credentials.show(&monitor.store, token).ok()??;
        let tenant = match role {
            Role::Tenant(name) => Tenant::new(name.as_str()),
            // The operator has no functions; it acts for the tenant that every folder has.
            Role::Admin => Tenant::new(super::DEFAULT_TENANT),
        };
        Some(tenant.by(credential))
    }

    fn call(&self, tenant: &Tenant, call: Call, reply: ReplySink) {
        let Some(monitor) = self.monitor() else {
            return reply.reply(Reply::refused(NetRefusal::ShuttingDown, "the monitor has ended"));
        };
        let key = reply.call();
        let calls = Arc::clone(&self.calling);
        let done = Box::new(move |answer: Answer| {
            lock(&calls).remove(&key);
            reply.reply(reply_of(answer));
        });
        let calling = monitor.call_quietly(tenant, &call.function, incoming(&call), done);
        self.look_at(&calling);
        let mut calls = lock(&self.calling);
        // Whoever answers takes the call out first, and then looks here.
        if !calling.is_over() {
            calls.insert(key, calling);
        }
    }

    fn state(&self, tenant: &Tenant, request: StateRequest, reply: ReplySink) {
        let Some(monitor) = self.monitor().filter(|monitor| !monitor.draining()) else {
            return reply.reply(Reply::refused(NetRefusal::ShuttingDown, "the monitor ends"));
        };
        let (key, asking) = (reply.call(), Arc::clone(&self.asking));
        let outside = monitor.states.outside(tenant);
        // On this thread: it does not begin before it is noted here.
        let task = monitor.runtime.spawn(async move {
            let answer = state::answer(&outside, request).await;
            lock(&asking).remove(&key);
            reply.reply_state(answer);
        });
        lock(&self.asking).insert(key, task.abort_handle());
    }

    fn cancel(&self, call: CallRef, _why: CancelReason) {
        if let Some(task) = lock(&self.asking).remove(&call) {
            return task.abort();
        }
        // The lock is given back first: the answer takes it.
        let calling = lock(&self.calling).remove(&call);
        if let Some(calling) = calling {
            calling.cancel();
        }
    }

    fn turn(&self) {
        let cells = lock(&self.cells);
        cells.iter().for_each(CellLink::turn);
    }

    fn rest(&self) -> bool {
        let mut cells = lock(&self.cells);
        let mut rests = true;
        cells.retain(|cell| {
            rests &= cell.rest();
            cell.in_flight() > 0 && !cell.has_ended()
        });
        rests
    }
}

fn incoming(call: &Call) -> Incoming {
    Incoming {
        attempt: call.attempt,
        mode: match call.mode {
            NetMode::Default => None,
            NetMode::Fork => Some(Mode::Fork),
            NetMode::Fresh => Some(Mode::Fresh),
        },
        deadline: call.deadline,
        input: call.input.clone(),
        ..Incoming::default()
    }
}

fn reply_of(answer: Answer) -> Reply {
    let outcome = match answer.outcome {
        AbiOutcome::Returned => Outcome::Returned,
        AbiOutcome::Failed => Outcome::Failed,
        AbiOutcome::Trapped => Outcome::Trapped,
        AbiOutcome::TimedOut => Outcome::TimedOut,
        AbiOutcome::Refused => Outcome::Refused(refusal_of(answer.refusal)),
        AbiOutcome::Lost => Outcome::Lost,
    };
    let timings = Timings { run: answer.ran, ..Timings::default() };
    Reply { outcome, payload: answer.body.into(), timings }
}

fn refusal_of(refusal: Option<Refusal>) -> NetRefusal {
    match refusal.unwrap_or(Refusal::CannotBeMade) {
        Refusal::Overloaded => NetRefusal::Overloaded { retry_after_ms: RETRY_AFTER_MS },
        Refusal::NotFound => NetRefusal::NotFound,
        Refusal::TooDeep => NetRefusal::TooDeep,
        Refusal::CannotBeMade => NetRefusal::CannotBeMade,
        Refusal::TooLarge => NetRefusal::TooLarge { limit_bytes: MAX_INPUT_BYTES as u64 },
        Refusal::ShuttingDown => NetRefusal::ShuttingDown,
        Refusal::Cancelled => NetRefusal::Cancelled,
    }
}
