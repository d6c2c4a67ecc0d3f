//! The entries of a directory, read on from where the guest stopped.
//!
//! A cookie is the index of an entry: 0 is `.`, 1 is `..`, then the host's order. A guest that
//! goes on with the cookie it was given last is served from the open listing; any other cookie
//! starts over and skips.

use std::ffi::CString;
use std::io;
use std::sync::Arc;

use cap_std::fs::{Dir, Metadata};
use rustix::fs::Dir as HostListing;

use crate::abi::{Errno, Filetype};
use crate::host;

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirEntry {
    pub(crate) inode: u64,
    pub(crate) filetype: Filetype,
    pub(crate) name: String,
}

/// An open listing.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The directory's own number, for `.` and `..`.
    inode: u64,
    dir: Arc<Dir>,
    entries: HostListing,
    /// Cookie of the entry that comes next.
    next: u64,
    /// That entry, when it was read but not taken.
    peeked: Option<DirEntry>,
}

impl Listing {
    /// Starts over at `.`.
    pub(crate) fn open(dir: Arc<Dir>) -> io::Result<Self> {
        let inode = host::inode(&dir.dir_metadata()?);
        let entries = host::entries(&dir)?;
        Ok(Self { inode, dir, entries, next: 0, peeked: None })
    }

    /// Cookie of the entry that comes next.
    pub(crate) fn position(&self) -> u64 {
        self.next
    }

    /// Moves on to `cookie`, or to the end.
    pub(crate) fn skip_to(&mut self, cookie: u64) -> Result<(), Errno> {
        while self.next < cookie && (self.next < 2 || self.read_name()?.is_some()) {
            self.next += 1;
        }
        Ok(())
    }

    /// The entry that comes next, if any.
    pub(crate) fn peek(&mut self) -> Result<Option<&DirEntry>, Errno> {
        if self.peeked.is_none() {
            self.peeked = match self.next {
                0 => Some(self.own(".")),
                1 => Some(self.own("..")),
                _ => self.read()?,
            };
        }
        Ok(self.peeked.as_ref())
    }

    /// Takes the entry that [`Listing::peek`] showed.
    pub(crate) fn advance(&mut self) {
        self.peeked = None;
        self.next += 1;
    }

    fn own(&self, name: &str) -> DirEntry {
        DirEntry { inode: self.inode, filetype: Filetype::Directory, name: name.to_owned() }
    }

    /// The host's next entry that is still there.
    fn read(&mut self) -> Result<Option<DirEntry>, Errno> {
        while let Some(name) = self.read_name()? {
            let name = name.to_str().map_err(|_| Errno::Ilseq)?;
            match self.dir.symlink_metadata(name) {
                Ok(meta) => return Ok(Some(named(&meta, name))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(crate::errno::from_io(&error)),
            }
        }
        Ok(None)
    }

    /// The host's next name, be it still there or not.
    fn read_name(&mut self) -> Result<Option<CString>, Errno> {
        while let Some(entry) = self.entries.read() {
            let entry = entry.map_err(|error| crate::errno::from_io(&error.into()))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                return Ok(Some(entry.file_name().to_owned()));
            }
        }
        Ok(None)
    }
}

fn named(meta: &Metadata, name: &str) -> DirEntry {
    let filetype = host::filetype(meta.file_type());
    DirEntry { inode: host::inode(meta), filetype, name: name.to_owned() }
}
