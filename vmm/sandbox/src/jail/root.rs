//! The empty root.
//!
//! ```text
//!  host's root            own mount namespace            after
//!  /                      /                              /   tmpfs, read-only, mode 0,
//!  ├── proc               ├── proc ◄─ tmpfs here             no names, no room for one
//!  └── ...                └── ...   (then made the root;
//!                                    the old one detached)
//! ```
//!
//! `pivot_root` refuses where the host's root is the first file system itself (an initramfs), and in
//! a `chroot` to a mount that lies in a shared one. The tmpfs is then moved over the root and entered
//! with `chroot`; the old root lies beneath it, and neither a descriptor, a path nor a capability is
//! left that leads there. A `chroot` to a folder that is no mount gets no empty root: it cannot be
//! made private, so others would see what is mounted over it.

use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_move,
    mount_remount, unmount,
};
use rustix::process::{chdir, chroot, pivot_root};

use super::{Fence, Missing};
use crate::Namespace;

/// Where the new root is mounted first: the one folder that surely exists, as the program was
/// started through it.
const STAGE: &str = "/proc";

/// No names, no bytes, no permissions.
const OPTIONS: &std::ffi::CStr = c"size=4k,nr_inodes=1,mode=0000";

/// How the host's files were taken out of reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// The old root is detached from this mount namespace.
    Detached,
    /// The old root is covered by the empty one, as it cannot be detached.
    Covered,
    /// The host's root is still there.
    Host,
}

/// Makes the root empty if the mount namespace is the process's own.
pub(super) fn empty(missing: &mut Vec<Missing>) -> Root {
    let mounts = Fence::Namespace(Namespace::Mount);
    if missing.iter().any(|m| m.fence == mounts) {
        return Root::Host;
    }
    stage().and_then(|()| switch()).unwrap_or_else(|reason| {
        missing.push(Missing { fence: Fence::EmptyRoot, reason });
        Root::Host
    })
}

fn stage() -> Result<(), Errno> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    mount("none", STAGE, "tmpfs", flags, OPTIONS)?;
    chdir(STAGE)
}

fn switch() -> Result<Root, Errno> {
    let root = match pivot_root(".", ".") {
        Ok(()) => {
            unmount(".", UnmountFlags::DETACH)?;
            Root::Detached
        }
        Err(Errno::INVAL) => {
            mount_move(".", "/")?;
            chroot(".")?;
            Root::Covered
        }
        Err(errno) => return Err(errno),
    };
    chdir("/")?;
    mount_remount(
        "/",
        MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
        "",
    )?;
    Ok(root)
}
