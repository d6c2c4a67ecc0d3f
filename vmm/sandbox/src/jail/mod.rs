//! The jail: what a child gives up, for good, as its first act.
//!
//! ```text
//!  1 close every descriptor but 0 1 2, the socket and those kept
//!  2 mount, network, ipc, uts and cgroup namespaces of its own (its pid namespace, and for an
//!    unprivileged monitor its user namespace, were made with it by `spawn`)
//!  3 an empty root: a read-only tmpfs without a single name in it
//!  4 resource limits
//!  5 user and groups, capabilities out of every set, no way to regain one, not dumpable
//!  6 Landlock: no TCP, no signals, no abstract sockets beyond the process
//!  7 seccomp filter
//! ```
//!
//! The order matters: each step needs what a later one takes away. It is not a jail for a program
//! that runs already: threads that exist keep what they have, so a second thread is an error.

mod limits;
mod privileges;
mod root;

use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

pub use limits::Limits;
pub use privileges::{Identity, without_capabilities};
pub use root::Root;

use crate::filter::{self, FilterError, Role, Scope};
use crate::{Namespace, Socket, Strictness, sys};

/// What a child is to keep.
#[derive(Debug)]
pub struct Policy<'a> {
    /// What it is for; decides its system calls.
    pub role: Role,
    /// Whether a missing fence is an error.
    pub strictness: Strictness,
    /// What it may use.
    pub limits: Limits,
    /// Whom it runs as; `None` for whoever it is now, without privileges. Files that it makes in
    /// granted folders belong to this user.
    pub run_as: Option<Identity>,
    /// Descriptors that it opened and keeps, beside 0, 1, 2 and the socket. All others are closed, so a value
    /// that owns one and is not listed must be forgotten before.
    pub keep: &'a [BorrowedFd<'a>],
}

impl<'a> Policy<'a> {
    /// How the product's own processes enter, and the tests that try to get out.
    #[must_use]
    pub fn of(
        role: Role,
        strictness: Strictness,
        limits: Limits,
        keep: &'a [BorrowedFd<'a>],
    ) -> Self {
        Self { role, strictness, limits, run_as: None, keep }
    }
}

/// A fence that could not be put up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Which one.
    pub fence: Fence,
    /// The kernel's reason.
    pub reason: Errno,
}

/// A fence that a machine may be unable to put up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// A namespace.
    Namespace(Namespace),
    /// The empty root.
    EmptyRoot,
    /// Landlock.
    Landlock,
}

impl Fence {
    /// What a child could do without it.
    pub fn loss(self) -> &'static str {
        match self {
            Self::Namespace(namespace) => namespace.loss(),
            Self::EmptyRoot => {
                "the host's files stay reachable by path, so cells get no files at all"
            }
            Self::Landlock => "network and signals lose a second fence behind the filter",
        }
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(namespace) => write!(f, "{namespace} namespace"),
            Self::EmptyRoot => f.write_str("empty root"),
            Self::Landlock => f.write_str("landlock"),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {}: {}; without it {}", self.fence, self.reason, self.fence.loss())
    }
}

/// What was put up, from the inside.
#[derive(Clone, Debug)]
pub struct Jailed {
    /// How the host's files were taken out of reach.
    pub root: Root,
    /// Whether calls that take a path are allowed: only behind an empty root.
    pub files: bool,
    /// What is not there. Empty on a machine that has everything.
    pub missing: Vec<Missing>,
}

/// Why a child is not in jail. It must end at once, having done nothing else.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// More than one thread runs.
    #[error("{found} threads run in this process: enter the jail before starting any")]
    Threads {
        /// How many.
        found: usize,
    },
    /// The monitor has ended meanwhile.
    #[error("the monitor has ended")]
    ParentGone,
    /// A fence that the policy requires cannot be put up.
    #[error("{0}; let fences be missing to run anyway")]
    Required(Missing),
    /// A fence that is never given up cannot be put up.
    #[error("could not {step}: {source}")]
    Step {
        /// What failed.
        step: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The filter is not in place.
    #[error(transparent)]
    Filter(#[from] FilterError),
}

/// Gives up everything that `policy` does not keep. Call it first in `main`, before any thread.
///
/// `socket` leads to the monitor, from [`Socket::inherited`]; it stays open, and on an error it is
/// where the reason can be told.
pub fn enter(socket: &Socket, policy: &Policy<'_>) -> Result<Jailed, JailError> {
    check_single_thread()?;
    check_parent(socket)?;
    close_others(socket, policy.keep)?;
    limits::go_first_without_memory()?;
    let mut missing = Vec::new();
    enter_namespaces(&mut missing);
    let root = root::empty(&mut missing);
    require(policy.strictness, &missing)?;
    policy.limits.apply()?;
    privileges::drop_all(policy.run_as)?;
    missing.extend(privileges::restrict_by_landlock());
    require(policy.strictness, &missing)?;
    // Changing users clears the wish to die with the parent, so ask again, then look again.
    privileges::die_with_parent()?;
    check_parent(socket)?;
    let files = root != Root::Host;
    filter::install(Scope { role: policy.role, files }, std::process::id())?;
    Ok(Jailed { root, files, missing })
}

/// The step that failed, in the caller's terms.
fn step<E: Into<std::io::Error>>(step: &'static str) -> impl FnOnce(E) -> JailError {
    move |source| JailError::Step { step, source: source.into() }
}

fn require(strictness: Strictness, missing: &[Missing]) -> Result<(), JailError> {
    match (strictness, missing.first()) {
        (Strictness::Require, Some(first)) => Err(JailError::Required(first.clone())),
        _ => Ok(()),
    }
}

fn check_single_thread() -> Result<(), JailError> {
    let tasks = std::fs::read_dir("/proc/self/task").map_err(step("count the threads"))?;
    match tasks.count() {
        1 => Ok(()),
        found => Err(JailError::Threads { found }),
    }
}

/// The parent holds the other end of the socket, so a hang-up means that it has ended.
fn check_parent(socket: &Socket) -> Result<(), JailError> {
    let mut polled = [PollFd::new(socket, PollFlags::empty())];
    poll(&mut polled, Some(&Timespec::default())).map_err(step("look for the parent"))?;
    if polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
        return Err(JailError::ParentGone);
    }
    Ok(())
}

fn close_others(socket: &Socket, keep: &[BorrowedFd<'_>]) -> Result<(), JailError> {
    let mut kept: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).collect();
    kept.push(socket.as_raw_fd());
    kept.sort_unstable();
    sys::close_all_but(&kept).map_err(step("close inherited descriptors"))
}

/// Each alone, so that what one machine refuses does not cost the others.
fn enter_namespaces(missing: &mut Vec<Missing>) {
    if std::process::id() != 1 {
        let fence = Fence::Namespace(Namespace::Pid);
        missing.push(Missing { fence, reason: Errno::PERM });
    }
    for namespace in Namespace::ENTERED {
        if let Err(reason) = sys::unshare(namespace.flag()) {
            missing.push(Missing { fence: Fence::Namespace(namespace), reason });
        }
    }
}
