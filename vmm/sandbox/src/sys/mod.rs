//! The unsafe part: system calls that no crate wraps, and descriptors known by number.
//!
//! Nothing outside this module is unsafe. Each function here is a thin, checked way to one call.
#![allow(unsafe_code)]

mod clone;
mod code;
mod mount;

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::{SocketType, sockopt::socket_type};
use rustix::thread::UnshareFlags;

pub(crate) use clone::{Plan, Started, block_signals, decode_failure, start, try_clone};
pub(crate) use code::release as release_code;
pub(crate) use mount::{MountFlags, set_mount_flags};

static INHERITED_TAKEN: AtomicBool = AtomicBool::new(false);

/// The seqpacket socket that this process was started with at `number`; once.
pub(crate) fn take_inherited(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: the borrow ends within this statement; a number that is not open is an error of
    // the call, not undefined behaviour.
    let kind = socket_type(unsafe { BorrowedFd::borrow_raw(number) });
    if kind != Ok(SocketType::SEQPACKET) || INHERITED_TAKEN.swap(true, Ordering::AcqRel) {
        return None;
    }
    // SAFETY: a seqpacket socket at this number was put there by `spawn` before this program
    // began, so nothing else in the program owns it; the flag above gives it out once.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Closes every descriptor but 0, 1, 2 and those in `keep`, which must be sorted.
///
/// For a process that is about to be jailed: what it opened before and does not list is leaked
/// authority. Owners of closed descriptors must not use or drop them; the caller of
/// [`crate::jail::enter`] is told so.
pub(crate) fn close_all_but(keep: &[RawFd]) -> rustix::io::Result<()> {
    let mut first = 3;
    for &kept in keep.iter().filter(|&&fd| fd >= 3) {
        if kept > first {
            close_range(first as u32, kept as u32 - 1)?;
        }
        first = first.max(kept + 1);
    }
    close_range(first as u32, u32::MAX)
}

fn close_range(first: u32, last: u32) -> rustix::io::Result<()> {
    // SAFETY: the call takes three integers and touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Leaves a namespace for a new one. For a process with one thread, which shares nothing.
pub(crate) fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    debug_assert!(!flags.contains(UnshareFlags::FILES));
    // SAFETY: unsafe only with CLONE_FILES, which unties descriptor tables between threads;
    // the flags come from `Namespace`, which has no such member.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

pub(crate) fn last_errno() -> rustix::io::Errno {
    let code = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    rustix::io::Errno::from_raw_os_error(code)
}

/// The newest version of Landlock that the kernel knows.
pub(crate) fn landlock_version() -> rustix::io::Result<i64> {
    const VERSION: u32 = 1;
    // SAFETY: with this flag the call reads no memory and answers a number.
    let result = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION)
    };
    if result < 0 { Err(last_errno()) } else { Ok(result) }
}

/// A type whose raw descriptor is always open, and always the same.
///
/// # Safety
/// `as_raw_fd` returns a descriptor that the value owns, and nothing replaces or closes it while
/// the value lives.
#[cfg(feature = "tokio")]
pub(crate) unsafe trait Owned: std::os::fd::AsRawFd {}

// SAFETY: a socket owns its one descriptor in a private field that never changes.
#[cfg(feature = "tokio")]
unsafe impl Owned for crate::Socket {}

// SAFETY: a child owns its pidfd in a private field that never changes.
#[cfg(feature = "tokio")]
unsafe impl Owned for crate::Child {}

/// Puts a descriptor into the poller of the current runtime.
#[cfg(feature = "tokio")]
pub(crate) fn register<T: Owned>(
    owner: T,
    interest: tokio::io::Interest,
) -> std::io::Result<tokio::io::unix::AsyncFd<T>> {
    // SAFETY: what `Owned` promises is what tokio asks for.
    let registered = unsafe { tokio::io::unix::AsyncFd::register_with_interest(owner, interest) };
    registered.map_err(Into::into)
}
