//! Files and folders: synced, free room, left-overs.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Makes the entries of a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Checks that `needed` bytes are free where `path` lies; else says how many are, and `needed`. A
/// disk that cannot be asked is taken to have room: writing to it will tell.
pub(crate) fn check_free(path: &Path, needed: u64) -> Result<(), (u64, u64)> {
    let free = free_bytes(path);
    if free < needed { Err((free, needed)) } else { Ok(()) }
}

/// Bytes free where `path` lies.
pub(crate) fn free_bytes(path: &Path) -> u64 {
    nix::sys::statvfs::statvfs(path)
        .map_or(u64::MAX, |disk| disk.blocks_available().saturating_mul(disk.fragment_size()))
}

/// Whether an error means that the disk, or the quota on it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Removes every file in a folder.
pub(crate) fn empty_folder(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// A file that is removed when dropped, unless it was renamed away.
#[derive(Debug)]
pub(crate) struct Unnamed {
    path: Option<PathBuf>,
}

impl Unnamed {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path: Some(path) }
    }

    /// Gives the file its name.
    pub(crate) fn rename(mut self, to: &Path) -> io::Result<()> {
        if let Some(path) = &self.path {
            fs::rename(path, to)?;
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // What cannot be removed now is removed when the store is opened next.
            let _left_for_later = fs::remove_file(path);
        }
    }
}
