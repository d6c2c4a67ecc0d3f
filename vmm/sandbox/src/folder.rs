//! Handing a folder of the host to a cell.
//!
//! A descriptor of a plain folder is a way out: native code in a cell can ask for `..` beneath it,
//! again and again, up to the host's root, and no filter sees it. So a cell gets a *detached
//! mount* of the folder instead. Its root is the folder, it hangs in no tree, so there is nothing
//! above, and what the grant forbids (writing, devices, programs) the kernel forbids.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::sys::{self, MountFlags};

/// What a cell may do beneath a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only, by the kernel's word.
    ReadOnly,
    /// Read and write, as its user may.
    ReadWrite,
}

/// Why a folder cannot be handed over.
#[derive(Debug, thiserror::Error)]
pub enum DetachError {
    /// It is not there, not a folder, or closed to this user.
    #[error("cannot open folder {path}: {source}; grant a folder that exists and is readable")]
    Open {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Making mounts needs a privilege that this process does not have.
    #[error(
        "cannot make a mount of folder {path}: {source}; run the monitor as root (CAP_SYS_ADMIN) \
         on Linux 5.12 or newer to grant folders"
    )]
    Mount {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A descriptor of the folder that leads nowhere but beneath it. What is mounted beneath the
/// folder is not part of it.
pub fn detach(path: &Path, access: Access) -> Result<OwnedFd, DetachError> {
    let open = |e: Errno| DetachError::Open { path: path.to_owned(), source: e.into() };
    let mount = |e: Errno| DetachError::Mount { path: path.to_owned(), source: e.into() };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = openat(CWD, path, flags, Mode::empty()).map_err(open)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(&folder, "", flags).map_err(mount)?;
    let flags = MountFlags { read_only: access == Access::ReadOnly };
    sys::set_mount_flags(tree.as_fd(), flags).map_err(mount)?;
    // What made the mount can only be searched. This one can be listed too, and keeps the mount.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(&tree, ".", flags, Mode::empty()).map_err(open)
}
