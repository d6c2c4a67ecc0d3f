//! Reads, writes and merges: at once where the chunks are here.

use std::sync::Arc;

use faaslet_abi::Status;
use faaslet_snapshot::guest::GuestMemory;
use faaslet_state::CHUNK_BYTES;
use faaslet_tier::{Copied, Task, Value};

use super::error::Refused;
use super::held::{Held, Opened};
use super::{Done, check};
use crate::cell::local::Count;

/// Shorter copies go by one step over the stack.
const SHORT_BYTES: usize = 256;
/// How often absent chunks are pulled for one copy: others may evict them again in between.
const MAX_PULLS: u32 = 8;

/// One copy: what is to be done once its chunks are here.
type Copy = fn(Task, &Value, &GuestMemory, Range) -> Result<Copied, Refused>;

/// Bytes of a value, and their place in the guest's memory.
#[derive(Clone, Copy)]
struct Range {
    offset: u64,
    ptr: u32,
    len: u32,
}

macro_rules! copies {
    ($here:ident, $waits:ident, $opened:ident, $copy:ident, $told:expr) => {
        pub(super) fn $here(
            held: &mut Held,
            memory: &GuestMemory,
            handle: u32,
            offset: i64,
            ptr: u32,
            len: u32,
        ) -> Option<Done> {
            let range = Range { offset: offset as u64, ptr, len };
            let copied = $opened(held, handle).and_then(|opened| {
                check(memory, ptr, len)?;
                $copy(held.task, &opened.value, memory, range)
            });
            match copied {
                Ok(Copied::Absent) => None,
                Ok(Copied::Bytes(bytes)) => {
                    held.local.count(Count::Hit, 1);
                    Some(Ok($told(bytes)))
                }
                Err(Refused::Status(Status::Locked, _)) if is_ending(held, handle) => None,
                Err(refused) => Some(Err(refused)),
            }
        }

        pub(super) async fn $waits(
            held: &mut Held,
            memory: &GuestMemory,
            handle: u32,
            offset: i64,
            ptr: u32,
            len: u32,
        ) -> Done {
            let opened = $opened(held, handle)?.clone();
            let range = Range { offset: offset as u64, ptr, len };
            copy(held, &opened, memory, range, $copy).await.map($told)
        }
    };
}
copies!(read_here, read, any, read_once, |bytes: usize| bytes as i32);
copies!(write_here, write, changing, write_once, |_| 0);
copies!(merge_here, merge, changing, merge_once, |_| 0);

fn any(held: &Held, handle: u32) -> Result<&Opened, Refused> {
    held.opened(handle)
}

/// Whether it is locked for the sake of a call that did not live to see its push answered.
fn is_ending(held: &Held, handle: u32) -> bool {
    held.opened(handle).is_ok_and(|opened| opened.value.is_exclusive_until_told())
}

fn changing(held: &Held, handle: u32) -> Result<&Opened, Refused> {
    held.value(handle)?;
    held.opened(handle)
}

async fn copy(
    held: &mut Held,
    opened: &Opened,
    memory: &GuestMemory,
    range: Range,
    copy: Copy,
) -> Result<usize, Refused> {
    held.local.count(Count::Miss, 1);
    held.finish_others(&opened.value).await?;
    // What is written behind the end may lie in a chunk that has a part before it.
    let before = range.offset % CHUNK_BYTES;
    for _ in 0..MAX_PULLS {
        held.bring(opened, range.offset - before, before + u64::from(range.len)).await?;
        if let Copied::Bytes(bytes) = copy(held.task, &opened.value, memory, range)? {
            return Ok(bytes);
        }
    }
    Err(crowded(&opened.value))
}

/// Its chunks go as soon as they come.
pub(super) fn crowded(value: &Arc<Value>) -> Refused {
    let text = "its chunks were evicted as often as they were pulled: raise the state budget";
    Refused::of(value.key(), Status::NoRoom, text)
}

fn read_once(
    _: Task,
    value: &Value,
    memory: &GuestMemory,
    range: Range,
) -> Result<Copied, Refused> {
    let (len, mut fault) = (range.len as usize, Ok(()));
    let most = value.key();
    if i32::try_from(range.len).is_err() {
        return Err(Refused::of(most, Status::TooLarge, "expected to read less than 2 GiB"));
    }
    if len <= SHORT_BYTES {
        let mut bytes = [0; SHORT_BYTES];
        let copied = value.read(range.offset, &mut bytes[..len])?;
        if let Copied::Bytes(read) = copied {
            super::put(memory, range.ptr, &bytes[..read])?;
        }
        return Ok(copied);
    }
    let copied = value.read_with(range.offset, len, |at, piece| {
        let put = super::put(memory, range.ptr + at as u32, piece);
        if fault.is_ok() {
            fault = put;
        }
    })?;
    fault.map(|()| copied)
}

fn write_once(
    task: Task,
    value: &Value,
    memory: &GuestMemory,
    range: Range,
) -> Result<Copied, Refused> {
    Ok(value.write_with(task, range.offset, range.len as usize, pieces(memory, range))?)
}

fn merge_once(
    task: Task,
    value: &Value,
    memory: &GuestMemory,
    range: Range,
) -> Result<Copied, Refused> {
    Ok(value.merge_with(task, range.offset, range.len as usize, pieces(memory, range))?)
}

/// Copies pieces of the range out of the guest's memory.
fn pieces(memory: &GuestMemory, range: Range) -> impl FnMut(usize, &mut [u8]) {
    move |at, piece| {
        // The range was checked, and stays while this call is in the host.
        let _ = memory.read(range.ptr + at as u32, piece);
    }
}
