//! Files under way from other hosts: what arrived stays, over a restart too.
//!
//! A file under way is `partial/KIND-HASH`, of its final length, with holes. Nothing beside it says
//! which pieces are there: each is checked against the outline when the transfer goes on, so there
//! is no record that a crash could tear. When the last piece is there the file gets its name.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::blob::{BlobKind, PutError};
use crate::file::Unnamed;
use crate::open::Store;
use crate::outline::{Outline, PIECE_BYTES};

/// Where they lie.
pub(crate) const FOLDER: &str = "partial";
/// How long one is kept that nobody goes on with.
const KEPT: Duration = Duration::from_hours(24);

/// A file under way. Its pieces may be put by several threads.
#[derive(Debug)]
pub struct Partial {
    kind: BlobKind,
    outline: Outline,
    path: PathBuf,
    file: File,
}

impl Store {
    /// Begins a file or goes on with one. Only one at a time of the same file.
    ///
    /// # Errors
    /// When it is too long, or there is no room for it.
    pub fn partial(&self, kind: BlobKind, outline: Outline) -> Result<Partial, PutError> {
        let max = kind.max_bytes();
        if outline.bytes() > max {
            return Err(PutError::TooLong { kind, max });
        }
        let name = format!("{}-{}", kind.folder(), outline.hash());
        let path = self.folder.join(FOLDER).join(name);
        let failed = |source| self.write_failed(kind, &path, source);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(failed)?;
        file.set_len(outline.bytes()).map_err(failed)?;
        Ok(Partial { kind, outline, path, file })
    }

    /// Puts a piece where it belongs. False, and nothing is written, when it is another.
    ///
    /// # Errors
    /// When the disk is full or fails; if it is full, what is there of the file goes.
    pub fn put_piece(&self, to: &Partial, piece: u32, bytes: &[u8]) -> Result<bool, PutError> {
        if !to.outline.fits(piece, bytes) {
            return Ok(false);
        }
        let written = self.check_room(to.kind).and_then(|()| {
            let written = to.file.write_all_at(bytes, to.outline.place(piece).0);
            written.map_err(|source| self.write_failed(to.kind, &to.path, source))
        });
        if let Err(PutError::DiskFull { .. }) = &written {
            // So that others have room again; what cannot be finished is of no use.
            let _ = fs::remove_file(&to.path);
        }
        written.map(|()| true)
    }

    /// Gives a file that is whole its name. Durable when this returns.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn finish(&self, partial: Partial) -> Result<(), PutError> {
        let Partial { kind, outline, path, file } = partial;
        let failed = |source| self.write_failed(kind, &path, source);
        file.set_permissions(Permissions::from_mode(0o400)).map_err(failed)?;
        let unnamed = Unnamed::new(path.clone());
        self.name_file(kind, &file, unnamed, outline.hash(), outline.bytes()).map_err(failed)
    }
}

impl Partial {
    /// Pieces that are not there; reads what is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn missing(&self) -> io::Result<Vec<u32>> {
        let (mut missing, mut piece) = (Vec::new(), vec![0; PIECE_BYTES]);
        let any = self.file.metadata()?;
        if std::os::unix::fs::MetadataExt::blocks(&any) == 0 {
            return Ok((0..self.outline.pieces()).collect());
        }
        for number in 0..self.outline.pieces() {
            let (at, bytes) = self.outline.place(number);
            self.file.read_exact_at(&mut piece[..bytes], at)?;
            if !self.outline.fits(number, &piece[..bytes]) {
                missing.push(number);
            }
        }
        Ok(missing)
    }

    /// What kind of file it is.
    pub fn kind(&self) -> BlobKind {
        self.kind
    }

    /// What the whole file is.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }
}

/// Removes files under way that nobody has gone on with.
pub(crate) fn drop_old(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder.join(FOLDER))? {
        let entry = entry?;
        #[allow(clippy::disallowed_methods, reason = "the date of a file says how old it is")]
        let age = SystemTime::now().duration_since(entry.metadata()?.modified()?);
        if age.is_ok_and(|age| age > KEPT) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
