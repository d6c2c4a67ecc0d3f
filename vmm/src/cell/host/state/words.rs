//! Waiting on words of mapped values, among the calls of this host.

use std::sync::Arc;

use faaslet_abi::Status;
use faaslet_snapshot::guest::GuestMemory;
use faaslet_tier::{Value, WaitStart};

use super::Done;
use super::error::Refused;
use super::held::Held;

const WORD_BYTES: u32 = 4;

/// The word holds another value than the one to wait for.
const OTHER: i32 = 1;

pub(super) async fn wait(
    held: &mut Held,
    _: &GuestMemory,
    addr: u32,
    expected: u32,
    timeout_ms: i64,
) -> Done {
    let (value, offset) = word(held, addr)?;
    if value.wait(held.task, offset, expected)? == WaitStart::Other {
        return Ok(OTHER);
    }
    held.word = Some((Arc::clone(&value), offset));
    let (task, until) = (held.task, held.until(timeout_ms));
    let woken = held.wait(until, || value.poll_wait(task, offset)).await?;
    held.word = None;
    // A notification that came just before the end counts.
    if woken.is_some() || value.cancel_wait(task, offset).is_ready() {
        return Ok(0);
    }
    let text = format!("nobody notified the word at {offset} in time");
    Err(Refused::of(value.key(), Status::TimedOut, text))
}

pub(super) fn notify(held: &mut Held, addr: u32, count: u32) -> Done {
    let (value, offset) = word(held, addr)?;
    let wake = value.notify(offset, count);
    let woken = wake.0.len() as i32;
    held.wake(wake);
    Ok(woken)
}

/// The word of a value that is mapped at `addr`, for writing: nobody notifies a private copy.
fn word(held: &Held, addr: u32) -> Result<(Arc<Value>, u64), Refused> {
    let inside = |from: u32, len: u32| {
        addr.checked_sub(from).filter(|at| at.checked_add(WORD_BYTES).is_some_and(|end| end <= len))
    };
    let found = held.maps.iter().filter(|map| map.shared).find_map(|map| {
        let at = inside(map.addr, map.len)?;
        Some((Arc::clone(&map.value), map.offset + u64::from(at)))
    });
    found.ok_or_else(|| {
        let text = format!("expected a word of a value mapped for writing; found {addr:#x}");
        Refused::new(Status::Invalid, text)
    })
}
