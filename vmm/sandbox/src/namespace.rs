//! The kinds of namespace that a child is put into. Only names and flags; no calls.

use std::fmt;

use rustix::thread::UnshareFlags;

/// One kind of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Namespace {
    /// User ids and capabilities; only made when the monitor is not privileged.
    User,
    /// Process ids: the child sees no other process.
    Pid,
    /// Mounts: the child's root is its own.
    Mount,
    /// Network devices, addresses and ports: the child has none.
    Network,
    /// System V IPC and POSIX queues.
    Ipc,
    /// Host name.
    Uts,
    /// The view of the cgroup tree.
    Cgroup,
}

impl Namespace {
    /// Those that a process can enter by itself; a pid namespace holds only new children, and a
    /// user namespace is made with the process.
    pub(crate) const ENTERED: [Self; 5] =
        [Self::Mount, Self::Network, Self::Ipc, Self::Uts, Self::Cgroup];

    /// The flag that makes one, for `clone3` and `unshare` alike.
    pub(crate) fn flag(self) -> UnshareFlags {
        match self {
            Self::User => UnshareFlags::NEWUSER,
            Self::Pid => UnshareFlags::NEWPID,
            Self::Mount => UnshareFlags::NEWNS,
            Self::Network => UnshareFlags::NEWNET,
            Self::Ipc => UnshareFlags::NEWIPC,
            Self::Uts => UnshareFlags::NEWUTS,
            Self::Cgroup => UnshareFlags::NEWCGROUP,
        }
    }

    /// The same as the bits of `clone_args.flags`.
    pub(crate) fn clone_bits(self) -> u64 {
        u64::from(self.flag().bits())
    }

    /// What a child could do without it.
    pub fn loss(self) -> &'static str {
        match self {
            Self::User => "an unprivileged monitor can make no other namespace without it",
            Self::Pid => {
                "process ids of the host are visible; signals are stopped by the filter only"
            }
            Self::Mount => "the host's files stay reachable by path, so cells get no files at all",
            Self::Network => {
                "the host's network is visible; sockets are stopped by the filter only"
            }
            Self::Ipc => "System V and POSIX queues of the host are stopped by the filter only",
            Self::Uts => "the host's name is visible",
            Self::Cgroup => "the path of the cell's cgroup is visible",
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Pid => "pid",
            Self::Mount => "mount",
            Self::Network => "network",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Cgroup => "cgroup",
        })
    }
}
