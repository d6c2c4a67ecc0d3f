//! A page of numbers that two processes share.

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// Numbers of a page.
pub(crate) const WORDS: usize = 512;
const PAGE: NonZeroUsize = NonZeroUsize::new(WORDS * size_of::<AtomicU64>()).unwrap();

/// The first page of a shared file, mapped.
#[derive(Debug)]
pub(crate) struct Words {
    /// Invariant: a page, mapped by `map` and unmapped by `drop` alone.
    page: NonNull<AtomicU64>,
}

// SAFETY: the page is not tied to a thread, and holds atomics alone.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    /// Maps the first page of `fd`; the caller has seen that it is that long and cannot shrink.
    pub(crate) fn map(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: without MAP_FIXED the kernel picks addresses that nobody uses.
        let page = unsafe { mmap(None, PAGE, protection, MapFlags::MAP_SHARED, fd, 0) }?;
        Ok(Self { page: page.cast() })
    }

    /// Word `index`, below [`WORDS`].
    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < WORDS, "word {index} of {WORDS}");
        // SAFETY: within the page, just checked, which is mapped for as long as this lives; an
        // atomic may be changed by others, other processes included.
        unsafe { self.page.add(index).as_ref() }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, and every reference into it has ended with this.
        let unmapped = unsafe { munmap(self.page.cast(), PAGE.get()) };
        debug_assert_eq!(unmapped, Ok(()), "unmapping a page of words");
    }
}
