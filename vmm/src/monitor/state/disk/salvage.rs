//! What can still be read of a file that redb refuses as a whole: record by record, each by its own
//! checksum, and each value by the digest of all its chunks.
//!
//! What it is not: a repair. It reads a copy, so that the file stays as it was found, and serves
//! nothing: that a value is whole does not say that it is the newest that was acknowledged, so
//! somebody has to decide to take it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use faaslet_state::Chunk;
use faaslet_state::owner::{Head, Id};
use redb::{Database, ReadTransaction, ReadableTable};

use super::open::format_of;
use super::record::{Digest, decode_chunk, decode_chunk_key, decode_head, decode_head_key, fold};
use super::{
    Bytes, CACHE_BYTES, CHUNKS, Damage, DiskError, FORMAT, HEADS, ReadableDatabase, failed,
};

/// No record takes less of the file: pages that lead in a circle end by this.
const MIN_RECORD_BYTES: u64 = 16;

/// See the module.
#[derive(Debug, Default)]
pub struct Salvage {
    /// Values that are whole, by tenant and key.
    pub values: Vec<Salvaged>,
    /// What is not.
    pub damages: Vec<Damage>,
}

/// A value that is whole.
#[derive(Debug)]
pub struct Salvaged {
    /// Its name.
    pub id: Id,
    /// What it is.
    pub head: Head,
    /// Its chunks; what none of them has is zero.
    pub chunks: BTreeMap<Chunk, Arc<[u8]>>,
}

/// A copy of the file, which goes with the value.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // One that stays is seen by its name.
        let _ = fs::remove_file(&self.0);
    }
}

/// Reads what is whole of the file, which nobody has open. It takes as much room on the disk again.
///
/// # Errors
/// When it cannot be copied, or is no database at all.
pub fn salvage(path: &Path) -> Result<Salvage, DiskError> {
    let copy = Scratch(path.with_extension("salvage"));
    let bytes = fs::copy(path, &copy.0).map_err(|error| failed(path, &redb::Error::Io(error)))?;
    // Pages are not checked, so that what redb finds in them may be anything.
    let found = catch_unwind(AssertUnwindSafe(|| read(&copy.0, bytes)));
    let unreadable = || {
        let why = "nothing can be read of its pages".to_owned();
        DiskError::Damaged { path: path.to_owned(), why }
    };
    found.map_err(|_| unreadable())?.map_err(|error| failed(path, &error))?.ok_or_else(unreadable)
}

/// Nothing, if it is of another format.
fn read(copy: &Path, bytes: u64) -> Result<Option<Salvage>, redb::Error> {
    let database = Database::builder().set_cache_size(CACHE_BYTES).open(copy)?;
    let read = database.begin_read()?;
    if format_of(&read).is_ok_and(|format| format != FORMAT) {
        return Ok(None);
    }
    let mut salvage = Salvage::default();
    let most = bytes / MIN_RECORD_BYTES;
    let heads = salvage.records(&read, HEADS, most, "names of values");
    let chunks = salvage.records(&read, CHUNKS, most, "chunks of values");
    salvage.take(&heads, chunks);
    Ok(Some(salvage))
}

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

impl Salvage {
    /// The records of a table from both ends, as far as they can be read.
    fn records(
        &mut self,
        read: &ReadTransaction,
        table: Bytes<'static>,
        most: u64,
        what: &str,
    ) -> Records {
        let mut found = Records::new();
        for from_end in [false, true] {
            let walked = AssertUnwindSafe(|| walk(read, table, most, from_end, &mut found));
            if matches!(catch_unwind(walked), Ok(Ok(true))) {
                return found;
            }
        }
        let what = format!("some {what} cannot be read, and not all that are missing are named");
        self.damages.push(Damage { value: None, what });
        found
    }

    fn take(&mut self, heads: &Records, chunks: Records) {
        let mut parts: BTreeMap<Id, Vec<(Vec<u8>, Chunk, Vec<u8>)>> = BTreeMap::new();
        for (key, body) in chunks {
            if let Some((id, chunk)) = decode_chunk_key(&key) {
                parts.entry(id).or_default().push((key, chunk, body));
            }
        }
        let mut known = BTreeSet::new();
        for (key, body) in heads {
            let Some(id) = decode_head_key(key) else { continue };
            known.insert(id.clone());
            match decode_head(key, body) {
                None => self.lose(id, "its head"),
                // In memory alone, and lost with its monitor.
                Some((head, _)) if !head.whole => {}
                Some((head, digest)) => {
                    let parts = parts.remove(&id).unwrap_or_default();
                    match whole(&head, &digest, parts) {
                        Some(chunks) => self.values.push(Salvaged { id, head, chunks }),
                        None => self.lose(id, "all of its chunks"),
                    }
                }
            }
        }
        for id in parts.into_keys().filter(|id| !known.contains(id)) {
            self.lose(id, "its head");
        }
    }

    fn lose(&mut self, id: Id, part: &str) {
        let what = format!("expected {part} as it was stored; found other bytes, or none");
        self.damages.push(Damage { value: Some(id), what });
    }
}

/// Reads records from one end on; whether it came to the other.
fn walk(
    read: &ReadTransaction,
    table: Bytes<'static>,
    most: u64,
    from_end: bool,
    found: &mut Records,
) -> Result<bool, redb::Error> {
    let table = read.open_table(table)?;
    let mut records = table.iter()?;
    for _ in 0..most {
        let next = if from_end { records.next_back() } else { records.next() };
        let Some(record) = next else { return Ok(true) };
        let (key, body) = record?;
        found.insert(key.value().to_vec(), body.value().to_vec());
    }
    Ok(false)
}

/// The chunks of a value, if they are all that were stored.
fn whole(
    head: &Head,
    digest: &Digest,
    parts: Vec<(Vec<u8>, Chunk, Vec<u8>)>,
) -> Option<BTreeMap<Chunk, Arc<[u8]>>> {
    let (mut there, mut chunks) = (Digest::default(), BTreeMap::new());
    for (key, chunk, body) in parts {
        let (version, bytes) = decode_chunk(&key, &body)?;
        if version > head.version {
            return None;
        }
        fold(&mut there, &body);
        chunks.insert(chunk, bytes);
    }
    (there == *digest).then_some(chunks)
}
