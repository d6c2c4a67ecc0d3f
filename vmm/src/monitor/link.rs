//! One cell as the monitor sees it: a process, a socket for orders, and a ring for each worker.
//!
//! ```text
//! start ─► Ready ─► load (once for each version) ─► call, call, call ... ─► ended
//!                                                        any message that breaks a rule, or the
//!                                                        end of the process, ends all of it
//! ```

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use faaslet_abi::Outcome;
use faaslet_ring::{Bell, Capacity, Consumer, MonitorEnd, Producer, PushError, RingFds};
use faaslet_sandbox::aio::{AsyncChild, AsyncSocket};
use faaslet_sandbox::cgroup::{self, Cgroup, Cgroups};
use faaslet_sandbox::{Spec, Strictness, spawn};
use tokio::sync::{Mutex as AsyncMutex, Notify, oneshot};

use super::lock::lock;
use crate::cell::process::ROLE;
use crate::cell::{Answer, ResponseHead};
use crate::control::{Order, Report};
use crate::wire::{self, ArchivedFromCell, CallHead, ToCell};

/// Capacity of each ring; larger messages travel in pieces.
const RING_BYTES: usize = 1 << 20;
/// Calls that one cell may have in flight; more are refused at once.
pub const MAX_IN_FLIGHT: usize = 65_536;
/// Messages taken off one ring before other tasks get their turn.
const MAX_MESSAGES_AT_ONCE: usize = 256;
/// How long a cell may take to say that it is ready, or that it has loaded a function.
const REPORT_LIMIT: Duration = Duration::from_secs(120);

/// What ends with a call: the caller gets its answer.
pub type Reply = Box<dyn FnOnce(Answer) + Send>;

/// What a cell asks of the monitor, and tells it.
pub trait CellEvents: Send + Sync + 'static {
    /// A function calls one that its cell does not have.
    fn chain(&self, cell: &Arc<CellLink>, chain: ChainOut, reply: Reply);
    /// A function logged a line.
    fn log(&self, tenant: &str, function: u32, call: &[u8; 16], level: u8, text: &[u8]);
    /// The cell has ended; its calls were answered already.
    fn ended(&self, cell: &Arc<CellLink>, why: &str);
}

/// A chained call that leaves its cell.
#[derive(Debug)]
pub struct ChainOut {
    /// The function's name.
    pub name: String,
    /// Length of the chain before it.
    pub depth: u32,
    /// Time left.
    pub left: Duration,
    /// The input.
    pub input: Vec<u8>,
}

/// What a cell is started with.
pub struct CellSpec {
    /// Whose it is.
    pub tenant: String,
    /// Worker threads.
    pub workers: usize,
    /// Slots of each worker.
    pub slots: usize,
    /// Name of its cgroup, the same for each cell of a tenant of this folder, so that a group that
    /// a killed monitor left over is used again.
    pub group: String,
    /// What its cgroup may use; none where the machine has no cgroups.
    pub cgroup: cgroup::Limits,
}

/// Why a cell did not start, or did not load a function.
#[derive(Debug, thiserror::Error)]
pub enum CellError {
    /// The process could not be started.
    #[error("cannot start a cell: {0}; see `faaslet doctor`")]
    Start(String),
    /// It ended, or said something else.
    #[error("expected the cell to {expected}; {found}")]
    Report {
        /// What it should have done.
        expected: &'static str,
        /// What it did.
        found: String,
    },
}

/// Counts of a worker, as it told them last.
#[derive(Debug, Default, Clone, Copy)]
pub struct WorkerCounts {
    /// Slots that hold an instance.
    pub slots: u32,
    /// Of these, idle ones.
    pub idle: u32,
    /// Calls that wait for a slot.
    pub queued: u32,
    /// Resets done so far.
    pub resets: u64,
    /// Sampled comparisons that found a difference.
    pub mismatches: u64,
}

struct WorkerLink {
    producer: Mutex<Producer>,
    pending: Mutex<HashMap<u64, Reply>>,
    in_flight: AtomicUsize,
    counts: Mutex<WorkerCounts>,
}

/// See the module's documentation.
pub struct CellLink {
    tenant: String,
    pid: u32,
    socket: AsyncSocket,
    orders: AsyncMutex<()>,
    workers: Vec<WorkerLink>,
    next_call: AtomicU64,
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
        let failed = |error: &dyn std::fmt::Display| CellError::Start(error.to_string());
        let begun = Instant::now();
        let group = group(spec, cgroups);
        let mut child = spawn(&Spec {
            role: ROLE.into(),
            arguments: Vec::new(),
            log: None,
            cgroup: group.as_ref(),
            strictness: Strictness::Degrade,
        })
        .map_err(|error| failed(&error))?;
        let socket = child.take_socket().ok_or_else(|| failed(&"it has no socket"))?;
        let socket = AsyncSocket::new(socket).map_err(|error| failed(&error))?;
        let pid = child.pid();
        let (spawned, begun) = (begun.elapsed(), Instant::now());
        let (ends, fds) = rings(spec.workers)?;
        order_start(spec, &socket, &fds).await?;
        let missing = ready(&socket).await?;
        let [spawn, ready] = [spawned, begun.elapsed()].map(|time| time.as_micros() as u64);
        tracing::debug!(tenant = spec.tenant, spawn_us = spawn, ready_us = ready, "cell is ready");
        let mut tails = Vec::new();
        let mut workers = Vec::new();
        for MonitorEnd { to_cell, from_cell, bell } in ends {
            tails.push((from_cell, bell));
            workers.push(WorkerLink::new(to_cell));
        }
        let link = Arc::new(Self {
            tenant: spec.tenant.clone(),
            pid,
            socket,
            orders: AsyncMutex::new(()),
            workers,
            next_call: AtomicU64::new(1),
            ended: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            started: Instant::now(),
            last_call_ms: AtomicU64::new(0),
            end: Notify::new(),
            closed: Notify::new(),
            missing,
        });
        let child = AsyncChild::new(child).map_err(|error| failed(&error))?;
        link.drive(tails, child, group, &events);
        Ok(link)
    }

    fn drive(
        self: &Arc<Self>,
        tails: Vec<(Consumer, Bell)>,
        mut child: AsyncChild,
        group: Option<Cgroup>,
        events: &Arc<dyn CellEvents>,
    ) {
        for (number, (consumer, bell)) in tails.into_iter().enumerate() {
            let (link, events) = (Arc::clone(self), Arc::clone(events));
            tokio::spawn(async move {
                if let Err(why) = link.listen(number, consumer, bell, &events).await {
                    tracing::error!(tenant = link.tenant, pid = link.pid, why, "cell broke a rule");
                    link.end.notify_one();
                }
            });
        }
        let (link, events) = (Arc::clone(self), Arc::clone(events));
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
            events.ended(&link, &why);
        });
    }

    /// Takes messages of one worker until the cell ends.
    async fn listen(
        self: &Arc<Self>,
        number: usize,
        mut consumer: Consumer,
        bell: Bell,
        events: &Arc<dyn CellEvents>,
    ) -> Result<(), String> {
        let bell = bell.into_async().map_err(|error| error.to_string())?;
        let mut message = Vec::new();
        loop {
            let closed = self.closed.notified();
            if self.has_ended() {
                return Ok(());
            }
            let mut taken = 0;
            while taken < MAX_MESSAGES_AT_ONCE
                && consumer.try_recv(&mut message).map_err(|error| error.to_string())?
            {
                self.take(number, &message, events)?;
                taken += 1;
            }
            lock(&self.workers[number].producer).pump().map_err(|error| error.to_string())?;
            if taken == MAX_MESSAGES_AT_ONCE {
                tokio::task::yield_now().await;
            } else if consumer.arm().map_err(|error| error.to_string())? {
                tokio::select! {
                    rung = bell.rung() => rung.map_err(|error| error.to_string())?,
                    () = closed => {}
                }
            }
        }
    }

    fn take(
        self: &Arc<Self>,
        number: usize,
        message: &[u8],
        events: &Arc<dyn CellEvents>,
    ) -> Result<(), String> {
        let (head, payload) = wire::split(message).map_err(|error| error.to_string())?;
        let head = wire::from_cell(head).map_err(|error| error.to_string())?;
        match head {
            ArchivedFromCell::Answer { number: call, outcome, status, headers_bytes, ran_ns } => {
                let headers = headers_bytes.to_native() as usize;
                let (headers, body) =
                    payload.split_at_checked(headers).ok_or("response headers are cut short")?;
                let outcome = Outcome::from_i32(outcome.to_native()).ok_or("no such outcome")?;
                let answer = Answer {
                    outcome,
                    body: body.to_vec(),
                    response: ResponseHead {
                        status: status.to_native(),
                        headers: headers.to_vec(),
                    },
                    ran: Duration::from_nanos(ran_ns.to_native()),
                };
                self.answer(number, call.to_native(), answer);
            }
            ArchivedFromCell::Chain { number: chain, name, depth, deadline_us } => {
                let out = ChainOut {
                    name: name.to_string(),
                    depth: depth.to_native(),
                    left: Duration::from_micros(deadline_us.to_native()),
                    input: payload.to_vec(),
                };
                events.chain(self, out, self.chain_reply(number, chain.to_native()));
            }
            ArchivedFromCell::Log { function, call, level } => {
                events.log(&self.tenant, function.to_native(), call, *level, payload);
            }
            ArchivedFromCell::Counts { slots, idle, queued, resets, mismatches } => {
                *lock(&self.workers[number].counts) = WorkerCounts {
                    slots: slots.to_native(),
                    idle: idle.to_native(),
                    queued: queued.to_native(),
                    resets: resets.to_native(),
                    mismatches: mismatches.to_native(),
                };
            }
        }
        Ok(())
    }

    fn answer(&self, worker: usize, call: u64, answer: Answer) {
        // An unknown number is a call whose caller has gone.
        if let Some(reply) = lock(&self.workers[worker].pending).remove(&call) {
            self.workers[worker].in_flight.fetch_sub(1, Ordering::Relaxed);
            reply(answer);
        }
    }

    /// What brings the answer of a chained call back to its worker.
    fn chain_reply(self: &Arc<Self>, worker: usize, number: u64) -> Reply {
        let link = Arc::clone(self);
        Box::new(move |answer| {
            let head = ToCell::Chained { number, outcome: answer.outcome as i32 };
            // A cell that cannot take the answer has ended, and its calls with it.
            let _ = link.tell(worker, &head, &[&answer.body]);
        })
    }

    /// Sends a call to a worker; `reply` is called once, whatever happens.
    pub fn call(&self, mut head: CallHead, parts: [&[u8]; 2], reply: Reply) -> CallKey {
        let number = self.next_call.fetch_add(1, Ordering::Relaxed);
        let now = self.started.elapsed().as_millis() as u64;
        self.last_call_ms.store(now, Ordering::Relaxed);
        let worker = self.least_loaded();
        let link = &self.workers[worker];
        head.number = number;
        if link.in_flight.load(Ordering::Relaxed) >= MAX_IN_FLIGHT {
            reply(Answer::message(Outcome::Refused, "too many calls in flight; try again later"));
            return CallKey { worker, number };
        }
        lock(&link.pending).insert(number, reply);
        link.in_flight.fetch_add(1, Ordering::Relaxed);
        if let Err(why) = self.tell(worker, &ToCell::Call(head), &parts) {
            self.answer(worker, number, Answer::message(Outcome::Refused, why));
        }
        if self.has_ended() {
            self.answer(worker, number, Answer::message(Outcome::Lost, "the cell has ended"));
        }
        CallKey { worker, number }
    }

    /// Tells the cell that nobody waits for a call any more.
    pub fn cancel(&self, key: CallKey) {
        let _ = self.tell(key.worker, &ToCell::Cancel { number: key.number }, &[]);
    }

    /// Makes reset slots of a function ahead of its calls, spread over the workers.
    pub fn prewarm(&self, function: u32, slots: usize) {
        let workers = self.workers.len();
        for worker in 0..workers {
            let share = (slots + workers - 1 - worker) / workers;
            let _ = self.tell(worker, &ToCell::Prewarm { function, slots: share as u32 }, &[]);
        }
    }

    /// The worker with the fewest calls; of equal ones the first, so that a single caller finds
    /// the same warm slots again.
    fn least_loaded(&self) -> usize {
        let load = |worker: &usize| self.workers[*worker].in_flight.load(Ordering::Relaxed);
        (0..self.workers.len()).min_by_key(load).unwrap_or(0)
    }

    fn tell(&self, worker: usize, head: &ToCell, payload: &[&[u8]]) -> Result<(), String> {
        let (length, head) = wire::encode(head).map_err(|error| error.to_string())?;
        let mut parts: [&[u8]; 4] = [&length, &head, &[], &[]];
        for (part, bytes) in parts[2..].iter_mut().zip(payload) {
            *part = bytes;
        }
        let mut producer = lock(&self.workers[worker].producer);
        match producer.push(&parts) {
            Ok(()) => {
                producer.flush();
                Ok(())
            }
            Err(PushError::Broken(broken)) => {
                self.end.notify_one();
                Err(broken.to_string())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Gives an order and waits for its report.
    ///
    /// # Errors
    /// See [`CellError`].
    pub async fn order(&self, order: &Order, fds: &[BorrowedFd<'_>]) -> Result<(), CellError> {
        let expected = "obey an order";
        let failed = |found: String| CellError::Report { expected, found };
        let _one_at_a_time = self.orders.lock().await;
        let bytes = serde_json::to_vec(order).map_err(|error| failed(error.to_string()))?;
        self.socket.send(&bytes, fds).await.map_err(|error| failed(error.to_string()))?;
        if !matches!(order, Order::Function(_) | Order::Settings { .. }) {
            return Ok(());
        }
        match report(&self.socket).await? {
            Report::Added { artefact_us, image_us, .. } => {
                tracing::debug!(artefact_us, image_us, "a cell told how long it took");
                Ok(())
            }
            Report::Changed { .. } => Ok(()),
            Report::Failed { message, .. } => Err(failed(message)),
            Report::Ready { .. } => Err(failed("it said that it is ready, again".into())),
        }
    }

    /// Ends the cell's process; its calls are answered with `Lost`.
    pub fn kill(&self) {
        self.end.notify_one();
    }

    fn close(&self, why: &str) {
        self.ended.store(true, Ordering::SeqCst);
        self.closed.notify_waiters();
        for worker in &self.workers {
            let pending = std::mem::take(&mut *lock(&worker.pending));
            worker.in_flight.store(0, Ordering::Relaxed);
            for reply in pending.into_values() {
                reply(Answer::message(Outcome::Lost, format!("the cell ended: {why}")));
            }
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
        self.retired.store(true, Ordering::SeqCst);
        if self.in_flight() > 0 {
            self.retired.store(false, Ordering::SeqCst);
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
        self.workers.iter().map(|worker| worker.in_flight.load(Ordering::Relaxed)).sum()
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
pub struct CallKey {
    worker: usize,
    number: u64,
}

impl WorkerLink {
    fn new(producer: Producer) -> Self {
        Self {
            producer: Mutex::new(producer),
            pending: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            counts: Mutex::default(),
        }
    }
}

fn rings(workers: usize) -> Result<(Vec<MonitorEnd>, Vec<RingFds>), CellError> {
    let failed = |error: faaslet_ring::CreateError| CellError::Start(error.to_string());
    let capacity = Capacity::new(RING_BYTES).map_err(failed)?;
    let mut pairs = (Vec::new(), Vec::new());
    for _ in 0..workers {
        let (end, fds) = MonitorEnd::create(capacity).map_err(failed)?;
        pairs.0.push(end);
        pairs.1.push(fds);
    }
    Ok(pairs)
}

fn group(spec: &CellSpec, cgroups: &Cgroups) -> Option<Cgroup> {
    match cgroups.create(&spec.group, &spec.cgroup) {
        Ok(group) => Some(group),
        Err(error) => {
            tracing::debug!(tenant = spec.tenant, %error, "cell without a cgroup");
            None
        }
    }
}

async fn order_start(
    spec: &CellSpec,
    socket: &AsyncSocket,
    fds: &[RingFds],
) -> Result<(), CellError> {
    use std::os::fd::AsFd;
    let order = Order::Start {
        tenant: spec.tenant.clone(),
        workers: spec.workers as u32,
        slots: spec.slots as u32,
    };
    let failed = |error: &dyn std::fmt::Display| CellError::Start(error.to_string());
    let bytes = serde_json::to_vec(&order).map_err(|error| failed(&error))?;
    let fds: Vec<_> =
        fds.iter().flat_map(|ring| [ring.memory.as_fd(), ring.bell.as_fd()]).collect();
    socket.send(&bytes, &fds).await.map_err(|error| failed(&error))
}

async fn ready(socket: &AsyncSocket) -> Result<Vec<String>, CellError> {
    match report(socket).await? {
        Report::Ready { missing, jail_us, engine_us } => {
            tracing::debug!(jail_us, engine_us, "a cell told how long it took");
            Ok(missing)
        }
        other => Err(CellError::Report { expected: "become ready", found: format!("{other:?}") }),
    }
}

async fn report(socket: &AsyncSocket) -> Result<Report, CellError> {
    let expected = "answer over its socket";
    let failed = |found: String| CellError::Report { expected, found };
    let message = tokio::time::timeout(REPORT_LIMIT, socket.recv())
        .await
        .map_err(|_| failed(format!("it did not within {REPORT_LIMIT:?}")))?
        .map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&message.bytes).map_err(|error| failed(error.to_string()))
}

/// Runs `ask` and waits for the answer, for callers that are tasks.
pub async fn answer_of(ask: impl FnOnce(Reply)) -> Answer {
    let (send, receive) = oneshot::channel();
    ask(Box::new(move |answer| {
        let _ = send.send(answer);
    }));
    receive.await.unwrap_or_else(|_| Answer::message(Outcome::Lost, "the call was dropped"))
}
