//! Where durable values rest: `state.redb` in the monitor's folder.
//!
//! ```text
//! table      key                               body
//! meta       "format"                          the version of this layout
//! epochs     shard                             the epoch of its last owner here
//! heads      tenant ‖ 0 ‖ key                  spec, length, versions        ‖ checksum
//! chunks     tenant ‖ 0 ‖ key ‖ 0 ‖ chunk      version, bytes                ‖ checksum
//! done       tenant ‖ 0 ‖ key ‖ 0 ‖ session    number and answer of a change ‖ checksum
//! damaged    letter of the table ‖ key         what was found there
//! ```
//!
//! One writer ([`super::committer`]) stores many batches in one transaction. A crash in the middle
//! of one leaves the one before: that is redb's work. When the file is opened, redb compares every
//! page with its checksum, and a file with a page that is not as it was written is refused as a
//! whole: what is left of it could be older than what was acknowledged. What was wrong before it
//! came to redb's pages, the checksum of each record tells (over its key too), and the digest of all
//! of its chunks that a head has with it: such a value is put aside in `damaged`, reported by name,
//! and lost to its users until it is deleted or made anew. What is whole of a file that was refused,
//! [`salvage`] reads.

mod open;
mod record;
mod salvage;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use faaslet_state::owner::{Batch, Id, Record};
use redb::{
    Builder, Database, Durability, ReadableDatabase, ReadableTable, TableDefinition,
    WriteTransaction,
};

pub use open::Damage;
pub(super) use record::Key as RecordKey;
use record::{
    Digest, chunk_key, decode_head, done_key, encode_chunk, encode_done, encode_head, fold,
    head_key,
};
pub use salvage::{Salvage, Salvaged, salvage};

/// The version of the layout that this release reads and writes.
pub const FORMAT: u64 = 1;
/// Name of the file in the monitor's folder.
pub const STATE_FILE: &str = "state.redb";
/// Changes are refused when less is free on the disk, so that records can always be removed.
const MIN_FREE_BYTES: u64 = 4 << 20;
/// So much must have been removed for the file to be made smaller, where the disk is full.
const REMOVED_WORTH_BYTES: u64 = 1 << 20;
/// What redb keeps of the file in memory; all values are there in another form.
const CACHE_BYTES: usize = 32 << 20;

type Bytes<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const EPOCHS: TableDefinition<'_, u16, u64> = TableDefinition::new("epochs");
const HEADS: Bytes<'_> = TableDefinition::new("heads");
const CHUNKS: Bytes<'_> = TableDefinition::new("chunks");
const DONE: Bytes<'_> = TableDefinition::new("done");
const DAMAGED: Bytes<'_> = TableDefinition::new("damaged");

/// Why the disk did not store or give something.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// No room.
    #[error(
        "the disk of {path} is full: expected at least {MIN_FREE_BYTES} bytes free; found {free}: \
         free some, or delete values"
    )]
    Full {
        /// The file.
        path: PathBuf,
        /// Bytes that are free.
        free: u64,
    },
    /// Another layout.
    #[error(
        "{path} has format {found}; this release knows {FORMAT}: use the release that wrote it"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The database itself cannot be read.
    #[error(
        "{path} cannot be read as a database of state: {why}; nothing of it is served: \
         `faaslet state check` tells what is whole, `faaslet state salvage FOLDER --move-aside` \
         writes that to files and lets the monitor start without it"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What redb says.
        why: String,
    },
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    /// Invariant: `None` only after a failed write, until it could be opened again.
    database: Option<Database>,
    /// Bytes that were removed since the file was last made as small as it can be. What was
    /// removed before the start counts as enough.
    removed_bytes: u64,
}

pub(super) fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

impl Disk {
    fn failed(&self, error: impl Into<redb::Error>) -> DiskError {
        failed(&self.path, &error.into())
    }

    /// Stores batches, in their order, all or none.
    pub(super) fn store<'b>(
        &mut self,
        mut batches: impl Iterator<Item = &'b Batch> + Clone,
    ) -> Result<(), DiskError> {
        self.reopen()?;
        // Deleting must be possible on a disk that is full.
        if batches.clone().any(grows) {
            self.make_room()?;
        }
        let mut removed_bytes = 0;
        let stored = self.transact(|write| {
            batches.try_for_each(|batch| put_all(write, batch, &mut removed_bytes))
        });
        self.removed_bytes += removed_bytes;
        if stored.is_err() {
            // A database that met an I/O error answers nothing until it is opened anew.
            self.database = None;
        }
        stored
    }

    /// Where the disk is full, gives back to it what was removed from the file.
    fn make_room(&mut self) -> Result<(), DiskError> {
        if free_bytes(&self.path) >= MIN_FREE_BYTES {
            return Ok(());
        }
        if self.removed_bytes >= REMOVED_WORTH_BYTES
            && let Some(database) = &mut self.database
        {
            self.removed_bytes = 0;
            if let Err(error) = database.compact() {
                tracing::warn!(%error, "the file of state was not made smaller");
                self.database = None;
                self.reopen()?;
            }
        }
        match free_bytes(&self.path) {
            free if free < MIN_FREE_BYTES => Err(DiskError::Full { path: self.path.clone(), free }),
            _ => Ok(()),
        }
    }

    /// The same where the database panics, as it may over pages that are not as they were written:
    /// that is an error of these batches, and the next ones find it opened anew.
    pub(super) fn store_or_reopen<'b>(
        &mut self,
        batches: impl Iterator<Item = &'b Batch> + Clone,
    ) -> Result<(), DiskError> {
        let stored = catch_unwind(AssertUnwindSafe(|| self.store(batches)));
        stored.unwrap_or_else(|_| {
            let database = self.database.take();
            // It may panic again on its way out, of which no more is to be learnt.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
            let why = "the database panicked".to_owned();
            Err(DiskError::Damaged { path: self.path.clone(), why })
        })
    }

    fn reopen(&mut self) -> Result<(), DiskError> {
        if self.database.is_none() {
            let opened = builder().open(&self.path);
            self.database = Some(opened.map_err(|error| self.failed(error))?);
        }
        Ok(())
    }

    fn transact(
        &self,
        body: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), DiskError> {
        let Some(database) = &self.database else {
            let why = "it is closed after an earlier error".to_owned();
            return Err(DiskError::Damaged { path: self.path.clone(), why });
        };
        let run = || -> Result<(), redb::Error> {
            let mut write = database.begin_write()?;
            write.set_durability(Durability::Immediate)?;
            body(&write)?;
            Ok(write.commit()?)
        };
        run().map_err(|error| self.failed(error))
    }
}

fn failed(path: &Path, error: &redb::Error) -> DiskError {
    let path = path.to_owned();
    match error {
        redb::Error::Io(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
            ) =>
        {
            let free = free_bytes(&path);
            DiskError::Full { path, free }
        }
        error => DiskError::Damaged { path, why: error.to_string() },
    }
}

/// Bytes that are free on the disk of a file.
fn free_bytes(path: &Path) -> u64 {
    let disk = rustix::fs::statvfs(path);
    disk.map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn grows(batch: &Batch) -> bool {
    batch
        .iter()
        .any(|record| matches!(record, Record::Chunk(_, _, Some(_)) | Record::Head(_, Some(_))))
}

/// Heads come before the chunks of a batch, and are written after them: with the digest of all.
fn put_all(
    write: &WriteTransaction,
    batch: &[Record],
    removed_bytes: &mut u64,
) -> Result<(), redb::Error> {
    let mut digests: BTreeMap<&Id, Digest> = BTreeMap::new();
    for record in batch {
        match record {
            Record::Head(..) => {}
            Record::Chunk(id, chunk, stored) => {
                let digest = match digests.entry(id) {
                    Entry::Vacant(entry) => entry.insert(digest_of(write, id)?),
                    Entry::Occupied(entry) => entry.into_mut(),
                };
                let key = chunk_key(id, *chunk);
                let body =
                    stored.as_ref().map(|(version, bytes)| encode_chunk(&key, *version, bytes));
                let new = body.as_deref().unwrap_or_default();
                put(write, CHUNKS, &key, body.as_deref(), |old| {
                    *removed_bytes += old.len().saturating_sub(new.len()) as u64;
                    fold(digest, old);
                })?;
                fold(digest, new);
            }
            Record::Done(id, session, done) => {
                let key = done_key(id, *session);
                let body = done.as_ref().and_then(|done| encode_done(&key, done));
                put(write, DONE, &key, body.as_deref(), |_| {})?;
            }
        }
    }
    for record in batch {
        let Record::Head(id, head) = record else { continue };
        let digest = match digests.get(id) {
            Some(digest) => *digest,
            None => digest_of(write, id)?,
        };
        let key = head_key(id);
        let body = head.as_ref().map(|head| encode_head(&key, head, &digest));
        put(write, HEADS, &key, body.as_deref(), |_| {})?;
    }
    Ok(())
}

/// The digest of what is stored of a value; that of nothing where there is none.
fn digest_of(write: &WriteTransaction, id: &Id) -> Result<Digest, redb::Error> {
    let key = head_key(id);
    let table = write.open_table(HEADS)?;
    let found = table.get(key.as_slice())?.and_then(|body| decode_head(&key, body.value()));
    Ok(found.map(|(_, digest)| digest).unwrap_or_default())
}

fn put(
    write: &WriteTransaction,
    table: Bytes<'static>,
    key: &[u8],
    body: Option<&[u8]>,
    mut before: impl FnMut(&[u8]),
) -> Result<(), redb::Error> {
    let mut table = write.open_table(table)?;
    let replaced = match body {
        Some(body) => table.insert(key, body)?,
        None => table.remove(key)?,
    };
    if let Some(replaced) = replaced {
        before(replaced.value());
    }
    Ok(())
}
