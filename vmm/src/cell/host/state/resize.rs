//! Changes that go to the owner at once: lengths, appends, deletes.

use std::sync::Arc;

use faaslet_abi::Status;
use faaslet_snapshot::guest::GuestMemory;
use faaslet_state::Version;
use faaslet_state::message::{Body, MAX_PAYLOAD_BYTES, Reply, Stat};
use faaslet_tier::Value;

use super::error::Refused;
use super::held::Held;
use super::{Done, check, open, put};

pub(super) async fn resize(held: &mut Held, _: &GuestMemory, handle: u32, len: i64) -> Done {
    let value = held.value(handle)?;
    let len = len as u64;
    value.check_length(len)?;
    held.take_turn(&value).await?;
    let resized = held.resize(&value, len).await;
    held.leave_turn();
    resized.map(|()| 0)
}

/// A push without changes: the owner makes the value as long as that, and never shorter.
pub(super) async fn grow(held: &mut Held, _: &GuestMemory, handle: u32, len: i64) -> Done {
    let value = held.value(handle)?;
    let len = len as u64;
    value.check_length(len)?;
    if value.stat().len >= len {
        return Ok(0);
    }
    held.take_turn(&value).await?;
    let grown = held.grow(&value, len).await;
    held.leave_turn();
    grown.map(|()| 0)
}

pub(super) async fn append(
    held: &mut Held,
    memory: &GuestMemory,
    handle: u32,
    ptr: u32,
    len: u32,
    out: u32,
) -> Done {
    let value = held.value(handle)?;
    check(memory, ptr, len)?;
    if out != 0 {
        check(memory, out, 8)?;
    }
    if len as usize > MAX_PAYLOAD_BYTES {
        let text = format!("expected to append at most {MAX_PAYLOAD_BYTES} bytes; found {len}");
        return Err(Refused::of(value.key(), Status::TooLarge, text));
    }
    let mut bytes = vec![0; len as usize];
    memory.read(ptr, &mut bytes).map_err(|fault| Refused::new(Status::Fault, fault))?;
    held.take_turn(&value).await?;
    let at = held.append(&value, bytes).await;
    held.leave_turn();
    let at = at?;
    if out != 0 {
        put(memory, out, &at.to_le_bytes())?;
    }
    Ok(0)
}

pub(super) async fn delete(held: &mut Held, memory: &GuestMemory, ptr: u32, len: u32) -> Done {
    let key = open::key(memory, ptr, len)?;
    let here = held.local.tier().get(&key);
    if let Some(value) = &here {
        held.take_turn(value).await?;
    }
    let fence = here.as_ref().and_then(|value| held.locks.fence(value));
    let stamp = held.local.stamp();
    // Whatever has this name now: who deletes means the name.
    let body = Body::Delete { stamp, made: Version::NONE, expected: None, fence };
    let deleted = held.ask_for(&key, body, Vec::new()).await;
    held.leave_turn();
    deleted?;
    held.wake(held.local.tier().deleted(&key));
    Ok(0)
}

impl Held {
    async fn resize(&mut self, value: &Arc<Value>, len: u64) -> Result<(), Refused> {
        let (stamp, fence) = (self.local.stamp(), self.locks.fence(value));
        let body = Body::Resize { stamp, made: value.made(), expected: None, fence, len };
        match self.ask_for(value.key(), body, Vec::new()).await? {
            (Reply::Pushed { version, len, .. }, _) => Ok(value.resized(version, len)?),
            _ => Err(Refused::unexpected(value.key())),
        }
    }

    async fn grow(&mut self, value: &Arc<Value>, len: u64) -> Result<(), Refused> {
        let (stamp, fence) = (self.local.stamp(), self.locks.fence(value));
        let made = value.made();
        let body = Body::Push { stamp, made, expected: None, fence, len };
        match self.ask_for(value.key(), body, Vec::new()).await? {
            (Reply::Pushed { version, len, .. }, _) => {
                Ok(value.seen(&Stat { version, len, ..value.stat() })?)
            }
            _ => Err(Refused::unexpected(value.key())),
        }
    }

    async fn append(&mut self, value: &Arc<Value>, bytes: Vec<u8>) -> Result<u64, Refused> {
        let (stamp, fence) = (self.local.stamp(), self.locks.fence(value));
        match self
            .ask_for(value.key(), Body::Append { stamp, made: value.made(), fence }, bytes)
            .await?
        {
            // A pull brings it here, as it does what others have appended before it.
            (Reply::Appended { at, .. }, _) => Ok(at),
            _ => Err(Refused::unexpected(value.key())),
        }
    }
}
