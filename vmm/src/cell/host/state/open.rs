//! Values by key: opening, closing, and what is known of them.

use std::sync::Arc;

use faaslet_abi::Status;
use faaslet_abi::state::{RENEW, Spec as AbiSpec};
use faaslet_snapshot::guest::GuestMemory;
use faaslet_state::message::{Body, Reply, Stat};
use faaslet_state::spec::{Durability, Element, Retention, Rule};
use faaslet_state::{Key, Spec, Version};
use faaslet_tier::Value;

use super::error::Refused;
use super::held::{Held, Opened};
use super::{Done, array, check, put};

const SPEC_BYTES: usize = size_of::<AbiSpec>();
const STAT_BYTES: usize = size_of::<faaslet_abi::state::Stat>();

/// A value is open at once where it is here already: its owner is asked when more of it is.
pub(super) fn open_here(
    held: &mut Held,
    memory: &GuestMemory,
    ptr: u32,
    len: u32,
    spec: u32,
) -> Option<Done> {
    let key = match key(memory, ptr, len) {
        Ok(key) => key,
        Err(refused) => return Some(Err(refused)),
    };
    let spec = match wanted(memory, spec) {
        Ok(Some((_, true))) => return None,
        Ok(spec) => spec.map(|(spec, _)| spec),
        Err(refused) => return Some(Err(refused)),
    };
    let value = held.local.tier().get(&key)?;
    let other = spec.is_some_and(|spec| spec != *value.spec());
    if other {
        return None;
    }
    Some(opened(held, value))
}

pub(super) async fn open(
    held: &mut Held,
    memory: &GuestMemory,
    ptr: u32,
    len: u32,
    spec: u32,
) -> Done {
    let key = key(memory, ptr, len)?;
    let body = match wanted(memory, spec)? {
        Some((spec, renew)) => Body::Create { spec, renew, stamp: held.local.stamp() },
        None => Body::Stat,
    };
    let (reply, _) = held.ask_for(&key, body, Vec::new()).await?;
    let Reply::Value(stat) = reply else { return Err(Refused::unexpected(&key)) };
    let value = make(held, &key, &stat)?;
    opened(held, value)
}

fn make(held: &Held, key: &Key, stat: &Stat) -> Result<Arc<Value>, Refused> {
    let (value, wake) = held.local.tier().value(key, stat)?;
    held.wake(wake);
    Ok(value)
}

fn opened(held: &mut Held, value: Arc<Value>) -> Done {
    held.keep(Opened { value, version: None }).map(|handle| handle as i32)
}

pub(super) fn close(held: &mut Held, handle: u32) -> Done {
    held.forget(handle).map(|()| 0)
}

pub(super) fn stat(held: &mut Held, memory: &GuestMemory, handle: u32, out: u32) -> Done {
    check(memory, out, STAT_BYTES as u32)?;
    let stat = held.opened(handle)?.value.stat();
    let mut bytes = [0; STAT_BYTES];
    bytes[..8].copy_from_slice(&stat.len.to_le_bytes());
    bytes[8..24].copy_from_slice(&version_bytes(stat.version));
    bytes[24..].copy_from_slice(&spec_bytes(&stat.spec));
    put(memory, out, &bytes)?;
    Ok(0)
}

/// The key in the guest's memory.
pub(super) fn key(memory: &GuestMemory, ptr: u32, len: u32) -> Result<Key, Refused> {
    check(memory, ptr, len)?;
    if len as usize > faaslet_state::key::MAX_KEY_BYTES {
        return Err(faaslet_state::KeyError::Long { found: len as usize }.into());
    }
    let mut bytes = vec![0; len as usize];
    memory.read(ptr, &mut bytes).map_err(|fault| Refused::new(Status::Fault, fault))?;
    Ok(Key::new(&bytes)?)
}

/// What a value is to be made as, and whether a lost one is made anew.
fn wanted(memory: &GuestMemory, ptr: u32) -> Result<Option<(Spec, bool)>, Refused> {
    if ptr == 0 {
        return Ok(None);
    }
    let bytes: [u8; SPEC_BYTES] = array(memory, ptr)?;
    let invalid = |text: &str| Refused::new(Status::Invalid, format!("spec of a value: {text}"));
    let quota = u64::from_le_bytes(part(&bytes, 0));
    let number = if bytes[8] == 0 { Element::U64 as u8 } else { bytes[8] };
    let element = Element::from_u8(number);
    let element = element.ok_or_else(|| invalid("expected an element of 0 to 10"))?;
    let rule = Rule::from_u8(bytes[9]).ok_or_else(|| invalid("expected a rule of 0 to 6"))?;
    let durability = match bytes[10] {
        0 => Durability::Memory,
        1 => Durability::Durable,
        _ => return Err(invalid("expected a durability of 0 or 1")),
    };
    if bytes[11] & !RENEW != 0 || bytes[20..] != [0; 4] {
        return Err(invalid("expected no other flags, and zeros in reserved bytes"));
    }
    let versions = u32::from_le_bytes(part(&bytes, 12));
    let age_s = u32::from_le_bytes(part(&bytes, 16));
    let default = Retention::default();
    let versions = if versions == 0 { default.versions } else { versions };
    let spec = Spec::new(element, rule, durability, quota)?;
    Ok(Some((spec.retaining(Retention { versions, age_s }), bytes[11] & RENEW != 0)))
}

fn spec_bytes(spec: &Spec) -> [u8; SPEC_BYTES] {
    let mut bytes = [0; SPEC_BYTES];
    bytes[..8].copy_from_slice(&spec.quota_bytes().to_le_bytes());
    bytes[8] = spec.element() as u8;
    bytes[9] = spec.rule() as u8;
    bytes[10] = spec.durability() as u8;
    bytes[12..16].copy_from_slice(&spec.retention().versions.to_le_bytes());
    bytes[16..20].copy_from_slice(&spec.retention().age_s.to_le_bytes());
    bytes
}

/// A version as a guest sees it.
pub(super) fn version_bytes(version: Version) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&version.epoch.0.to_le_bytes());
    bytes[8..].copy_from_slice(&version.n.to_le_bytes());
    bytes
}

/// The version in the guest's memory; none for all zeros.
pub(super) fn version(memory: &GuestMemory, ptr: u32) -> Result<Option<Version>, Refused> {
    let bytes: [u8; 16] = array(memory, ptr)?;
    let epoch = faaslet_state::Epoch(u64::from_le_bytes(part(&bytes, 0)));
    let version = Version::new(epoch, u64::from_le_bytes(part(&bytes, 8)));
    Ok((version != Version::NONE).then_some(version))
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[at..at + N]);
    part
}
