//! Write protection of mappings that the kernel lifts by itself at the first store, and so knows
//! which pages were stored to: a userfaultfd in `WP_ASYNC` mode, which nobody reads.

use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

const USER_MODE_ONLY: libc::c_int = 1;
const API: u64 = 0xaa;
const FEATURE_PAGEFAULT_FLAG_WP: u64 = 1 << 0;
const FEATURE_WP_HUGETLBFS_SHMEM: u64 = 1 << 12;
const FEATURE_WP_UNPOPULATED: u64 = 1 << 13;
const FEATURE_WP_ASYNC: u64 = 1 << 15;
const REGISTER_MODE_WP: u64 = 1 << 1;
const WRITEPROTECT_MODE_WP: u64 = 1 << 0;

/// `struct uffdio_api`.
#[repr(C)]
struct ApiArgument {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
struct RegisterArgument {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

/// `struct uffdio_range`.
#[repr(C)]
struct RangeArgument {
    start: u64,
    len: u64,
}

/// `struct uffdio_writeprotect`.
#[repr(C)]
struct ProtectArgument {
    start: u64,
    len: u64,
    mode: u64,
}

const _: () = assert!(size_of::<ApiArgument>() == 24);
const _: () = assert!(size_of::<RegisterArgument>() == 32);
const _: () = assert!(size_of::<ProtectArgument>() == 24);
const _: () = assert!(size_of::<RangeArgument>() == 16);

const UFFDIO_API: libc::Ioctl =
    nix::request_code_readwrite!(0xaa, 0x3f, size_of::<ApiArgument>()) as libc::Ioctl;
const UFFDIO_REGISTER: libc::Ioctl =
    nix::request_code_readwrite!(0xaa, 0x00, size_of::<RegisterArgument>()) as libc::Ioctl;
const UFFDIO_UNREGISTER: libc::Ioctl =
    nix::request_code_read!(0xaa, 0x01, size_of::<RangeArgument>()) as libc::Ioctl;
const UFFDIO_WRITEPROTECT: libc::Ioctl =
    nix::request_code_readwrite!(0xaa, 0x06, size_of::<ProtectArgument>()) as libc::Ioctl;

/// See the module. Protections live as long as this does.
#[derive(Debug)]
pub(crate) struct Userfault {
    fd: OwnedFd,
}

impl Userfault {
    /// Makes one, if this kernel has all that it takes.
    pub(crate) fn open() -> Result<Self, Errno> {
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK | USER_MODE_ONLY;
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
        let fd = Errno::result(fd)? as libc::c_int;
        // SAFETY: a new descriptor, which nobody else has.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let features = FEATURE_PAGEFAULT_FLAG_WP
            | FEATURE_WP_HUGETLBFS_SHMEM
            | FEATURE_WP_UNPOPULATED
            | FEATURE_WP_ASYNC;
        let mut argument = ApiArgument { api: API, features, ioctls: 0 };
        // SAFETY: the kernel's own structure for this request.
        Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), UFFDIO_API, &raw mut argument) })?;
        Ok(Self { fd })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Begins to watch a mapping of a memfd, whole pages of this process: pages count as written
    /// from their next store on. What is mapped there later is not watched.
    pub(crate) fn watch(&self, pages: &Range<usize>) -> Result<(), Errno> {
        let (start, len) = (pages.start as u64, pages.len() as u64);
        let mut register = RegisterArgument { start, len, mode: REGISTER_MODE_WP, ioctls: 0 };
        // SAFETY: the kernel's own structure for this request. Whatever is mapped at the range, its
        // bytes do not change, and loads and stores go on as before.
        Errno::result(unsafe {
            libc::ioctl(self.fd.as_raw_fd(), UFFDIO_REGISTER, &raw mut register)
        })?;
        let mut protect = ProtectArgument { start, len, mode: WRITEPROTECT_MODE_WP };
        // SAFETY: as above.
        Errno::result(unsafe {
            libc::ioctl(self.fd.as_raw_fd(), UFFDIO_WRITEPROTECT, &raw mut protect)
        })?;
        Ok(())
    }

    /// Watches a mapping no longer: stores to it cost nothing again. One that cannot be let go
    /// stays watched, and nobody asks.
    pub(crate) fn unwatch(&self, pages: &Range<usize>) {
        let mut range = RangeArgument { start: pages.start as u64, len: pages.len() as u64 };
        // SAFETY: the kernel's own structure for this request; no bytes change.
        unsafe { libc::ioctl(self.fd.as_raw_fd(), UFFDIO_UNREGISTER, &raw mut range) };
    }
}
