//! Files of the host, reached only beneath a granted folder.
//!
//! What it is: the few operations that take a path, on `cap-std`, whose every resolution is one
//! `openat2` with `RESOLVE_BENEATH`: no `..`, absolute path or symbolic link leaves the folder.
//! What it is not: a check of its own, or a way to an ambient path; neither `/proc` nor plain
//! `openat` is needed.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _, OpenOptionsSyncExt as _};
use cap_std::fs::{Dir, FileTypeExt as _, Metadata, MetadataExt as _, OpenOptions};
use cap_std::fs::{FileType, OpenOptionsExt as _};
use rustix::fs::{AtFlags, OFlags, Timespec, Timestamps, futimens, utimensat};

use crate::abi::{Errno, Filetype, oflags};
use crate::config::Config;
use crate::errno;
use crate::open_files::{Mode, Opened};
use crate::table::{Descriptor, From, OpenDir, OpenedFile, Place};

/// How a path is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// `oflags` of the standard.
    pub(crate) oflags: u16,
    /// A symbolic link at the end of the path is followed.
    pub(crate) follow: bool,
    pub(crate) mode: Mode,
}

/// What was opened.
#[derive(Debug)]
pub(crate) enum Entry {
    Dir(Dir),
    File(File, Filetype),
}

/// Opens `path`. The mode comes back as it is: creating or truncating opens for writing, and
/// what is not opened for writing is opened for reading.
pub(crate) fn open(from: &From, path: &str, how: How) -> Result<(Entry, Mode), Errno> {
    let flag = |bit| how.oflags & bit != 0;
    if flag(oflags::DIRECTORY) && how.oflags != oflags::DIRECTORY {
        return Err(Errno::Inval);
    }
    let changes = flag(oflags::CREAT) || flag(oflags::TRUNC);
    let mode = Mode {
        read: how.mode.read || !how.mode.write,
        write: how.mode.write || changes,
        ..how.mode
    };
    if mode.write {
        from.writable()?;
    }
    let mut options = options(mode, how.follow);
    options.truncate(flag(oflags::TRUNC));
    if flag(oflags::CREAT) {
        options.create(true).create_new(flag(oflags::EXCL));
    }
    let entry = open_with(&from.dir, path, &options).map_err(|error| errno::from_io(&error))?;
    match entry {
        Entry::File(..) if flag(oflags::DIRECTORY) => Err(Errno::Notdir),
        entry => Ok((entry, mode)),
    }
}

/// Options that never wait (for the other end of a pipe) and never take a terminal over.
fn options(mode: Mode, follow: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(mode.read).write(mode.write).nonblock(true);
    options.custom_flags(OFlags::NOCTTY.bits().cast_signed());
    options.follow(if follow { FollowSymlinks::Yes } else { FollowSymlinks::No });
    options
}

fn open_with(dir: &Dir, path: &str, options: &OpenOptions) -> io::Result<Entry> {
    let file = dir.open_with(path, options)?.into_std();
    let filetype = filetype(Metadata::from_file(&file)?.file_type());
    Ok(match filetype {
        Filetype::Directory => Entry::Dir(Dir::from_std_file(file)),
        _ => Entry::File(file, filetype),
    })
}

/// Opens the entries of `dir`, with a position of their own.
pub(crate) fn entries(dir: &Dir) -> io::Result<rustix::fs::Dir> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlags::DIRECTORY.bits().cast_signed());
    let file = dir.open_with(".", &options)?.into_std();
    Ok(rustix::fs::Dir::new(file)?)
}

/// Opens again what was open when an image was baked. Nothing is created or truncated.
pub(crate) fn reopen(config: &Config, what: &Opened) -> Result<Descriptor, Errno> {
    let Opened::Beneath { folder, path, mode, directory, offset } = what else {
        return Err(Errno::Badf);
    };
    let (index, granted) = config.folder(folder).ok_or(Errno::Badf)?;
    if mode.write && granted.read_only {
        return Err(Errno::Perm);
    }
    let place = Place { folder: index, path: Some(path.clone()), read_only: granted.read_only };
    match (again(&granted.dir, path, *mode)?, directory) {
        (Entry::Dir(dir), true) => {
            let dir = Arc::new(dir);
            Ok(Descriptor::Dir(OpenDir { dir, place, mode: *mode, listing: None }))
        }
        (Entry::File(file, filetype), false) => {
            Ok(Descriptor::File(OpenedFile { file, filetype, place, mode: *mode, offset: *offset }))
        }
        (Entry::Dir(_), false) => Err(Errno::Isdir),
        (Entry::File(..), true) => Err(Errno::Notdir),
    }
}

/// Opens `path` as it was opened before.
pub(crate) fn again(dir: &Dir, path: &str, mode: Mode) -> Result<Entry, Errno> {
    open_with(dir, path, &options(mode, true)).map_err(|error| errno::from_io(&error))
}

/// Sets times (nanoseconds since 1970; `None` leaves one as it is) of what `path` names, through
/// a descriptor that needs no right on it.
pub(crate) fn set_times_at(dir: &Dir, path: &str, follow: bool, times: Times) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlags::PATH.bits().cast_signed());
    options.follow(if follow { FollowSymlinks::Yes } else { FollowSymlinks::No });
    let file = dir.open_with(path, &options)?;
    Ok(utimensat(&file, "", &times.for_host(), AtFlags::EMPTY_PATH)?)
}

/// Sets times of an open file or directory.
pub(crate) fn set_times(file: impl rustix::fd::AsFd, times: Times) -> io::Result<()> {
    Ok(futimens(file, &times.for_host())?)
}

/// Times of access and of change to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) accessed_ns: Option<u64>,
    pub(crate) modified_ns: Option<u64>,
}

impl Times {
    fn for_host(self) -> Timestamps {
        Timestamps {
            last_access: timespec(self.accessed_ns),
            last_modification: timespec(self.modified_ns),
        }
    }
}

fn timespec(ns: Option<u64>) -> Timespec {
    const NS_PER_S: u64 = 1_000_000_000;
    match ns {
        Some(ns) => Timespec {
            tv_sec: (ns / NS_PER_S).cast_signed(),
            tv_nsec: (ns % NS_PER_S).cast_signed(),
        },
        None => Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
    }
}

/// `filetype` of the standard. It has none for pipes, and sockets have no meaning here.
pub(crate) fn filetype(host: FileType) -> Filetype {
    if host.is_file() {
        Filetype::RegularFile
    } else if host.is_dir() {
        Filetype::Directory
    } else if host.is_symlink() {
        Filetype::SymbolicLink
    } else if host.is_char_device() {
        Filetype::CharacterDevice
    } else if host.is_block_device() {
        Filetype::BlockDevice
    } else {
        Filetype::Unknown
    }
}

/// The number that tells files apart: over all granted folders, without giving away the host's.
pub(crate) fn inode(meta: &Metadata) -> u64 {
    let mut hasher = DefaultHasher::new();
    (meta.dev(), meta.ino()).hash(&mut hasher);
    hasher.finish()
}
