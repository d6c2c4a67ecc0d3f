//! What one call has of the tenant's state. Dropping it gives all of it back: the call returned,
//! trapped, ran out of time, was cancelled, or its host panicked.

use std::sync::Arc;
use std::time::Instant;

use faaslet_abi::Status;
use faaslet_snapshot::board::Writable;
use faaslet_state::message::{Body, Stamp};
use faaslet_state::{Key, Version};
use faaslet_tier::{MapId, Task, Tier, Value, Wake};

use super::error::Refused;
use super::locks::Locks;
use super::pull::Ahead;
use crate::cell::exchange::Exchange;
use crate::cell::local::{Ask, LocalTier};

/// Values that a call may have open at a time.
pub(crate) const MAX_OPEN_VALUES: usize = 1024;
/// Versions among them.
pub(crate) const MAX_OPEN_VERSIONS: usize = 16;

/// See the module.
pub(crate) struct Held {
    pub(super) exchange: Exchange,
    pub(super) local: Arc<LocalTier>,
    /// The name of the call in the tier.
    pub(super) task: Task,
    /// When the call is stopped.
    pub(super) deadline: Instant,
    /// By handle, from 1 on.
    handles: Vec<Option<Opened>>,
    pub(super) maps: Vec<Mapped>,
    pub(super) locks: Locks,
    /// The value whose turn the call has or waits for.
    pub(super) turn: Option<Arc<Value>>,
    /// The word that it waits on.
    pub(super) word: Option<(Arc<Value>, u64)>,
    /// Requests to owners so far.
    pub(super) asked: u64,
    pub(super) ahead: Ahead,
}

/// An open value.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) value: Arc<Value>,
    /// A version that never changes.
    pub(super) version: Option<Arc<OpenVersion>>,
}

/// A version that its owner keeps for this call.
pub(super) struct OpenVersion {
    pub(super) version: Version,
    _closing: Closing,
    /// Its chunks' memory: a tier of its own.
    _tier: Tier,
}

/// Closes a version when it goes, whether the owner has opened it by then or not.
pub(super) struct Closing {
    key: Key,
    /// What it was asked for with.
    stamp: Stamp,
    exchange: Exchange,
    task: Task,
    deadline: Instant,
}

/// A mapping in the call's window.
pub(super) struct Mapped {
    pub(super) value: Arc<Value>,
    pub(super) id: MapId,
    /// The address that the function was given.
    pub(super) addr: u32,
    /// The address of its first page.
    pub(super) page: u32,
    /// The byte of the value at `addr`.
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) shared: bool,
    /// Tells the pager that others see what is stored here.
    pub(super) _writable: Option<Writable>,
}

impl Held {
    pub(super) fn new(exchange: &Exchange, local: &Arc<LocalTier>, deadline: Instant) -> Self {
        Self {
            task: exchange.desk().task,
            exchange: exchange.clone(),
            local: Arc::clone(local),
            deadline,
            handles: Vec::new(),
            maps: Vec::new(),
            locks: Locks::default(),
            turn: None,
            word: None,
            asked: 0,
            ahead: Ahead::default(),
        }
    }

    /// The value behind a handle.
    pub(super) fn opened(&self, handle: u32) -> Result<&Opened, Refused> {
        let place = (handle as usize).wrapping_sub(1);
        self.handles.get(place).and_then(Option::as_ref).ok_or_else(|| {
            let text = format!("expected the handle of an open value; found {handle}: open it");
            Refused::new(Status::BadHandle, text)
        })
    }

    /// The same, of a value that can change.
    pub(super) fn value(&self, handle: u32) -> Result<Arc<Value>, Refused> {
        let opened = self.opened(handle)?;
        match &opened.version {
            None => Ok(Arc::clone(&opened.value)),
            Some(version) => {
                let text = format!("expected the value; version {} never changes", version.version);
                Err(Refused::of(opened.value.key(), Status::Invalid, text))
            }
        }
    }

    /// A handle for an open value.
    pub(super) fn keep(&mut self, opened: Opened) -> Result<u32, Refused> {
        let versions = self.handles.iter().flatten().filter(|o| o.version.is_some()).count();
        if opened.version.is_some() && versions >= MAX_OPEN_VERSIONS {
            let text = format!("expected at most {MAX_OPEN_VERSIONS} open versions: close some");
            return Err(Refused::of(opened.value.key(), Status::Busy, text));
        }
        let free = self.handles.iter().position(Option::is_none);
        let place = free.unwrap_or(self.handles.len());
        if place >= MAX_OPEN_VALUES {
            let text = format!("expected at most {MAX_OPEN_VALUES} open values: close some");
            return Err(Refused::of(opened.value.key(), Status::Busy, text));
        }
        if place == self.handles.len() {
            self.handles.push(None);
        }
        self.handles[place] = Some(opened);
        Ok(place as u32 + 1)
    }

    /// Forgets a handle.
    pub(super) fn forget(&mut self, handle: u32) -> Result<(), Refused> {
        self.opened(handle)?;
        self.handles[handle as usize - 1] = None;
        Ok(())
    }

    /// Wakes others, when this call gives way.
    pub(super) fn wake(&self, wake: Wake) {
        if !wake.0.is_empty() {
            self.exchange.desk().woken.0.extend(wake.0);
        }
    }

    /// Tells an owner something to which no answer matters.
    pub(super) fn tell(&self, key: &Key, body: Body) {
        tell(&self.exchange, self.task, self.deadline, key, body);
    }
}

fn tell(exchange: &Exchange, task: Task, deadline: Instant, key: &Key, body: Body) {
    let (key, payload) = (key.to_string(), Vec::new());
    let deadline = deadline.max(Instant::now() + super::ask::TELL_LIMIT);
    exchange.desk().asks.push(Ask { task, number: 0, key, body, payload, deadline });
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((value, offset)) = self.word.take() {
            let _ = value.cancel_wait(self.task, offset);
        }
        for map in std::mem::take(&mut self.maps) {
            self.wake(map.value.unmapped(map.id));
        }
        self.leave_turn();
        self.abandon_locks();
    }
}

impl OpenVersion {
    pub(super) fn new(closing: Closing, version: Version, tier: Tier) -> Self {
        Self { version, _closing: closing, _tier: tier }
    }
}

impl Closing {
    pub(super) fn new(held: &Held, key: Key, stamp: Stamp) -> Self {
        let (exchange, task, deadline) = (held.exchange.clone(), held.task, held.deadline);
        Self { key, stamp, exchange, task, deadline }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let close = Body::Close { stamp: self.stamp };
        tell(&self.exchange, self.task, self.deadline, &self.key, close);
    }
}
