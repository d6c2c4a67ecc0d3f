//! The system calls and raw memory behind the rings; the only unsafe code of this crate.
//!
//! Two rules. (1) A mapping has one owner, [`Mapping`], and its size is sealed in the file, so
//! every byte of it stays there while the owner lives. (2) Nobody outside gets a reference to
//! plain bytes of it: only to atomics, which another process may change at any time.
#![allow(unsafe_code)]

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Seals that fix a memory's size for good.
pub(crate) const SIZE_SEALS: SealFlag =
    SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW).union(SealFlag::F_SEAL_SEAL);

/// A shared mapping of a file whose size is sealed.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping is plain memory reached through atomics only, from any thread.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `bytes` of `file`. The caller has checked that it has them and that its size
    /// is sealed.
    pub(crate) fn new(file: BorrowedFd<'_>, bytes: NonZeroUsize) -> io::Result<Self> {
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at an address that the kernel chooses, aliases nothing of ours.
        let base = unsafe { mmap(None, bytes, access, MapFlags::MAP_SHARED, file, 0) }?;
        Ok(Self { base: base.cast(), bytes: bytes.get() })
    }

    /// The 64-bit word at byte `at`.
    #[inline]
    pub(crate) fn word(&self, at: usize) -> &AtomicU64 {
        &self.words(at, 1)[0]
    }

    /// The 32-bit word at byte `at`.
    #[inline]
    pub(crate) fn flag(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && at.checked_add(4).is_some_and(|end| end <= self.bytes));
        // SAFETY: aligned (the base is on a page) and inside the mapping, which outlives `self`'s
        // borrow; accessed as an atomic only.
        unsafe { AtomicU32::from_ptr(self.base.as_ptr().add(at).cast()) }
    }

    /// `count` 64-bit words from byte `from`.
    #[inline]
    pub(crate) fn words(&self, from: usize, count: usize) -> &[AtomicU64] {
        let end = count.checked_mul(8).and_then(|bytes| bytes.checked_add(from));
        assert!(from.is_multiple_of(8) && end.is_some_and(|end| end <= self.bytes));
        // SAFETY: aligned and inside the mapping as above; `AtomicU64` has the layout of `u64`, is
        // valid for every bit pattern, and allows changes by others behind a shared reference.
        unsafe { slice::from_raw_parts(self.base.as_ptr().add(from).cast(), count) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: ours alone, and no reference into it outlives `self`.
        let unmapped = unsafe { munmap(self.base.cast(), self.bytes) };
        debug_assert!(unmapped.is_ok());
    }
}

/// `MFD_NOEXEC_SEAL`, since Linux 6.3: nobody can ever execute the file.
const NOEXEC_SEAL: MFdFlags = MFdFlags::from_bits_retain(8);

/// A memfd of that size, zeroed, its size sealed.
pub(crate) fn sealed_memory(bytes: usize) -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let memory = match memfd_create(c"faaslet-ring", flags | NOEXEC_SEAL) {
        Err(Errno::EINVAL) => memfd_create(c"faaslet-ring", flags)?,
        made => made?,
    };
    nix::unistd::ftruncate(&memory, bytes as i64)?;
    fcntl(&memory, FcntlArg::F_ADD_SEALS(SIZE_SEALS))?;
    Ok(memory)
}

/// The seals of a file, -1 if it cannot have any.
pub(crate) fn seals(file: impl AsFd) -> i32 {
    fcntl(file, FcntlArg::F_GET_SEALS).unwrap_or(-1)
}

/// The size of a file.
pub(crate) fn size(file: impl AsFd) -> io::Result<u64> {
    Ok(nix::sys::stat::fstat(file)?.st_size as u64)
}

/// An eventfd that never blocks.
pub(crate) fn event() -> io::Result<OwnedFd> {
    let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    Ok(event.into())
}

/// Takes an eventfd's count; nothing when it has none. It never blocks, even if the other holder of
/// the same open file took the flag away that says so.
pub(crate) fn take_count(event: &OwnedFd) -> io::Result<Option<u64>> {
    /// The offset that stands for none, as an eventfd has no place to read from.
    const NO_OFFSET: libc::off_t = -1;
    let mut count = 0_u64;
    let into =
        libc::iovec { iov_base: ptr::from_mut(&mut count).cast(), iov_len: size_of::<u64>() };
    // SAFETY: the vector names one writable value that lives through the call, and its size.
    let read = unsafe {
        libc::preadv2(event.as_raw_fd(), &raw const into, 1, NO_OFFSET, libc::RWF_NOWAIT)
    };
    match Errno::result(read) {
        Ok(_) => Ok(Some(count)),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Registers an eventfd with the tokio runtime that this is called in.
pub(crate) fn register(event: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` owns a valid descriptor, and nobody replaces or closes it while the
    // `AsyncFd` owns it.
    unsafe { AsyncFd::register_with_interest(event, Interest::READABLE) }.map_err(Into::into)
}

/// Sleeps while `word` is `expected`, until woken or for `timeout`. Returns also for no reason.
/// The futex is shared between processes, so not `FUTEX_PRIVATE_FLAG`.
pub(crate) fn futex_wait(
    word: &AtomicU32,
    expected: u32,
    timeout: Option<Duration>,
) -> io::Result<()> {
    let limit = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs().min(i32::MAX as u64) as libc::time_t,
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the word is borrowed for the call, `limit` points to a live value or is null, and
    // FUTEX_WAIT only reads both.
    let result =
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, limit) };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR | libc::ETIMEDOUT) => Ok(()),
        _ => Err(error),
    }
}

/// Wakes the thread that sleeps on `word`, if one does. It cannot fail on a word that is mapped.
pub(crate) fn futex_wake(word: &AtomicU32) {
    // SAFETY: FUTEX_WAKE uses the address as a name and does not touch what is there.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
}
