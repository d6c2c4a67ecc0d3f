//! Taking locks and giving them back.
//!
//! ```text
//! local          the lock of the value on this host
//! global read    the owner's
//! global write   the local write lock ─► nobody else here has it mapped for writing ─► the owner's
//!                ─► what others here had changed is pushed, under it ─► held
//! ```
//!
//! What others had changed is pushed under the lock and not before it: a push without the token is
//! refused while another host holds the lock.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use faaslet_abi::Status;
use faaslet_abi::state::Lock;
use faaslet_snapshot::guest::GuestMemory;
use faaslet_state::SessionError;
use faaslet_state::message::{Body, Failure, LockMode as OwnerMode, Reply};
use faaslet_tier::{LockMode, Value};

use super::Done;
use super::error::Refused;
use super::held::Held;
use super::locks::{HeldLock, MAX_LOCKS, is_local};
use crate::cell::local::{Count, serial_of, worker_of};
use crate::cell::stop::Stop;

/// How long before the call's deadline an owner gives up, so that its answer comes in time.
const ANSWER_MARGIN: Duration = Duration::from_millis(20);

/// Local locks that are free.
pub(super) fn lock_here(
    held: &mut Held,
    _: &GuestMemory,
    handle: u32,
    number: i32,
    _: i64,
) -> Option<Done> {
    let kind = Lock::from_i32(number).filter(|kind| is_local(*kind))?;
    let value = held.value(handle).ok()?;
    held.check_lock(&value, kind).ok()?;
    match held.queue(&value, kind) {
        Ok(true) => Some(Ok(0)),
        Ok(false) => None,
        Err(refused) => Some(Err(refused)),
    }
}

pub(super) async fn lock(
    held: &mut Held,
    _: &GuestMemory,
    handle: u32,
    number: i32,
    timeout_ms: i64,
) -> Done {
    let (kind, value) = (kind(number)?, held.value(handle)?);
    let until = held.until(timeout_ms);
    // It may stand in the queue since `lock_here`.
    if held.locks.find(&value, kind).is_none_or(|lock| !lock.waiting) {
        held.check_lock(&value, kind)?;
        held.queue(&value, kind)?;
    }
    let taken = held.take_lock(&value, kind, until).await;
    if let Err(Refused::Status(..)) = taken
        && let Some(lock) = held.locks.take(&value, kind)
    {
        held.let_go(&lock)?;
        if let Some(body) = Held::unlock_body(&lock, false) {
            held.tell(value.key(), body);
        }
    }
    taken.map(i32::from)
}

/// Local locks are given back at once.
pub(super) fn unlock_here(
    held: &mut Held,
    _: &GuestMemory,
    handle: u32,
    number: i32,
) -> Option<Done> {
    let kind = Lock::from_i32(number).filter(|kind| is_local(*kind))?;
    let value = match held.value(handle) {
        Ok(value) => value,
        Err(refused) => return Some(Err(refused)),
    };
    let lock = held.locks.take(&value, kind);
    Some(lock.ok_or_else(|| not_held(&value)).and_then(|lock| {
        held.let_go(&lock)?;
        Ok(0)
    }))
}

pub(super) async fn unlock(held: &mut Held, _: &GuestMemory, handle: u32, number: i32) -> Done {
    let (kind, value) = (kind(number)?, held.value(handle)?);
    let lock = held.locks.take(&value, kind).ok_or_else(|| not_held(&value))?;
    let body = Held::unlock_body(&lock, false);
    let let_go = held.let_go(&lock);
    if let Some(body) = body {
        held.ask_for(value.key(), body, Vec::new()).await?;
    }
    let_go?;
    Ok(0)
}

fn kind(number: i32) -> Result<Lock, Refused> {
    let text = || format!("expected a lock of 0 to 3; found {number}");
    Lock::from_i32(number).ok_or_else(|| Refused::new(Status::Invalid, text()))
}

fn not_held(value: &Arc<Value>) -> Refused {
    let text = "expected a lock of this kind that this call holds; it holds none: lock first";
    Refused::of(value.key(), Status::LockLost, text)
}

impl Held {
    /// That the call does not wait for itself.
    fn check_lock(&self, value: &Arc<Value>, kind: Lock) -> Result<(), Refused> {
        if self.locks.conflicts(value, kind) {
            let text = "this call holds a lock of it already: locks are not re-entrant; unlock";
            return Err(Refused::of(value.key(), Status::Invalid, text));
        }
        if self.locks.is_full() {
            let text = format!("expected at most {MAX_LOCKS} locks of one call: unlock some");
            return Err(Refused::of(value.key(), Status::Busy, text));
        }
        Ok(())
    }

    /// Notes the lock, and asks for its part on this host; whether that was free.
    fn queue(&mut self, value: &Arc<Value>, kind: Lock) -> Result<bool, Refused> {
        let asked = match kind {
            Lock::GlobalRead => Ok(Poll::Ready(())),
            Lock::LocalRead => value.lock().lock(self.task, LockMode::Read),
            Lock::LocalWrite | Lock::GlobalWrite => value.lock().lock(self.task, LockMode::Write),
        };
        let asked = asked.map_err(|error| Refused::lock(value.key(), error))?;
        let (value, waiting) = (Arc::clone(value), asked.is_pending());
        let lock = HeldLock { value, kind, waiting, asked: None, fence: None, settled: false };
        self.locks.push(lock);
        Ok(!waiting)
    }

    /// The stages of a lock that was noted; whether its last holder abandoned it.
    async fn take_lock(
        &mut self,
        value: &Arc<Value>,
        kind: Lock,
        until: Instant,
    ) -> Result<bool, Refused> {
        if self.locks.find(value, kind).is_some_and(|lock| lock.waiting) {
            self.wait_in_queue(value, kind, until).await?;
        }
        match kind {
            Lock::LocalRead | Lock::LocalWrite => Ok(false),
            Lock::GlobalRead => self.ask_lock(value, kind, OwnerMode::Read, until).await,
            Lock::GlobalWrite => {
                self.finish_others(value).await?;
                self.wait_alone(value, until).await?;
                let abandoned = self.ask_lock(value, kind, OwnerMode::Write, until).await?;
                self.push_range(value, 0, u64::MAX, None).await?;
                if let Some(lock) = self.locks.find(value, kind) {
                    lock.settled = true;
                }
                Ok(abandoned)
            }
        }
    }

    async fn wait_in_queue(
        &mut self,
        value: &Arc<Value>,
        kind: Lock,
        until: Instant,
    ) -> Result<(), Refused> {
        self.local.count(Count::LockWait, 1);
        let given =
            || if value.lock().is_held_by(self.task) { Poll::Ready(()) } else { Poll::Pending };
        if self.wait(until, given).await?.is_none() {
            let holder = value.lock().holder().map(|task| task.to_string());
            let holder = holder.unwrap_or_else(|| "another call".to_owned());
            return Err(self.in_vain(value, until, format_args!("{holder} holds its lock")));
        }
        if let Some(lock) = self.locks.find(value, kind) {
            lock.waiting = false;
        }
        Ok(())
    }

    /// Waits until nobody else on this host has the value mapped for writing.
    async fn wait_alone(&mut self, value: &Arc<Value>, until: Instant) -> Result<(), Refused> {
        let alone = || match value.begin_exclusive(self.task) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        };
        match self.wait(until, alone).await? {
            Some(alone) => Ok(alone?),
            None => Err(self.in_vain(value, until, "others on this host have it mapped")),
        }
    }

    async fn ask_lock(
        &mut self,
        value: &Arc<Value>,
        kind: Lock,
        mode: OwnerMode,
        until: Instant,
    ) -> Result<bool, Refused> {
        let stamp = self.local.stamp();
        if let Some(lock) = self.locks.find(value, kind) {
            lock.asked = Some(stamp);
        }
        let body = Body::Lock { stamp, holder: self.number(), mode, wait_us: self.patience(until) };
        let replied = self.ask(value.key(), body, Vec::new()).await?;
        let lock = self.locks.find(value, kind);
        match replied {
            Ok((Reply::Granted { fence, abandoned, .. }, _)) => {
                if let Some(lock) = lock {
                    lock.fence = Some(fence);
                }
                Ok(abandoned)
            }
            Ok(_) => Err(Refused::unexpected(value.key())),
            Err(SessionError::Refused(timeout @ Failure::LockTimeout { .. })) => {
                if let Some(lock) = lock {
                    lock.asked = None;
                }
                self.local.count(Count::LockWait, 1);
                Err(self.in_vain(value, until, timeout))
            }
            Err(error) => Err(self.refusal(value.key(), &error)),
        }
    }

    /// What others are told who wait for this call's locks in vain.
    fn number(&self) -> u64 {
        let task = self.task;
        u64::from(worker_of(task)) << 48 | serial_of(task) & ((1 << 48) - 1)
    }

    /// How long the owner may wait, in microseconds.
    fn patience(&self, until: Instant) -> u64 {
        let last = self.deadline.checked_sub(ANSWER_MARGIN).unwrap_or(until);
        until.min(last).saturating_duration_since(Instant::now()).as_micros() as u64
    }

    /// The end of a wait: of the call too, if it is the call's own time that is over.
    fn in_vain(&self, value: &Arc<Value>, until: Instant, why: impl std::fmt::Display) -> Refused {
        if until < self.deadline {
            return Refused::of(
                value.key(),
                Status::TimedOut,
                format_args!("no lock in time: {why}"),
            );
        }
        Stop::Late(format!("value {}: no lock in time: {why}", value.key())).into()
    }
}
