//! The embedded database: tables, JSON records, and getting well after a failed write.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::{
    Builder, CommitError, Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase,
    ReadableTable, StorageError, TableDefinition, TableError, TransactionError, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::file;

pub(crate) type Records<'a> = TableDefinition<'a, &'static str, &'static [u8]>;
type Table<'t> = redb::Table<'t, &'static str, &'static [u8]>;

/// `"schema"` → version, as JSON.
pub(crate) const META: Records<'_> = TableDefinition::new("meta");
/// Tenant → record.
pub(crate) const TENANTS: Records<'_> = TableDefinition::new("tenants");
/// BLAKE3 of a token, hex → record.
pub(crate) const TOKENS: Records<'_> = TableDefinition::new("tokens");
/// `tenant/name` → record.
pub(crate) const FUNCTIONS: Records<'_> = TableDefinition::new("functions");
/// `tenant/name/VERSION` (20 digits) → record.
pub(crate) const VERSIONS: Records<'_> = TableDefinition::new("versions");
/// `tenant/name` → environment and secrets.
pub(crate) const SETTINGS: Records<'_> = TableDefinition::new("settings");
/// `folder/label` (hex) → hash of the file.
pub(crate) const LABELS: Records<'_> = TableDefinition::new("labels");

/// `folder/HASH` → true: a file kept although no version names it.
pub(crate) const PINS: Records<'_> = TableDefinition::new("pins");

const TABLES: [Records<'_>; 8] =
    [META, TENANTS, TOKENS, FUNCTIONS, VERSIONS, SETTINGS, LABELS, PINS];

/// The database failed or refused.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// Too little room is left on the disk.
    #[error(
        "{free} bytes are free on the disk of the store, expected at least {needed}: free some, or \
         collect what is unused with `faaslet gc`"
    )]
    DiskFull {
        /// Bytes free.
        free: u64,
        /// Bytes that must be free.
        needed: u64,
    },
    /// The database reported an error.
    #[error("the database of the store failed: {0}; look at the disk, then try again")]
    Failed(String),
    /// A record cannot be read.
    #[error(
        "the record {key:?} of the table {table:?} cannot be read: {reason}; restore the store \
         from a copy"
    )]
    Record {
        /// Table.
        table: String,
        /// Key.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

macro_rules! failed_from {
    ($($error:ty),*) => {$(
        impl From<$error> for DbError {
            fn from(error: $error) -> Self {
                Self::of(&redb::Error::from(error))
            }
        }
    )*};
}
failed_from!(StorageError, TableError, TransactionError, CommitError, DatabaseError);

impl DbError {
    fn of(error: &redb::Error) -> Self {
        match error {
            redb::Error::Io(error) if file::is_full(error) => Self::DiskFull { free: 0, needed: 1 },
            error => Self::Failed(error.to_string()),
        }
    }
}

/// The outcome of a transaction: the database failed, or the caller's own refusal, or a value.
pub(crate) type Outcome<T, E> = Result<Result<T, E>, DbError>;

/// The open database.
#[derive(Debug)]
pub(crate) struct Db {
    path: PathBuf,
    min_free_bytes: u64,
    /// Invariant: `None` only after a failed write, until it could be opened again.
    open: RwLock<Option<Database>>,
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_check_integrity_on_open(true);
    builder
}

impl Db {
    /// Opens an existing database.
    pub(crate) fn open(path: &Path, min_free_bytes: u64) -> Result<Self, DatabaseError> {
        let open = RwLock::new(Some(builder().open(path)?));
        Ok(Self { path: path.to_owned(), min_free_bytes, open })
    }

    /// Makes a database with all tables and a schema version, whole on disk when this returns.
    pub(crate) fn create(path: &Path, schema: u64) -> Result<(), DbError> {
        let database = builder().create(path)?;
        let write = begin(&database)?;
        for table in TABLES {
            write.open_table(table)?;
        }
        put(&write, META, "schema", &schema)?;
        write.commit()?;
        Ok(database.close()?)
    }

    /// Runs a read transaction.
    pub(crate) fn read<T, E: From<DbError>>(
        &self,
        body: impl FnOnce(&ReadTransaction) -> Outcome<T, E>,
    ) -> Result<T, E> {
        self.reopen_if_closed()?;
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = open.as_ref() else { return Err(closed().into()) };
        let read = database.begin_read().map_err(DbError::from)?;
        body(&read)?
    }

    /// Runs a write transaction and commits it durably, unless `body` refuses.
    pub(crate) fn write<T, E: From<DbError>>(
        &self,
        body: impl FnOnce(&WriteTransaction) -> Outcome<T, E>,
    ) -> Result<T, E> {
        file::check_free(&self.path, self.min_free_bytes)
            .map_err(|(free, needed)| DbError::DiskFull { free, needed })?;
        self.write_to_free(body)
    }

    /// [`write`](Self::write) of what helps to make room, from the room that `write` leaves.
    pub(crate) fn write_to_free<T, E: From<DbError>>(
        &self,
        body: impl FnOnce(&WriteTransaction) -> Outcome<T, E>,
    ) -> Result<T, E> {
        self.reopen_if_closed()?;
        let outcome = self.transact(body);
        if matches!(outcome, Err(DbError::Failed(_) | DbError::DiskFull { .. })) {
            // A database that met an I/O error answers nothing until it is opened anew.
            *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
            self.reopen_if_closed()?;
        }
        outcome?
    }

    fn transact<T, E>(
        &self,
        body: impl FnOnce(&WriteTransaction) -> Outcome<T, E>,
    ) -> Outcome<T, E> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let database = open.as_ref().ok_or_else(closed)?;
        let write = begin(database)?;
        let done = match body(&write)? {
            Ok(done) => done,
            Err(refusal) => {
                write.abort()?;
                return Ok(Err(refusal));
            }
        };
        write.commit()?;
        Ok(Ok(done))
    }

    fn reopen_if_closed(&self) -> Result<(), DbError> {
        if self.open.read().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() {
            *open = Some(builder().open(&self.path)?);
        }
        Ok(())
    }
}

fn closed() -> DbError {
    DbError::Failed("it is closed after an earlier error".to_owned())
}

fn begin(database: &Database) -> Result<WriteTransaction, DbError> {
    let mut write = database.begin_write()?;
    write
        .set_durability(Durability::Immediate)
        .map_err(|error| DbError::Failed(error.to_string()))?;
    Ok(write)
}

/// Either kind of transaction, for reading a record.
pub(crate) trait Source {
    /// Calls `body` with the table.
    fn with<T>(
        &self,
        table: Records<'_>,
        body: impl FnOnce(&dyn Lookup) -> Result<T, DbError>,
    ) -> Result<T, DbError>;
}

type Each<'a> = dyn FnMut(&str, &[u8]) -> Result<bool, DbError> + 'a;

/// What reading needs of a table.
pub(crate) trait Lookup {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, DbError>;
    /// Calls `each` with the records from key `low` on, by key, until it says false.
    fn scan(&self, low: &str, each: &mut Each<'_>) -> Result<(), DbError>;
}

impl<T: ReadableTable<&'static str, &'static [u8]>> Lookup for T {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, DbError> {
        Ok(ReadableTable::get(self, key)?.map(|value| value.value().to_vec()))
    }

    fn scan(&self, low: &str, each: &mut Each<'_>) -> Result<(), DbError> {
        for entry in self.range::<&str>((Bound::Included(low), Bound::Unbounded))? {
            let (key, value) = entry?;
            if !each(key.value(), value.value())? {
                break;
            }
        }
        Ok(())
    }
}

impl Source for ReadTransaction {
    fn with<T>(
        &self,
        table: Records<'_>,
        body: impl FnOnce(&dyn Lookup) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        body(&self.open_table(table)?)
    }
}

impl Source for WriteTransaction {
    fn with<T>(
        &self,
        table: Records<'_>,
        body: impl FnOnce(&dyn Lookup) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        body(&self.open_table(table)?)
    }
}

fn parse<T: DeserializeOwned>(table: Records<'_>, key: &str, json: &[u8]) -> Result<T, DbError> {
    serde_json::from_slice(json).map_err(|error| DbError::Record {
        table: redb::TableHandle::name(&table).to_owned(),
        key: key.to_owned(),
        reason: error.to_string(),
    })
}

/// The record of a key, if there is one.
pub(crate) fn get<T: DeserializeOwned>(
    source: &impl Source,
    table: Records<'_>,
    key: &str,
) -> Result<Option<T>, DbError> {
    let json = source.with(table, |records| records.get(key))?;
    json.map(|json| parse(table, key, &json)).transpose()
}

/// All records whose keys begin with `prefix`, by key.
pub(crate) fn list<T: DeserializeOwned>(
    source: &impl Source,
    table: Records<'_>,
    prefix: &str,
) -> Result<Vec<(String, T)>, DbError> {
    source.with(table, |records| {
        let mut found = Vec::new();
        records.scan(prefix, &mut |key, json| {
            let ours = key.starts_with(prefix);
            if ours {
                found.push((key.to_owned(), parse(table, key, json)?));
            }
            Ok(ours)
        })?;
        Ok(found)
    })
}

/// Sets the record of a key.
pub(crate) fn put<T: Serialize>(
    write: &WriteTransaction,
    table: Records<'_>,
    key: &str,
    record: &T,
) -> Result<(), DbError> {
    let json = serde_json::to_vec(record).map_err(|error| DbError::Record {
        table: redb::TableHandle::name(&table).to_owned(),
        key: key.to_owned(),
        reason: error.to_string(),
    })?;
    let mut records: Table<'_> = write.open_table(table)?;
    records.insert(key, json.as_slice())?;
    Ok(())
}

/// Removes the record of a key; says whether there was one.
pub(crate) fn remove(
    write: &WriteTransaction,
    table: Records<'_>,
    key: &str,
) -> Result<bool, DbError> {
    let mut records: Table<'_> = write.open_table(table)?;
    Ok(records.remove(key)?.is_some())
}

/// Removes all records whose keys begin with `prefix`.
pub(crate) fn remove_all(
    write: &WriteTransaction,
    table: Records<'_>,
    prefix: &str,
) -> Result<(), DbError> {
    let keys = write.with(table, |records| {
        let mut keys = Vec::new();
        records.scan(prefix, &mut |key, _| {
            let ours = key.starts_with(prefix);
            if ours {
                keys.push(key.to_owned());
            }
            Ok(ours)
        })?;
        Ok(keys)
    })?;
    for key in keys {
        remove(write, table, &key)?;
    }
    Ok(())
}
