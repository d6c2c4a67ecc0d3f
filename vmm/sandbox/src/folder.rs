//! Handing a folder of the host to a cell.
//!
//! A descriptor of a plain folder is a way out: native code in a cell can ask for `..` beneath it,
//! again and again, up to the host's root, and no filter sees it. So a cell gets a *detached
//! mount* of the folder instead. Its root is the folder, it hangs in no tree, so there is nothing
//! above, and what the grant forbids (writing, devices, programs) the kernel forbids.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
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
    /// Its path leads through a symbolic link: whoever may write beneath it could lead it anywhere.
    #[error(
        "expected the folder {path} to be reached without symbolic links; one is on the way, made \
         after the folder was granted; grant the folder again if that is meant"
    )]
    Link {
        /// The folder.
        path: PathBuf,
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

/// The path of a folder without symbolic links in it, as it is now. What is granted is this folder:
/// a link that is made later, by a guest in a folder above or by anybody else, does not lead
/// [`detach`] elsewhere.
pub fn settled(path: &Path) -> Result<PathBuf, DetachError> {
    let open = |source| DetachError::Open { path: path.to_owned(), source };
    let settled = std::fs::canonicalize(path).map_err(open)?;
    if settled.is_dir() { Ok(settled) } else { Err(open(Errno::NOTDIR.into())) }
}

/// A descriptor of the folder that leads nowhere but beneath it. What is mounted beneath the
/// folder is not part of it. The path must be [`settled`].
pub fn detach(path: &Path, access: Access) -> Result<OwnedFd, DetachError> {
    let open = |e: Errno| match e {
        Errno::LOOP => DetachError::Link { path: path.to_owned() },
        e => DetachError::Open { path: path.to_owned(), source: e.into() },
    };
    let mount = |e: Errno| DetachError::Mount { path: path.to_owned(), source: e.into() };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let folder = openat2(CWD, path, flags, Mode::empty(), resolve).map_err(open)?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_in_the_place_of_a_granted_folder_leads_nowhere() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for folder in ["a/sub", "secret"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        symlink(root.join("a"), root.join("other-name")).unwrap();
        let granted = settled(&root.join("other-name/sub")).unwrap();
        assert_eq!(granted, root.join("a/sub"), "the operator's own links are resolved once");
        // What a guest with a writable folder above could do.
        std::fs::rename(root.join("a/sub"), root.join("a/gone")).unwrap();
        symlink("../secret", root.join("a/sub")).unwrap();
        let error = detach(&granted, Access::ReadOnly).unwrap_err();
        assert!(matches!(error, DetachError::Link { .. }), "{error}");
        let error = settled(&root.join("nowhere")).unwrap_err();
        assert!(matches!(error, DetachError::Open { .. }), "{error}");
    }
}
