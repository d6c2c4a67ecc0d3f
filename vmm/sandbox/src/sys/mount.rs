//! `mount_setattr`, which no crate in use wraps.

use std::os::fd::{AsRawFd, BorrowedFd};

use super::last_errno;

/// What to turn on for a mount.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MountFlags {
    pub(crate) read_only: bool,
}

/// Turns on no-setuid, no-device, no-exec and what `flags` says, for the whole tree at `mount`.
pub(crate) fn set_mount_flags(mount: BorrowedFd<'_>, flags: MountFlags) -> rustix::io::Result<()> {
    let read_only = if flags.read_only { libc::MOUNT_ATTR_RDONLY } else { 0 };
    let attr = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_NOSUID
            | libc::MOUNT_ATTR_NODEV
            | libc::MOUNT_ATTR_NOEXEC
            | read_only,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    // SAFETY: `attr` outlives the call and its size is given; the path is an empty C string.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}
