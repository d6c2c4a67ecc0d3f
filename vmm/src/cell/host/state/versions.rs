//! Versions: those that can be opened, and values that never change.

use std::sync::Arc;

use faaslet_snapshot::guest::GuestMemory;
use faaslet_state::message::{Body, Reply, Stat};
use faaslet_tier::{Tier, Tracker, Value};

use super::error::Refused;
use super::held::{Closing, Held, OpenVersion, Opened};
use super::open::{version, version_bytes};
use super::{Done, check, put};

const VERSION_BYTES: usize = 16;
/// Memory that one opened version may take on this host.
const BUDGET_BYTES: u64 = 64 << 20;

pub(super) async fn open(
    held: &mut Held,
    memory: &GuestMemory,
    handle: u32,
    version_ptr: u32,
) -> Done {
    let value = held.value(handle)?;
    let at = version(memory, version_ptr)?;
    let stamp = held.local.stamp();
    let body = Body::Open { stamp, at };
    // From here on it is closed, also when the call ends before the owner has answered.
    let closing = Closing::new(held, value.key().clone(), stamp);
    let (reply, _) = held.ask_for(value.key(), body, Vec::new()).await?;
    let Reply::Value(stat) = reply else {
        return Err(Refused::unexpected(value.key()));
    };
    let opened = opened(&value, &stat, closing)?;
    held.keep(opened).map(|handle| handle as i32)
}

/// The version as a value of its own, in a tier of its own.
fn opened(value: &Arc<Value>, stat: &Stat, closing: Closing) -> Result<Opened, Refused> {
    let tier = Tier::new(BUDGET_BYTES, Tracker::comparing());
    let (frozen, _) = tier.value(value.key(), stat)?;
    let version = OpenVersion::new(closing, stat.version, tier);
    Ok(Opened { value: frozen, version: Some(Arc::new(version)) })
}

pub(super) async fn list(
    held: &mut Held,
    memory: &GuestMemory,
    handle: u32,
    ptr: u32,
    len: u32,
) -> Done {
    let value = held.value(handle)?;
    check(memory, ptr, len)?;
    let (reply, _) = held.ask_for(value.key(), Body::Versions, Vec::new()).await?;
    let Reply::Versions { versions } = reply else {
        return Err(Refused::unexpected(value.key()));
    };
    let fitting = versions.iter().take(len as usize / VERSION_BYTES);
    let bytes: Vec<u8> = fitting.flat_map(|stat| version_bytes(stat.version)).collect();
    put(memory, ptr, &bytes)?;
    Ok(versions.len() as i32)
}
