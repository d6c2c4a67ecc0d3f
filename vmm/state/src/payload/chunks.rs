//! Chunks of a pull.

use super::{ChunkChanges, Cursor, Payload, PayloadError};
use crate::chunk::{CHUNK_BYTES, Chunk};
use crate::version::{Epoch, Version};

const ZEROS: u8 = 0;
const WHOLE: u8 = 1;
const CHANGES: u8 = 2;
/// chunk, kind, version, len.
const HEAD_BYTES: usize = 25;

/// A chunk that is newer at the owner.
#[derive(Clone, Copy, Debug)]
pub struct PulledChunk<'a> {
    /// Which.
    pub chunk: Chunk,
    /// The version that changed it last.
    pub version: Version,
    /// What it is now.
    pub body: Body<'a>,
}

/// See [`PulledChunk`]. What a chunk has beyond its body is zero.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// Nothing but zeros.
    Zeros,
    /// All of it.
    Whole(&'a [u8]),
    /// What differs, element by element, from the version that the puller has: new values.
    Changes(ChunkChanges<'a>),
}

/// The chunks of a pull of a value whose elements are `width` bytes. Ends after the first error.
pub fn pulled_chunks(
    bytes: &[u8],
    width: u64,
) -> impl Iterator<Item = Result<PulledChunk<'_>, PayloadError>> {
    let mut cursor = Cursor::new(bytes);
    std::iter::from_fn(move || {
        if cursor.left.is_empty() {
            return None;
        }
        let read = read(&mut cursor, width as usize);
        if read.is_err() {
            cursor.left = &[];
        }
        Some(read)
    })
}

fn read<'a>(cursor: &mut Cursor<'a>, width: usize) -> Result<PulledChunk<'a>, PayloadError> {
    let start = *cursor;
    let number = |cursor: &mut Cursor<'a>| cursor.array("a version").map(u64::from_le_bytes);
    let chunk = Chunk(u32::from_le_bytes(cursor.array("the number of a chunk")?));
    let [kind] = cursor.array("the kind of a chunk")?;
    let version = Version::new(Epoch(number(cursor)?), number(cursor)?);
    let len = u32::from_le_bytes(cursor.array("the length of a chunk")?) as usize;
    let body = cursor.take(len, "the body of a chunk")?;
    let body = match kind {
        ZEROS if body.is_empty() => Body::Zeros,
        WHOLE if len as u64 <= CHUNK_BYTES => Body::Whole(body),
        CHANGES => {
            let changes = ChunkChanges::parse(body, width)?;
            if changes.chunk() != chunk {
                return Err(start.wrong("changes of the same chunk", changes.chunk().0.into()));
            }
            Body::Changes(changes)
        }
        _ => return Err(start.wrong("a body of zeros, of one chunk, or of changes", kind.into())),
    };
    Ok(PulledChunk { chunk, version, body })
}

fn write_head(out: &mut Payload, chunk: Chunk, kind: u8, version: Version, len: usize) {
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&chunk.0.to_le_bytes());
    head[4] = kind;
    head[5..13].copy_from_slice(&version.epoch.0.to_le_bytes());
    head[13..21].copy_from_slice(&version.n.to_le_bytes());
    head[21..].copy_from_slice(&(len as u32).to_le_bytes());
    out.copied().extend_from_slice(&head);
}

pub(crate) fn write_zeros(out: &mut Payload, chunk: Chunk, version: Version) {
    write_head(out, chunk, ZEROS, version, 0);
}

pub(crate) fn write_whole(
    out: &mut Payload,
    chunk: Chunk,
    version: Version,
    body: &std::sync::Arc<[u8]>,
) {
    write_head(out, chunk, WHOLE, version, body.len());
    out.share(body.clone());
}

/// `entry` is one entry of changes.
pub(crate) fn write_changes(out: &mut Payload, chunk: Chunk, version: Version, entry: &[u8]) {
    write_head(out, chunk, CHANGES, version, entry.len());
    out.copied().extend_from_slice(entry);
}
