//! One cell as the monitor sees it: a process, a socket for orders, and a ring for each worker.
//!
//! ```text
//! start ─► Ready ─► load (once for each version) ─► call, call, call ... ─► ended
//!                                                        any message that breaks a rule, or the
//!                                                        end of the process, ends all of it
//! ```

mod messages;
mod orders;
mod paging;
mod slab;
mod start;
mod state;
mod worker;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use faaslet_abi::Outcome;
use faaslet_ring::{Bell, MonitorEnd};
use faaslet_sandbox::aio::{AsyncChild, AsyncSocket};
use faaslet_sandbox::cgroup::{Cgroup, Cgroups};
use faaslet_snapshot::pager::FAULT_LIMIT;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::MissedTickBehavior;

use super::caller::Caller;
use super::lock::lock;
use crate::cell::{Answer, Refusal};
use crate::wire::{CallHead, ToCell};
pub use messages::{CellEvents, ChainOut};
pub use orders::CellError;
use paging::Paging;
pub use start::CellSpec;
use state::StateLink;

pub(super) use worker::NotSent;
pub use worker::WorkerCounts;
use worker::{MAX_MESSAGES_AT_ONCE, TellError, WorkerLink};

/// How often calls are looked for that have no answer though their deadline has passed.
const LATE_CHECK_EVERY: Duration = Duration::from_secs(1);

/// See the module's documentation.
pub struct CellLink {
    tenant: String,
    pid: u32,
    socket: AsyncSocket,
    orders: AsyncMutex<()>,
    workers: Vec<WorkerLink>,
    state: StateLink,
    paging: Paging,
    events: Arc<dyn CellEvents>,
    ended: AtomicBool,
    retired: AtomicBool,
    started: Instant,
    last_call_ms: AtomicU64,
    end: Notify,
    closed: Notify,
    /// What the jail could not give on this machine.
    missing: Vec<String>,
}

impl CellLink {
    /// Starts a cell and waits until it is ready. Call it within the runtime that shall drive it.
    ///
    /// # Errors
    /// See [`CellError`].
    pub async fn start(
        spec: &CellSpec,
        cgroups: &Cgroups,
        events: Arc<dyn CellEvents>,
    ) -> Result<Arc<Self>, CellError> {
        let started = start::start(spec, cgroups).await?;
        let (mut bells, mut workers) = (Vec::new(), Vec::new());
        for (number, end) in started.rings.into_iter().enumerate() {
            let MonitorEnd { to_cell, from_cell, bell } = end;
            let pause = if number < spec.workers { Duration::ZERO } else { FAULT_LIMIT };
            bells.push(bell);
            workers.push(WorkerLink::new(to_cell, from_cell, pause));
        }
        let link = Arc::new_cyclic(|link| Self {
            tenant: spec.tenant.clone(),
            pid: started.pid,
            socket: started.socket,
            orders: AsyncMutex::new(()),
            workers,
            state: StateLink::new(spec.state.clone()),
            paging: Paging::new(link, spec.workers, started.faults, started.board),
            events,
            ended: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            started: Instant::now(),
            last_call_ms: AtomicU64::new(0),
            end: Notify::new(),
            closed: Notify::new(),
            missing: started.missing,
        });
        link.drive(bells, started.child, started.group);
        Ok(link)
    }

    fn drive(self: &Arc<Self>, bells: Vec<Bell>, mut child: AsyncChild, group: Option<Cgroup>) {
        for (number, bell) in bells.into_iter().enumerate() {
            let link = Arc::clone(self);
            tokio::spawn(async move {
                if let Err(why) = link.listen(number, bell).await {
                    link.broken(&why);
                }
            });
        }
        let link = Arc::clone(self);
        tokio::spawn(async move { link.watch().await });
        let link = Arc::clone(self);
        tokio::spawn(async move {
            tokio::select! {
                () = link.end.notified() => child.get().kill(),
                _ = child.wait() => {}
            }
            let why = match child.wait().await {
                Ok(exit) => format!("{exit:?}"),
                Err(error) => error.to_string(),
            };
            drop(group);
            link.close(&why);
            link.events.ended(&link, &why);
        });
    }

    /// Answers calls that the cell should have answered long ago, and ends a cell that has gone
    /// silent meanwhile.
    async fn watch(&self) {
        let mut every = tokio::time::interval(LATE_CHECK_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let closed = self.closed.notified();
            if self.has_ended() {
                return;
            }
            tokio::select! {
                () = closed => return,
                _ = every.tick() => {}
            }
            // A caller that gave up first is no reason to take a silent cell for a good one.
            let owes = self.workers.iter().any(WorkerLink::owes_too_long);
            if owes || self.in_flight() > 0 && self.end_late() {
                tracing::error!(
                    tenant = self.tenant,
                    pid = self.pid,
                    "cell is silent; it is ended"
                );
                self.kill();
            }
        }
    }

    /// Answers late calls; whether their worker was silent meanwhile.
    fn end_late(&self) -> bool {
        let now = Instant::now();
        let mut silent = false;
        for worker in &self.workers {
            let (late, unheard) = worker.take_late(now);
            silent |= unheard;
            for caller in late {
                let text = "its deadline passed, and its cell did not say that it was stopped";
                caller.answer(Answer::message(Outcome::TimedOut, text));
            }
        }
        silent
    }

    /// Takes messages of one worker, whenever its bell rings, until the cell ends.
    async fn listen(self: &Arc<Self>, number: usize, bell: Bell) -> Result<(), String> {
        let bell = bell.into_async().map_err(|error| error.to_string())?;
        let worker = &self.workers[number];
        loop {
            let closed = self.closed.notified();
            if self.has_ended() {
                return Ok(());
            }
            let taken = self.receive(number)?;
            worker.pump().map_err(|error| error.to_string())?;
            if taken == MAX_MESSAGES_AT_ONCE {
                tokio::task::yield_now().await;
            } else if worker.arm().map_err(|error| error.to_string())? {
                tokio::select! {
                    rung = bell.rung() => rung.map_err(|error| error.to_string())?,
                    () = closed => {}
                }
            }
        }
    }

    /// Rings for what was sent, and takes what has come meanwhile: for a thread that is awake
    /// anyway, so that no bell rings for it. [`CellLink::rest`] belongs to it.
    pub(super) fn turn(self: &Arc<Self>) {
        for (number, worker) in self.workers.iter().enumerate() {
            worker.ring();
            if let Err(why) = self.receive(number) {
                return self.broken(&why);
            }
        }
    }

    /// The thread that called [`CellLink::turn`] is about to sleep: the bells shall ring again.
    /// False: there is something to take already.
    pub(super) fn rest(&self) -> bool {
        self.workers.iter().all(|worker| match worker.arm() {
            Ok(armed) => armed,
            Err(broken) => {
                self.broken(&broken.to_string());
                true
            }
        })
    }

    /// A message or the ring itself is not what it should be: the cell ends.
    fn broken(&self, why: &str) {
        tracing::error!(tenant = self.tenant, pid = self.pid, why, "cell broke a rule");
        self.kill();
    }

    /// Sends a call to a worker, which is woken by [`CellLink::ring`].
    pub(super) fn call(
        &self,
        head: CallHead,
        parts: [&[u8]; 2],
        caller: Caller,
    ) -> Result<CallKey, NotSent> {
        let now = self.started.elapsed().as_millis() as u64;
        self.last_call_ms.store(now, Ordering::Relaxed);
        let worker = self.least_loaded(self.paging.pool(head.function, self.workers.len()));
        match self.workers[worker].call(head, parts, caller) {
            Ok(number) => Ok(CallKey { worker, number }),
            Err(NotSent::Broken(caller, broken)) => {
                self.broken(&broken.to_string());
                Err(NotSent::Ended(caller))
            }
            Err(not_sent) => Err(not_sent),
        }
    }

    /// Wakes the worker of a call if it sleeps.
    pub(super) fn ring(&self, key: CallKey) {
        self.workers[key.worker].ring();
    }

    /// Answers a call in its worker's place, as nobody waits for it any more, and tells the worker.
    pub(super) fn cancel(&self, key: CallKey) {
        let Some(caller) = self.workers[key.worker].take(key.number) else { return };
        self.workers[key.worker].owes();
        self.tell(key.worker, &ToCell::Cancel { number: key.number }, &[]);
        caller.refuse(Refusal::Cancelled, "the caller has gone");
    }

    /// Whether a call waits for its answer.
    pub(super) fn waits(&self, key: CallKey) -> bool {
        self.workers[key.worker].has(key.number)
    }

    /// Makes reset slots of a function ahead of its calls, spread over the workers.
    pub fn prewarm(&self, function: u32, slots: usize) {
        let pool = self.paging.pool(function, self.workers.len());
        let workers = pool.len();
        for (nth, worker) in pool.enumerate() {
            let share = (slots + workers - 1 - nth) / workers;
            self.tell(worker, &ToCell::Prewarm { function, slots: share as u32 }, &[]);
        }
    }

    /// The worker of a pool with the fewest calls; of equal ones the first, so that a single caller finds
    /// the same warm slots again.
    fn least_loaded(&self, pool: Range<usize>) -> usize {
        let load = |worker: &usize| self.workers[*worker].in_flight();
        pool.min_by_key(load).unwrap_or(0)
    }

    /// Tells a worker something; whether there was room for it. A cell whose ring is broken ends.
    fn tell(&self, worker: usize, head: &ToCell, payload: &[&[u8]]) -> bool {
        match self.workers[worker].tell(head, payload) {
            Ok(()) => true,
            Err(TellError::Refused(_)) => false,
            Err(TellError::Broken(broken)) => {
                self.broken(&broken.to_string());
                true
            }
        }
    }

    /// Ends the cell's process; its calls are answered with `Lost`, and no new ones are sent.
    pub fn kill(&self) {
        self.retired.store(true, Ordering::SeqCst);
        self.end.notify_one();
    }

    /// Ways of images that are not whole into the cell.
    pub(super) fn paging(&self) -> &Paging {
        &self.paging
    }

    fn close(&self, why: &str) {
        self.paging.end();
        self.ended.store(true, Ordering::SeqCst);
        self.closed.notify_waiters();
        self.state.end(self.pid);
        for caller in self.workers.iter().flat_map(WorkerLink::end) {
            caller.answer(Answer::message(Outcome::Lost, format!("the cell ended: {why}")));
        }
    }

    /// Whether new calls may be sent to it.
    pub fn takes_calls(&self) -> bool {
        !self.retired.load(Ordering::SeqCst) && !self.has_ended()
    }

    /// How long it has had no call.
    pub fn idle_for(&self) -> Duration {
        if self.in_flight() > 0 {
            return Duration::ZERO;
        }
        let now = self.started.elapsed().as_millis() as u64;
        Duration::from_millis(now.saturating_sub(self.last_call_ms.load(Ordering::Relaxed)))
    }

    /// Ends an idle cell; false, and nothing has changed, when a call came meanwhile.
    pub fn retire(&self) -> bool {
        let idle = self.workers.iter().take_while(|worker| worker.close_if_idle()).count();
        if idle < self.workers.len() {
            self.workers[..idle].iter().for_each(WorkerLink::reopen);
            return false;
        }
        self.kill();
        true
    }

    /// Waits until its process has ended.
    pub async fn wait_ended(&self) {
        loop {
            let closed = self.closed.notified();
            if self.has_ended() {
                return;
            }
            closed.await;
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whose it is.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// What the jail could not give on this machine.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> usize {
        self.workers.iter().map(WorkerLink::in_flight).sum()
    }

    /// Idle slots of a function.
    pub fn warm(&self, function: u32) -> u32 {
        let of = |worker: &WorkerLink| -> u32 {
            let warm = lock(&worker.warm);
            warm.iter().find(|warm| warm.function == function).map_or(0, |warm| warm.slots)
        };
        self.workers.iter().map(of).fold(0, u32::saturating_add)
    }

    /// Counts of its workers, summed up.
    pub fn counts(&self) -> WorkerCounts {
        self.workers.iter().fold(WorkerCounts::default(), |sum, worker| {
            let counts = *lock(&worker.counts);
            WorkerCounts {
                slots: sum.slots + counts.slots,
                idle: sum.idle + counts.idle,
                queued: sum.queued + counts.queued,
                resets: sum.resets + counts.resets,
                mismatches: sum.mismatches + counts.mismatches,
            }
        })
    }
}

/// A call in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallKey {
    worker: usize,
    number: u64,
}
