//! Write protection of mappings that the kernel lifts by itself at the first store, and so knows
//! which pages were stored to: a userfaultfd in `WP_ASYNC` mode, which nobody reads.

use std::ops::Range;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::libc;

use super::userfault::{ModeArgument, RangeArgument, UFFDIO_REGISTER, Userfault};

const FEATURE_PAGEFAULT_FLAG_WP: u64 = 1 << 0;
const FEATURE_WP_HUGETLBFS_SHMEM: u64 = 1 << 12;
const FEATURE_WP_UNPOPULATED: u64 = 1 << 13;
const FEATURE_WP_ASYNC: u64 = 1 << 15;
const REGISTER_MODE_WP: u64 = 1 << 1;
const WRITEPROTECT_MODE_WP: u64 = 1 << 0;

/// `struct uffdio_writeprotect`.
#[repr(C)]
struct ProtectArgument {
    start: u64,
    len: u64,
    mode: u64,
}

const _: () = assert!(size_of::<ProtectArgument>() == 24);

const UFFDIO_UNREGISTER: libc::Ioctl =
    nix::request_code_read!(0xaa, 0x01, size_of::<RangeArgument>()) as libc::Ioctl;
const UFFDIO_WRITEPROTECT: libc::Ioctl =
    nix::request_code_readwrite!(0xaa, 0x06, size_of::<ProtectArgument>()) as libc::Ioctl;

/// Has stores to mappings of this process noted. Protections live as long as this does.
#[derive(Debug)]
pub struct WriteWatch(Userfault);

impl WriteWatch {
    /// Makes one, if this kernel has all that it takes.
    ///
    /// # Errors
    /// What the kernel says: it lacks a feature, or refuses userfaultfd to this user.
    pub fn open() -> Result<Self, Errno> {
        let features = FEATURE_PAGEFAULT_FLAG_WP
            | FEATURE_WP_HUGETLBFS_SHMEM
            | FEATURE_WP_UNPOPULATED
            | FEATURE_WP_ASYNC;
        Userfault::with(features).map(Self)
    }

    /// Its descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.fd()
    }

    /// Begins to watch a mapping of a memfd, whole pages of this process: pages count as written
    /// from their next store on. What is mapped there later is not watched. Whatever is mapped at
    /// the range, its bytes do not change, and loads and stores go on as before.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn watch(&self, pages: &Range<usize>) -> Result<(), Errno> {
        let (start, len) = (pages.start as u64, pages.len() as u64);
        let mut register = ModeArgument { start, len, mode: REGISTER_MODE_WP, result: 0 };
        self.0.request(UFFDIO_REGISTER, &raw mut register)?;
        let mut protect = ProtectArgument { start, len, mode: WRITEPROTECT_MODE_WP };
        self.0.request(UFFDIO_WRITEPROTECT, &raw mut protect)
    }

    /// Watches a mapping no longer: stores to it cost nothing again. One that cannot be let go
    /// stays watched, and nobody asks.
    pub fn unwatch(&self, pages: &Range<usize>) {
        let mut range = RangeArgument { start: pages.start as u64, len: pages.len() as u64 };
        let _ = self.0.request(UFFDIO_UNREGISTER, &raw mut range);
    }
}
