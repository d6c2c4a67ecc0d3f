//! Pulls: what is absent, and what is newer.

use std::sync::Arc;

use faaslet_abi::Status;
use faaslet_snapshot::guest::GuestMemory;
use faaslet_state::message::{Body, PullRange, Reply};
use faaslet_state::{CHUNK_BYTES, Version};
use faaslet_tier::{Pulled, Value};

use super::Done;
use super::error::Refused;
use super::held::{Held, Opened};
use crate::cell::local::Count;

/// Most chunks that are pulled ahead of sequential access.
const MAX_AHEAD_CHUNKS: u64 = 16;

/// Where sequential access to absent chunks of a value goes on, and how far ahead it is pulled.
#[derive(Default)]
pub(super) struct Ahead {
    value: Option<Arc<Value>>,
    next: u64,
    chunks: u64,
}

impl Ahead {
    /// How many bytes more to pull than those that are asked for: twice as many each time that
    /// access goes on where it was, none when it does not.
    fn of(&mut self, value: &Arc<Value>, offset: u64, len: u64) -> u64 {
        let last = offset.saturating_add(len).saturating_sub(1) / CHUNK_BYTES;
        let same = self.value.as_ref().is_some_and(|known| Arc::ptr_eq(known, value));
        let goes_on = same && (offset / CHUNK_BYTES..=last).contains(&self.next);
        self.chunks = if goes_on { (2 * self.chunks).clamp(1, MAX_AHEAD_CHUNKS) } else { 0 };
        self.next = last + 1 + self.chunks;
        if !same {
            self.value = Some(Arc::clone(value));
        }
        self.chunks * CHUNK_BYTES
    }
}

pub(super) async fn pull(
    held: &mut Held,
    _: &GuestMemory,
    handle: u32,
    offset: i64,
    len: i64,
) -> Done {
    let value = held.value(handle)?;
    held.take_turn(&value).await?;
    let len = u64::try_from(len).unwrap_or(u64::MAX);
    let pulled = held.pull_newest(&value, offset as u64, len).await;
    held.leave_turn();
    pulled.map(|()| 0)
}

impl Held {
    /// Brings absent chunks of a range, and some behind it where access is sequential; others may
    /// evict them again.
    pub(super) async fn bring(
        &mut self,
        opened: &Opened,
        offset: u64,
        len: u64,
    ) -> Result<(), Refused> {
        let value = &opened.value;
        if value.missing(offset, len)?.is_empty() {
            return Ok(());
        }
        let at = opened.version.as_ref().map(|version| version.version);
        self.take_turn(value).await?;
        let ahead = self.ahead.of(value, offset, len);
        let mut brought = self.pull_missing(value, offset, len.saturating_add(ahead), at).await;
        if let (Err(Refused::Status(Status::NoRoom, _)), true) = (&brought, ahead > 0) {
            brought = self.pull_missing(value, offset, len, at).await;
        }
        self.leave_turn();
        brought
    }

    /// In its turn: what is here of a range becomes the newest, then what is absent comes.
    async fn pull_newest(
        &mut self,
        value: &Arc<Value>,
        offset: u64,
        len: u64,
    ) -> Result<(), Refused> {
        let end = offset.saturating_add(len);
        let mut from = offset;
        loop {
            let ranges = value.newer(from, end.saturating_sub(from))?;
            let Some(last) = ranges.last() else { break };
            from = u64::from(last.first + last.count) * CHUNK_BYTES;
            self.pull_ranges(value, ranges, None).await?;
        }
        if from == offset {
            // Nothing was asked for: the owner has not said how long the value is now.
            let (reply, _) = self.ask_for(value.key(), Body::Stat, Vec::new()).await?;
            let Reply::Value(stat) = reply else {
                return Err(Refused::unexpected(value.key()));
            };
            value.seen(&stat)?;
        }
        self.pull_missing(value, offset, len, None).await
    }

    async fn pull_missing(
        &mut self,
        value: &Arc<Value>,
        offset: u64,
        len: u64,
        at: Option<Version>,
    ) -> Result<(), Refused> {
        loop {
            let ranges = value.missing(offset, len)?;
            if ranges.is_empty() {
                return Ok(());
            }
            self.pull_ranges(value, ranges, at).await?;
        }
    }

    async fn pull_ranges(
        &mut self,
        value: &Arc<Value>,
        ranges: Vec<PullRange>,
        at: Option<Version>,
    ) -> Result<(), Refused> {
        let body = Body::Pull { ranges: ranges.clone(), at };
        let (reply, payload) = self.ask_for(value.key(), body, Vec::new()).await?;
        let Reply::Pulled { version, made, len } = reply else {
            return Err(Refused::unexpected(value.key()));
        };
        self.local.count(Count::Pulled, payload.len() as u64);
        value.install(&ranges, Pulled { version, made, len }, &payload)?;
        Ok(())
    }
}
