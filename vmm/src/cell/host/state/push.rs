//! Pushes: one at a time for each value; who waited meanwhile may find that another has pushed all
//! that it would.

use std::sync::Arc;

use faaslet_snapshot::guest::GuestMemory;
use faaslet_state::message::{Body, Failure, Reply};
use faaslet_state::{SessionError, Version};
use faaslet_tier::{Prepared, Value};

use super::error::Refused;
use super::held::Held;
use super::open::{version, version_bytes};
use super::{Done, check, put};
use crate::cell::local::{Count, Replied, Unfinished};

pub(super) async fn push(
    held: &mut Held,
    memory: &GuestMemory,
    handle: u32,
    offset: i64,
    len: i64,
    expected: u32,
    out: u32,
) -> Done {
    let value = held.value(handle)?;
    let expected = match expected {
        0 => None,
        ptr => Some(version(memory, ptr)?.unwrap_or(Version::NONE)),
    };
    if out != 0 {
        check(memory, out, 16)?;
    }
    let len = u64::try_from(len).unwrap_or(u64::MAX);
    let version = held.push_range(&value, offset as u64, len, expected).await?;
    if out != 0 {
        put(memory, out, &version_bytes(version))?;
    }
    Ok(0)
}

impl Held {
    /// Pushes what changed in a range; the newest version of it that the owner has then.
    pub(super) async fn push_range(
        &mut self,
        value: &Arc<Value>,
        offset: u64,
        len: u64,
        expected: Option<Version>,
    ) -> Result<Version, Refused> {
        let mark = value.push_mark();
        self.take_turn(value).await?;
        let pushed = match value.pushed_since(mark, offset, len) {
            Some(version) if expected.is_none() => Ok(version),
            _ => self.push_all(value, offset, len, expected).await,
        };
        self.leave_turn();
        pushed
    }

    /// In its turn: as many pushes as it takes.
    async fn push_all(
        &mut self,
        value: &Arc<Value>,
        offset: u64,
        len: u64,
        mut expected: Option<Version>,
    ) -> Result<Version, Refused> {
        loop {
            let prepared = value.prepare_push(self.task, offset, len)?;
            let more = prepared.more;
            if prepared.is_empty() && expected.is_none() {
                value.push_failed(prepared)?;
                return Ok(value.stat().version);
            }
            let version = self.send(value, prepared, expected).await?;
            if !more {
                return Ok(version);
            }
            expected = expected.map(|_| version);
        }
    }

    async fn send(
        &mut self,
        value: &Arc<Value>,
        prepared: Prepared,
        expected: Option<Version>,
    ) -> Result<Version, Refused> {
        let (stamp, fence) = (self.local.stamp(), self.locks.fence(value));
        let value = Arc::clone(value);
        self.deliver(Unfinished { value, prepared, stamp, expected, fence }).await
    }

    /// Sends a push, the first time or again, and tells the value what became of it.
    async fn deliver(&mut self, push: Unfinished) -> Result<Version, Refused> {
        let Unfinished { stamp, expected, fence, .. } = push;
        let (value, payload) = (Arc::clone(&push.value), push.prepared.payload.clone());
        let body =
            Body::Push { stamp, made: value.made(), expected, fence, len: push.prepared.len };
        // From here on the call may end at any moment: the next in turn goes on with it.
        self.local.sent(push);
        let replied = self.ask(value.key(), body, payload).await?;
        let Some(push) = self.local.unfinished(&value) else {
            return Err(Refused::unexpected(value.key()));
        };
        self.conclude(push, replied)
    }

    fn conclude(&mut self, push: Unfinished, replied: Replied) -> Result<Version, Refused> {
        let (value, fence) = (Arc::clone(&push.value), push.fence);
        let error = match replied {
            Ok((Reply::Pushed { version, len, before }, _)) => {
                self.local.count(Count::Pushed, push.prepared.payload.len() as u64);
                value.acknowledged(push.prepared, version, len, &before)?;
                return Ok(version);
            }
            Ok(_) => {
                self.local.sent(push);
                return Err(Refused::unexpected(value.key()));
            }
            Err(error) => error,
        };
        if error == SessionError::Unknown {
            self.local.sent(push);
            return Err(Refused::session(value.key(), &error));
        }
        value.push_failed(push.prepared)?;
        if let SessionError::Refused(Failure::LockLost { .. }) = error
            && let Some(fence) = fence
        {
            self.lost(&value, fence)?;
        }
        Err(self.refusal(value.key(), &error))
    }

    /// Brings a push to its end that was sent under the global write lock, and whose answer its
    /// call did not live to see: until then the value is locked.
    pub(super) async fn finish_others(&mut self, value: &Arc<Value>) -> Result<(), Refused> {
        if value.is_exclusive_until_told() {
            self.take_turn(value).await?;
            self.leave_turn();
        }
        Ok(())
    }

    /// In its turn: sends the push again whose end is not known, until it is.
    pub(super) async fn finish_push(&mut self, value: &Arc<Value>) -> Result<(), Refused> {
        let Some(push) = self.local.unfinished(value) else { return Ok(()) };
        let delivered = self.deliver(push).await;
        match delivered {
            Err(Refused::Status(faaslet_abi::Status::Unknown, _) | Refused::Stop(_)) => {
                self.leave_turn();
                delivered.map(|_| ())
            }
            // Whatever it was, it is known now, and was another's.
            _ => Ok(()),
        }
    }
}
