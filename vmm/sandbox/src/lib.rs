//! Child processes of the monitor, and the jail that they run in.
//!
//! What it is: [`spawn`] re-executes the running program as a cell or a builder, with an empty
//! environment and nothing open but its log and one end of a [`Socket`]; [`jail::enter`] is the
//! child's first act and takes away, for good, everything that a cell does not need. What it is
//! not: anything that knows Wasm, calls or images.
//!
//! ```text
//!  monitor                                  child (same binary, re-executed)
//!  ───────                                  ────────────────────────────────
//!  cgroup::Cgroups::create ──┐
//!  spawn(&Spec) ─────────────┴─ clone3 ───► own pid namespace, in its cgroup, dies with the
//!   │                                       monitor; fds 0 /dev/null, 1 2 log, 3 socket
//!   ▼                                       main: sees its hidden first argument
//!  Child { socket, pidfd }                  Socket::inherited()
//!   │                                       opens what it keeps (/proc/self/pagemap)
//!   │                                       jail::enter(&socket, &Policy): namespaces, empty
//!   │                                       root, limits, no capabilities, seccomp filter
//!   └── messages and descriptors ◄────────► socket
//! ```
//!
//! Start with [`Spec`] and [`jail::Policy`]. `tests/escape.rs` enters in exactly this way and
//! tries every way out; `tests/golden/` holds the list of allowed system calls.
//!
//! Linux 5.11 or newer on `x86_64`. Folders of the host reach a cell only through
//! [`folder::detach`].
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

#[cfg(feature = "tokio")]
pub mod aio;
pub mod cgroup;
pub mod facts;
pub mod filter;
pub mod folder;
pub mod jail;
mod namespace;
mod socket;
mod spawn;
mod sys;

pub use namespace::Namespace;
pub use socket::{
    MAX_DESCRIPTORS, MAX_MESSAGE_BYTES, Message, ReceiveError, SOCKET_FD, SendError, Socket,
};
pub use spawn::{Child, Exit, SpawnError, Spec, WaitError, spawn};

/// Unmaps this program's own code, for a process that has done the most of its work: what it needs
/// again comes back by itself, what only its start needed does not. Bytes unmapped.
///
/// # Errors
/// When the system does not say where the code is.
pub fn release_code() -> std::io::Result<usize> {
    sys::release_code()
}

/// What to do when this machine cannot put up one of the fences of a jail.
///
/// Some fences are never given up: `no_new_privs`, empty capability sets, resource limits and the
/// seccomp filter. Without them a child does not start, whatever this says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// A missing fence is an error.
    Require,
    /// A missing fence is reported, with what is lost, and the child runs behind the others.
    Degrade,
}
