//! Opening the folder: one monitor at a time, the schema it knows, no left-overs.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{DatabaseError, StorageError};

use crate::blob::BlobKind;
use crate::db::{self, Db, DbError, META};
use crate::{file, partial};

/// The version of the records that this release reads and writes.
pub const SCHEMA: u64 = 1;

/// Bytes kept free on the disk unless said otherwise, so that the database can always commit.
const MIN_FREE_BYTES: u64 = 4 << 20;

/// Bytes beside that which files leave free for records unless said otherwise, so that nobody's
/// uploads keep the operator from adding a tenant or a function from being changed.
const RESERVE_BYTES: u64 = 16 << 20;

/// Longest text in the lock file that is read.
const MAX_PID_BYTES: u64 = 32;

/// A point in a write at which a crash must do no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A file was made under `tmp/`.
    BlobCreated,
    /// Its content is written.
    BlobWritten,
    /// Its content is on disk.
    BlobSynced,
    /// It has its name.
    BlobRenamed,
    /// Its name is on disk.
    BlobNamed,
    /// Records are written, not yet committed.
    RecordsWritten,
    /// The transaction is on disk; nobody has heard of it.
    RecordsCommitted,
    /// A collection has removed records, not yet files.
    GcCommitted,
    /// A collection has removed one file.
    GcRemoved,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::BlobCreated,
        Self::BlobWritten,
        Self::BlobSynced,
        Self::BlobRenamed,
        Self::BlobNamed,
        Self::RecordsWritten,
        Self::RecordsCommitted,
        Self::GcCommitted,
        Self::GcRemoved,
    ];
}

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Writes are refused when less is free on the disk.
    pub min_free_bytes: u64,
    /// Files are refused when less than this is free beside that.
    pub reserve_bytes: u64,
    /// Told of each step of a write; crash tests end the process there.
    pub at_step: fn(Step),
}

impl Default for Options {
    fn default() -> Self {
        Self { min_free_bytes: MIN_FREE_BYTES, reserve_bytes: RESERVE_BYTES, at_step: |_| {} }
    }
}

/// The monitor's folder, open. One at a time, over all processes.
#[derive(Debug)]
pub struct Store {
    pub(crate) folder: PathBuf,
    pub(crate) db: Db,
    pub(crate) options: Options,
    /// Held by whoever names files in records, and by the collection while it removes files.
    naming: Mutex<()>,
    pub(crate) next_tmp: AtomicU64,
    /// Invariant: locked for as long as the store is open.
    _lock: File,
}

/// [`Store::open`] failed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another monitor uses the folder.
    #[error("{folder} is in use by process {pid}: stop it first, or use another folder with --dir")]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// The process, or `?`.
        pid: String,
    },
    /// The folder cannot be made or written.
    #[error("cannot use {folder} for the store: {source}; give a folder that can be written")]
    NotWritable {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The records are of an older release.
    #[error(
        "the store in {folder} has schema {found}, expected {SCHEMA}: this release cannot read it; \
         go on with the release that wrote it, or deploy your functions anew into another folder \
         with --dir"
    )]
    Older {
        /// The folder.
        folder: PathBuf,
        /// Schema found.
        found: u64,
    },
    /// The records are of a newer release.
    #[error(
        "the store in {folder} has schema {found}, this release knows {SCHEMA} at most: use the \
         release that wrote it, or a newer one"
    )]
    Newer {
        /// The folder.
        folder: PathBuf,
        /// Schema found.
        found: u64,
    },
    /// The database is damaged.
    #[error("{path} cannot be opened as the database of a store: {reason}; restore it from a copy")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The database could not be made or read.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl Store {
    /// Opens the store in a folder, making it if it is not there.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        Self::open_with(folder, Options::default())
    }

    /// [`open`](Self::open) with options.
    pub fn open_with(folder: &Path, options: Options) -> Result<Self, OpenError> {
        let not_writable = |source| OpenError::NotWritable { folder: folder.to_owned(), source };
        make_folder(folder).map_err(not_writable)?;
        let lock = lock(folder)?;
        let tmp = folder.join("tmp");
        for part in BlobKind::ALL.map(BlobKind::folder).into_iter().chain(["tmp", partial::FOLDER])
        {
            make_folder(&folder.join(part)).map_err(not_writable)?;
        }
        file::empty_folder(&tmp).map_err(not_writable)?;
        partial::drop_old(folder).map_err(not_writable)?;
        file::sync_folder(folder).map_err(not_writable)?;
        let db = open_database(folder, &tmp, options.min_free_bytes)?;
        Ok(Self {
            folder: folder.to_owned(),
            db,
            options,
            naming: Mutex::new(()),
            next_tmp: AtomicU64::new(0),
            _lock: lock,
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps the collection from removing files while a record is made to name them.
    pub(crate) fn hold_names(&self) -> MutexGuard<'_, ()> {
        self.naming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn step(&self, step: Step) {
        (self.options.at_step)(step);
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Takes the folder's lock and leaves our pid in it. It is given back with the file.
///
/// # Errors
/// `Locked`, and `NotWritable` where there is no such folder.
pub fn lock(folder: &Path) -> Result<File, OpenError> {
    let not_writable = |source| OpenError::NotWritable { folder: folder.to_owned(), source };
    let path = folder.join("lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut lock = options.open(path).map_err(not_writable)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(OpenError::Locked { folder: folder.to_owned(), pid: pid_in(&lock) });
        }
        Err(TryLockError::Error(source)) => return Err(not_writable(source)),
    }
    lock.set_len(0).map_err(not_writable)?;
    writeln!(lock, "{}", std::process::id()).map_err(not_writable)?;
    Ok(lock)
}

fn pid_in(lock: &File) -> String {
    let mut text = String::new();
    let read = lock.take(MAX_PID_BYTES).read_to_string(&mut text);
    let pid = text.trim();
    let known = read.is_ok() && !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
    if known { pid.to_owned() } else { "?".to_owned() }
}

/// Opens the database; a new one is made under `tmp` first, so that it is whole or absent.
fn open_database(folder: &Path, tmp: &Path, min_free_bytes: u64) -> Result<Db, OpenError> {
    let path = folder.join("faaslet.redb");
    let not_writable = |source| OpenError::NotWritable { folder: folder.to_owned(), source };
    if !path.try_exists().map_err(not_writable)? {
        let new = tmp.join("new.redb");
        Db::create(&new, SCHEMA)?;
        fs::rename(&new, &path).map_err(not_writable)?;
        file::sync_folder(folder).map_err(not_writable)?;
    }
    let db = Db::open(&path, min_free_bytes).map_err(|error| damaged(folder, &path, &error))?;
    let found: Option<u64> =
        db.read::<_, DbError>(|read| Ok(Ok(db::get(read, META, "schema")?))).map_err(|error| {
            OpenError::Damaged { path: path.clone(), reason: error.to_string() }
        })?;
    let folder = folder.to_owned();
    match found {
        Some(SCHEMA) => Ok(db),
        Some(found) if found > SCHEMA => Err(OpenError::Newer { folder, found }),
        found => Err(OpenError::Older { folder, found: found.unwrap_or(0) }),
    }
}

fn damaged(folder: &Path, path: &Path, error: &DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::Locked { folder: folder.to_owned(), pid: "?".to_owned() }
        }
        DatabaseError::Storage(StorageError::Io(error)) if file::is_full(error) => {
            let free = file::free_bytes(folder);
            OpenError::Db(DbError::DiskFull { free, needed: MIN_FREE_BYTES })
        }
        _ => OpenError::Damaged { path: path.to_owned(), reason: error.to_string() },
    }
}
