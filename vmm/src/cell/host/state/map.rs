//! Mappings of values into the function's window.

use faaslet_abi::Status;
use faaslet_abi::state::MapMode;
use faaslet_snapshot::board::Watch;
use faaslet_snapshot::bytes::{Bytes, HOST_PAGE};
use faaslet_snapshot::slot::Sharing;
use faaslet_tier::{self as tier, TierError};
use wasmtime::Caller;

use super::access::crowded;
use super::error::Refused;
use super::held::{Held, Mapped, Opened};
use super::{Done, check, put, settle, take};
use crate::cell::host::{Host, bind_window};
use crate::cell::local::Count;

/// How often absent chunks are pulled for one mapping.
const MAX_PULLS: u32 = 8;

/// What a function asks for.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) handle: u32,
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) mode: i32,
    pub(super) out: u32,
}

pub(super) async fn map(mut host: Caller<'_, Host>, asked: Asked) -> wasmtime::Result<i32> {
    let mut held = match take(host.data_mut()) {
        Ok(held) => held,
        Err(refused) => return settle(host.data_mut(), Err(refused)),
    };
    let counted = count(&mut held, &mut host, asked).await;
    let done = match counted {
        Ok((opened, id)) => place(&mut held, host.data_mut(), asked, opened, id),
        Err(refused) => Err(refused),
    };
    host.data_mut().running.state = Some(held);
    if done.is_ok() {
        bind_window(&mut host)?;
    }
    settle(host.data_mut(), done)
}

/// Checks what is asked, brings what is absent, and counts the mapping.
async fn count(
    held: &mut Held,
    host: &mut Caller<'_, Host>,
    asked: Asked,
) -> Result<(Opened, tier::MapId), Refused> {
    check(&host.data().memory, asked.out, 4)?;
    let opened = match mode(asked)? {
        tier::MapMode::Read => held.opened(asked.handle)?.clone(),
        tier::MapMode::Write => {
            held.value(asked.handle)?;
            held.opened(asked.handle)?.clone()
        }
    };
    let len = u64::from(asked.len);
    for pulls in 0..MAX_PULLS {
        match opened.value.map(held.task, asked.offset, len, mode(asked)?) {
            Err(TierError::Absent { .. }) => held.bring(&opened, asked.offset, len).await?,
            Err(TierError::Locked { .. }) if opened.value.is_exclusive_until_told() => {
                held.finish_others(&opened.value).await?;
            }
            Err(error) => return Err(error.into()),
            Ok(id) => {
                held.local.count(if pulls == 0 { Count::Hit } else { Count::Miss }, 1);
                return Ok((opened, id));
            }
        }
    }
    Err(crowded(&opened.value))
}

fn mode(asked: Asked) -> Result<tier::MapMode, Refused> {
    match MapMode::from_i32(asked.mode) {
        Some(MapMode::Read) => Ok(tier::MapMode::Read),
        Some(MapMode::Write) => Ok(tier::MapMode::Write),
        None => {
            let text = format!("expected a mode of 0 or 1; found {}", asked.mode);
            Err(Refused::new(Status::Invalid, text))
        }
    }
}

/// Maps the pages around what is asked for into the window.
fn place(held: &mut Held, host: &mut Host, asked: Asked, opened: Opened, id: tier::MapId) -> Done {
    let shared = asked.mode == MapMode::Write as i32;
    let sharing = if shared { Sharing::Shared } else { Sharing::PrivateCopy };
    let before = asked.offset % HOST_PAGE.0;
    let (at, len) = (Bytes(asked.offset - before), Bytes(u64::from(asked.len) + before));
    let value = opened.value;
    let page = match host.slot.map_window(value.file(), at, len, sharing) {
        Ok(page) => page,
        Err(error) => {
            held.wake(value.unmapped(id));
            return Err(Refused::window(value.key(), &error));
        }
    };
    value.placed(id, host.slot.base().addr().get() + page as usize);
    let addr = page + before as u32;
    let (offset, len) = (asked.offset, asked.len);
    let writable = host.memory.watch().filter(|_| shared).map(Watch::writable);
    held.maps.push(Mapped { value, id, addr, page, offset, len, shared, _writable: writable });
    put(&host.memory, asked.out, &addr.to_le_bytes())?;
    Ok(0)
}

pub(super) fn unmap(host: &mut Host, addr: u32) -> Done {
    let Host { running, slot, .. } = host;
    let held = running.state.as_deref_mut();
    let found = held.and_then(|held| {
        let at = held.maps.iter().position(|map| map.addr == addr)?;
        let map = held.maps.swap_remove(at);
        held.wake(map.value.unmapped(map.id));
        Some(map)
    });
    let Some(map) = found else {
        let text = format!("expected an address that a mapping gave; found {addr:#x}");
        return Err(Refused::new(Status::Invalid, text));
    };
    slot.unmap_window(map.page).map_err(|error| Refused::window(map.value.key(), &error))?;
    Ok(0)
}
