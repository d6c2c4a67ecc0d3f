//! Opening the database: what is whole goes to the owner, what is damaged is put aside by name.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use faaslet_state::key::SHARDS;
use faaslet_state::owner::{Head, Id, Record};
use faaslet_state::{Durability, Element, Epoch, Owner, Rule, Spec, Version};
use redb::{ReadTransaction, ReadableTable};

use super::record::{
    Digest, decode_chunk, decode_chunk_key, decode_done, decode_done_key, decode_head,
    decode_head_key, encode_head, fold, head_key, prefix,
};
use super::{
    Bytes, CHUNKS, DAMAGED, DONE, Database, Disk, DiskError, EPOCHS, FORMAT, HEADS, META,
    REMOVED_WORTH_BYTES, ReadableDatabase, RecordKey, WriteTransaction, builder, failed,
};

/// A record that is not what was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The value, where that can still be told.
    pub value: Option<Id>,
    /// What was found.
    pub what: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.value {
            Some(id) => write!(f, "{} of tenant {}: {}", id.key, id.tenant, self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// What was found when the database was read.
#[derive(Default)]
struct Found {
    damages: Vec<Damage>,
    /// Values that are not served any more, with what is known of each.
    lost: BTreeMap<Id, Option<Head>>,
    /// Single records to be put aside: table, key.
    aside: Vec<(Bytes<'static>, RecordKey)>,
}

impl Disk {
    /// Opens the database, or makes it; gives the owner what is there, and each shard a new epoch.
    pub(in crate::monitor::state) fn open(
        path: &Path,
        owner: &mut Owner,
    ) -> Result<(Self, Vec<(u16, Epoch)>, Vec<Damage>), DiskError> {
        let database = builder().create(path).map_err(|error| failed(path, &error.into()))?;
        Self::over(path, database, owner)
    }

    /// The same, of a database that is open; `path` is its name in errors.
    pub(in crate::monitor::state) fn over(
        path: &Path,
        database: Database,
        owner: &mut Owner,
    ) -> Result<(Self, Vec<(u16, Epoch)>, Vec<Damage>), DiskError> {
        let failed = |error: redb::Error| failed(path, &error);
        let removed_bytes = REMOVED_WORTH_BYTES;
        let disk = Self { path: path.to_owned(), database: Some(database), removed_bytes };
        disk.transact(make_tables)?;
        let read = disk.read().map_err(failed)?;
        let format = format_of(&read).map_err(failed)?;
        if format != FORMAT {
            return Err(DiskError::Format { path: path.to_owned(), found: format });
        }
        // The database's own checks of a page that it has not verified may panic.
        let restored = catch_unwind(AssertUnwindSafe(|| restore(&read, owner)));
        let found = restored.map_err(|_| DiskError::Damaged {
            path: path.to_owned(),
            why: "its pages are not as they were stored".to_owned(),
        })?;
        let found = found.map_err(failed)?;
        drop(read);
        let mut epochs = Vec::new();
        disk.transact(|write| {
            put_aside(write, &found)?;
            epochs = new_epochs(write)?;
            Ok(())
        })?;
        Ok((disk, epochs, found.damages))
    }

    fn read(&self) -> Result<ReadTransaction, redb::Error> {
        match &self.database {
            Some(database) => Ok(database.begin_read()?),
            None => Err(redb::Error::DatabaseAlreadyOpen),
        }
    }
}

fn make_tables(write: &WriteTransaction) -> Result<(), redb::Error> {
    for table in [HEADS, CHUNKS, DONE, DAMAGED] {
        write.open_table(table)?;
    }
    write.open_table(EPOCHS)?;
    let mut meta = write.open_table(META)?;
    if meta.get("format")?.is_none() {
        meta.insert("format", FORMAT)?;
    }
    Ok(())
}

pub(super) fn format_of(read: &ReadTransaction) -> Result<u64, redb::Error> {
    Ok(read.open_table(META)?.get("format")?.map_or(0, |format| format.value()))
}

/// The next epoch of every shard. In a file that is new it is the time, in seconds: so it is later
/// than every epoch of a file that was here before and was lost or moved away, as each of those
/// began with the time then, and a host does not start once a second for long. What other hosts
/// know of versions and tokens stays true.
fn new_epochs(write: &WriteTransaction) -> Result<Vec<(u16, Epoch)>, redb::Error> {
    let mut table = write.open_table(EPOCHS)?;
    let mut epochs = Vec::with_capacity(usize::from(SHARDS));
    #[allow(clippy::disallowed_methods, reason = "it must go on from one file to the next")]
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs());
    for shard in 0..SHARDS {
        let epoch = table.get(shard)?.map_or(clock, |last| last.value() + 1);
        table.insert(shard, epoch)?;
        epochs.push((shard, Epoch(epoch)));
    }
    Ok(epochs)
}

/// Values by name: head, digest that it has with it, digest of what was found.
type Heads = BTreeMap<Id, (Head, Digest, Digest)>;

fn restore(read: &ReadTransaction, owner: &mut Owner) -> Result<Found, redb::Error> {
    let now = Instant::now();
    let mut found = Found::default();
    let mut heads = Heads::new();
    for entry in read.open_table(HEADS)?.iter()? {
        let (key, body) = entry?;
        let (key, body) = (key.value(), body.value());
        match (decode_head_key(key), decode_head(key, body)) {
            (Some(id), Some((head, digest))) => {
                take(owner, now, Record::Head(id.clone(), Some(head)));
                heads.insert(id, (head, digest, Digest::default()));
            }
            (Some(id), None) => found.lose(id, None, "its head"),
            (None, _) => found.single(HEADS, key, "the name of a value"),
        }
    }
    restore_chunks(read, owner, now, &mut heads, &mut found)?;
    for (id, (head, stored, there)) in &heads {
        if head.whole && stored != there && !found.lost.contains_key(id) {
            found.lose(id.clone(), Some(*head), "all of its chunks");
        }
    }
    for (id, head) in &found.lost {
        take(owner, now, Record::Head(id.clone(), Some(lost_head(*head))));
    }
    restore_done(read, owner, now, &mut found)?;
    Ok(found)
}

fn restore_chunks(
    read: &ReadTransaction,
    owner: &mut Owner,
    now: Instant,
    heads: &mut Heads,
    found: &mut Found,
) -> Result<(), redb::Error> {
    for entry in read.open_table(CHUNKS)?.iter()? {
        let (key, body) = entry?;
        let (key, body) = (key.value(), body.value());
        let Some((id, chunk)) = decode_chunk_key(key) else {
            found.single(CHUNKS, key, "the name of a chunk");
            continue;
        };
        let known = heads.get_mut(&id);
        let head = known.as_ref().map(|(head, ..)| *head);
        if let Some((.., there)) = known {
            fold(there, body);
        }
        let stored = decode_chunk(key, body)
            .filter(|(version, _)| head.is_some_and(|head| *version <= head.version));
        match stored {
            Some(stored) if !found.lost.contains_key(&id) => {
                take(owner, now, Record::Chunk(id, chunk, Some(stored)));
            }
            Some(_) => {}
            None => found.lose(id, head, &format!("chunk {}", chunk.0)),
        }
    }
    Ok(())
}

fn restore_done(
    read: &ReadTransaction,
    owner: &mut Owner,
    now: Instant,
    found: &mut Found,
) -> Result<(), redb::Error> {
    for entry in read.open_table(DONE)?.iter()? {
        let (key, body) = entry?;
        let (key, body) = (key.value(), body.value());
        match (decode_done_key(key), decode_done(key, body)) {
            (Some((id, session)), Some(done)) => {
                take(owner, now, Record::Done(id, session, Some(done)));
            }
            _ => found.single(DONE, key, "the answer that is kept for a session's retries"),
        }
    }
    Ok(())
}

/// A record that was stored and is whole is one that the owner takes.
fn take(owner: &mut Owner, now: Instant, record: Record) {
    if let Err(error) = owner.restore(now, record) {
        tracing::error!(%error, "a record of state cannot be restored");
    }
}

/// The head of a value of which only the name is left.
fn lost_head(known: Option<Head>) -> Head {
    let unknown = || {
        let spec = Spec::new(Element::U8, Rule::Replace, Durability::Durable, 1).ok()?;
        Some(Head { spec, len: 0, version: Version::NONE, made: Version::NONE, whole: false })
    };
    let head = known.or_else(unknown).unwrap_or_else(|| unreachable!("a byte can be a value"));
    Head { whole: false, ..head }
}

impl Found {
    fn lose(&mut self, id: Id, head: Option<Head>, part: &str) {
        let what = format!(
            "expected {part} as it was stored; found other bytes; the value is lost until it is deleted or made anew"
        );
        self.damages.push(Damage { value: Some(id.clone()), what });
        self.lost.insert(id, head);
    }

    fn single(&mut self, table: Bytes<'static>, key: &[u8], part: &str) {
        let shown = String::from_utf8_lossy(key).replace('\0', "/");
        let what = format!("expected {part} as it was stored; found other bytes at {shown:?}");
        self.damages.push(Damage { value: None, what });
        self.aside.push((table, key.to_vec()));
    }
}

/// Moves what is damaged out of the way of what is stored later.
fn put_aside(write: &WriteTransaction, found: &Found) -> Result<(), redb::Error> {
    for (table, key) in &found.aside {
        set_aside(write, *table, key)?;
    }
    for (id, head) in &found.lost {
        let prefix = prefix(id);
        let chunks: Vec<RecordKey> = {
            let table = write.open_table(CHUNKS)?;
            let range = table.range(prefix.as_slice()..)?;
            let keys = range.map(|entry| entry.map(|(key, _)| key.value().to_vec()));
            let keys: Result<Vec<_>, _> = keys
                .take_while(|key| key.as_ref().map_or(true, |key| key.starts_with(&prefix)))
                .collect();
            keys?
        };
        for key in &chunks {
            set_aside(write, CHUNKS, key)?;
        }
        let key = head_key(id);
        set_aside(write, HEADS, &key)?;
        let head = encode_head(&key, &lost_head(*head), &Digest::default());
        write.open_table(HEADS)?.insert(key.as_slice(), head.as_slice())?;
    }
    Ok(())
}

fn set_aside(
    write: &WriteTransaction,
    table: Bytes<'static>,
    key: &[u8],
) -> Result<(), redb::Error> {
    use redb::TableHandle;
    let letter = table.name().as_bytes()[0];
    let Some(body) = write.open_table(table)?.remove(key)?.map(|body| body.value().to_vec()) else {
        return Ok(());
    };
    let named = [&[letter], key].concat();
    write.open_table(DAMAGED)?.insert(named.as_slice(), body.as_slice())?;
    Ok(())
}
