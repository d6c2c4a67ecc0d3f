//! Files named by the BLAKE3 of their content.

use std::fmt;
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::db::{self, DbError, LABELS};
use crate::file::{self, Unnamed};
use crate::open::{Step, Store};

/// Largest plan.
pub const MAX_PLAN_BYTES: u64 = 256 << 20;
/// Largest module.
const MAX_MODULE_BYTES: u64 = 256 << 20;
/// Largest compiled artefact.
const MAX_ARTEFACT_BYTES: u64 = 2 << 30;
/// Largest image: all of a 32-bit memory and what surrounds it.
const MAX_IMAGE_BYTES: u64 = 5 << 30;
/// Read and written at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// A BLAKE3 hash; as text, 64 hex digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The hash of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        blake3::Hash::from_hex(text)
            .map(|hash| Self(*hash.as_bytes()))
            .map_err(|_| format!("{text:?} is not a hash: expected 64 hex digits"))
    }
}

impl TryFrom<String> for Hash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

/// What a file holds. Hosts know each kind by its number, which is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum BlobKind {
    /// A module as uploaded.
    Module = 0,
    /// Compiled code.
    Artefact = 1,
    /// An image.
    Image = 2,
    /// What the rewrite found out about a module.
    Plan = 3,
}

impl BlobKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Module, Self::Artefact, Self::Image, Self::Plan];

    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// The folder they lie in.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Module => "modules",
            Self::Artefact => "artefacts",
            Self::Image => "images",
            Self::Plan => "plans",
        }
    }

    /// The largest one.
    pub fn max_bytes(self) -> u64 {
        match self {
            Self::Module => MAX_MODULE_BYTES,
            Self::Artefact => MAX_ARTEFACT_BYTES,
            Self::Image => MAX_IMAGE_BYTES,
            Self::Plan => MAX_PLAN_BYTES,
        }
    }
}

impl fmt::Display for BlobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Module => "module",
            Self::Artefact => "artefact",
            Self::Image => "image",
            Self::Plan => "plan",
        })
    }
}

/// [`Store::put_blob`] failed. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// It goes on past the limit.
    #[error("the {kind} is longer than the limit of {max} bytes: send a smaller one")]
    TooLong {
        /// What it is.
        kind: BlobKind,
        /// The limit.
        max: u64,
    },
    /// Its content is not what was announced.
    #[error("the {kind} has the hash {found}, expected {expected}: send it again")]
    Mismatch {
        /// What it is.
        kind: BlobKind,
        /// Its hash.
        found: Hash,
        /// The hash that was announced.
        expected: Hash,
    },
    /// The disk is full.
    #[error(
        "no room for the {kind}: {free} bytes are free on the disk of the store; free some, or \
         collect what is unused with `faaslet gc`"
    )]
    DiskFull {
        /// What it is.
        kind: BlobKind,
        /// Bytes free when it failed.
        free: u64,
    },
    /// What it is read from failed.
    #[error("the {kind} could not be read: {source}; send it again")]
    Source {
        /// What it is.
        kind: BlobKind,
        /// Why.
        source: io::Error,
    },
    /// Writing it failed.
    #[error("the {kind} could not be written to {path}: {source}; look at the disk")]
    Write {
        /// What it is.
        kind: BlobKind,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It is not there.
    #[error("the {kind} {hash} is not in the store: deploy the function again")]
    Absent {
        /// What it is.
        kind: BlobKind,
        /// Its hash.
        hash: Hash,
    },
    /// Its content is not what its name says.
    #[error("the {kind} {hash} is damaged, its content has the hash {found}: deploy again")]
    Damaged {
        /// What it is.
        kind: BlobKind,
        /// Its name.
        hash: Hash,
        /// What its content hashes to.
        found: Hash,
    },
    /// Reading it failed.
    #[error("the {kind} {hash} cannot be read: {source}; look at the disk")]
    Read {
        /// What it is.
        kind: BlobKind,
        /// Its hash.
        hash: Hash,
        /// Why.
        source: io::Error,
    },
}

impl Store {
    /// Keeps what `reader` yields, and returns its hash once it is durable. If `expected` is given
    /// the content must have that hash. What is there already is not written twice.
    ///
    /// Until a deployment names it, a collection may take it once it is older than the rule's
    /// grace.
    pub fn put_blob(
        &self,
        kind: BlobKind,
        expected: Option<Hash>,
        reader: &mut dyn Read,
    ) -> Result<Hash, PutError> {
        let number = self.next_tmp.fetch_add(1, Ordering::Relaxed);
        let tmp = self.folder.join("tmp").join(format!("{}-{number}", kind.folder()));
        let put = Put { store: self, kind, tmp: &tmp };
        let (file, unnamed) = put.create()?;
        let (found, bytes) = put.copy(reader, &file)?;
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return Err(PutError::Mismatch { kind, found, expected });
        }
        let named = self.name_file(kind, &file, unnamed, found, bytes);
        named.map_err(|source| put.failed(source))?;
        Ok(found)
    }

    /// Gives a file its name, unless it is there already and whole, and makes that durable. A file
    /// that is there may have been named by a process that died before it synced the folder.
    pub(crate) fn name_file(
        &self,
        kind: BlobKind,
        file: &File,
        unnamed: Unnamed,
        hash: Hash,
        bytes: u64,
    ) -> io::Result<()> {
        let path = self.blob_path(kind, hash);
        // Before the lock, so that a large file holds nobody up.
        let whole = self.open_blob_checked(kind, hash).is_ok();
        if !whole {
            file.sync_all()?;
        }
        let _naming = self.hold_names();
        if !whole || !is_there(&path, bytes)? {
            file.sync_all()?;
            self.step(Step::BlobSynced);
            unnamed.rename(&path)?;
            self.step(Step::BlobRenamed);
        }
        file::sync_folder(&self.folder.join(kind.folder()))?;
        self.step(Step::BlobNamed);
        Ok(())
    }

    /// Why a file could not be written.
    pub(crate) fn write_failed(&self, kind: BlobKind, path: &Path, source: io::Error) -> PutError {
        if file::is_full(&source) {
            return PutError::DiskFull { kind, free: file::free_bytes(&self.folder) };
        }
        PutError::Write { kind, path: path.to_owned(), source }
    }

    /// Whether there is room for more of a file.
    pub(crate) fn check_room(&self, kind: BlobKind) -> Result<(), PutError> {
        let needed = self.options.min_free_bytes + self.options.reserve_bytes;
        file::check_free(&self.folder, needed)
            .map_err(|(free, _)| PutError::DiskFull { kind, free })
    }

    /// Where a file lies, or would.
    pub fn blob_path(&self, kind: BlobKind, hash: Hash) -> PathBuf {
        self.folder.join(kind.folder()).join(hash.to_string())
    }

    /// Whether a file is there.
    pub fn has_blob(&self, kind: BlobKind, hash: Hash) -> bool {
        self.blob_path(kind, hash).is_file()
    }

    /// Opens a file for reading. Its content is not checked.
    pub fn open_blob(&self, kind: BlobKind, hash: Hash) -> Result<File, BlobError> {
        File::open(self.blob_path(kind, hash)).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => BlobError::Absent { kind, hash },
            _ => BlobError::Read { kind, hash, source },
        })
    }

    /// Opens a file for reading after its content was compared with its name. The position is at
    /// its start.
    pub fn open_blob_checked(&self, kind: BlobKind, hash: Hash) -> Result<File, BlobError> {
        let mut file = self.open_blob(kind, hash)?;
        let read = |source| BlobError::Read { kind, hash, source };
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = file.read(&mut buffer).map_err(read)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
        }
        let found = Hash(*hasher.finalize().as_bytes());
        if found != hash {
            return Err(BlobError::Damaged { kind, hash, found });
        }
        io::Seek::rewind(&mut file).map_err(read)?;
        Ok(file)
    }

    /// Remembers a file under another name than its content's: an artefact by what it was compiled
    /// from and for, an image by its recipe or by its id. The label goes when the file does.
    pub fn set_label(&self, kind: BlobKind, label: Hash, blob: Hash) -> Result<(), DbError> {
        self.db.write(|write| Ok(Ok(db::put(write, LABELS, &blob_key(kind, label), &blob)?)))
    }

    /// The file with that label, if it is still there.
    pub fn by_label(&self, kind: BlobKind, label: Hash) -> Result<Option<Hash>, DbError> {
        let blob: Option<Hash> = self
            .db
            .read::<_, DbError>(|read| Ok(Ok(db::get(read, LABELS, &blob_key(kind, label))?)))?;
        Ok(blob.filter(|blob| self.has_blob(kind, *blob)))
    }

    /// All files of a kind with their sizes, by hash.
    pub fn blobs(&self, kind: BlobKind) -> io::Result<Vec<(Hash, u64)>> {
        let mut blobs = Vec::new();
        for entry in fs::read_dir(self.folder.join(kind.folder()))? {
            let entry = entry?;
            if let Some(hash) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                blobs.push((hash, entry.metadata()?.len()));
            }
        }
        blobs.sort_unstable();
        Ok(blobs)
    }
}

/// The key under which a label or a pin of that kind lies.
pub(crate) fn blob_key(kind: BlobKind, hash: Hash) -> String {
    format!("{}/{hash}", kind.folder())
}

/// One file on its way in.
struct Put<'a> {
    store: &'a Store,
    kind: BlobKind,
    tmp: &'a Path,
}

impl Put<'_> {
    fn failed(&self, source: io::Error) -> PutError {
        self.store.write_failed(self.kind, self.tmp, source)
    }

    fn check_room(&self) -> Result<(), PutError> {
        self.store.check_room(self.kind)
    }

    fn create(&self) -> Result<(File, Unnamed), PutError> {
        self.check_room()?;
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o400).open(self.tmp);
        let file = file.map_err(|source| self.failed(source))?;
        self.store.step(Step::BlobCreated);
        Ok((file, Unnamed::new(self.tmp.to_owned())))
    }

    /// Copies the content, and returns its hash and length.
    fn copy(&self, reader: &mut dyn Read, mut file: &File) -> Result<(Hash, u64), PutError> {
        let (kind, max) = (self.kind, self.kind.max_bytes());
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut bytes = 0;
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(PutError::Source { kind, source }),
            };
            bytes += count as u64;
            if bytes > max {
                return Err(PutError::TooLong { kind, max });
            }
            self.check_room()?;
            hasher.update(&buffer[..count]);
            file.write_all(&buffer[..count]).map_err(|source| self.failed(source))?;
        }
        self.store.step(Step::BlobWritten);
        Ok((Hash(*hasher.finalize().as_bytes()), bytes))
    }
}

/// Whether a file of that length is there; if so it counts as new for the collection.
fn is_there(path: &Path, bytes: u64) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() != bytes {
        return Ok(false);
    }
    #[allow(clippy::disallowed_methods, reason = "the date of a file says how old it is")]
    let now = SystemTime::now();
    file.set_times(FileTimes::new().set_modified(now))?;
    Ok(true)
}
