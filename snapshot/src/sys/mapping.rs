//! Address ranges with one owner each: a slot's reservation, an image's read-only view.

use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::sys::mman::{
    MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous, mprotect, munmap,
};

use crate::bytes::{Bytes, HOST_PAGE};

/// A range of addresses that belongs to nobody else, inaccessible until something is mapped.
///
/// Offsets are from its start. Every method that changes what is mapped refuses (`EINVAL`) a range
/// that is empty, not page-aligned, or not wholly inside.
#[derive(Debug)]
pub(crate) struct Reservation {
    /// Invariant: `base..base + len` was mapped by `reserve` and is unmapped by `drop` alone.
    base: NonNull<u8>,
    len: Bytes,
}

// SAFETY: the range is not tied to a thread, and by rule 2 nobody holds references into it; its
// methods are system calls, which the kernel serialises.
unsafe impl Send for Reservation {}
// SAFETY: as above.
unsafe impl Sync for Reservation {}

/// What is mapped over part of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileMapping {
    /// Stores reach the file.
    Shared,
    /// Stores stay in this mapping.
    Private,
}

impl Reservation {
    /// Reserves `len` bytes of addresses; no memory is used.
    pub(crate) fn reserve(len: Bytes) -> Result<Self, Errno> {
        let size = NonZeroUsize::new(len.as_usize()).ok_or(Errno::EINVAL)?;
        // SAFETY: without MAP_FIXED the kernel picks addresses that nobody uses.
        let base = unsafe { mmap_anonymous(None, size, ProtFlags::PROT_NONE, anonymous()) }?;
        Ok(Self { base: base.cast(), len })
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) fn len(&self) -> Bytes {
        self.len
    }

    /// The address at `offset`, which is at most the length.
    pub(crate) fn at(&self, offset: Bytes) -> NonNull<u8> {
        assert!(offset <= self.len, "offset {offset} of a reservation of {}", self.len);
        // SAFETY: within the range (or one past its end), just checked; a range does not wrap.
        unsafe { self.base.add(offset.as_usize()) }
    }

    /// Maps `len` bytes of `fd` from `file_offset` on, readable and writable.
    pub(crate) fn map_file(
        &self,
        at: Bytes,
        len: Bytes,
        fd: BorrowedFd<'_>,
        file_offset: Bytes,
        mapping: FileMapping,
    ) -> Result<(), Errno> {
        let (address, size) = self.range(at, len)?;
        let flags = match mapping {
            FileMapping::Shared => MapFlags::MAP_SHARED,
            FileMapping::Private => MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE,
        };
        let offset = file_offset.0.try_into().map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: replaces a range that this reservation owns (rule 1), into which no references
        // exist (rule 2).
        unsafe { mmap(Some(address), size, READ_WRITE, flags | MapFlags::MAP_FIXED, fd, offset) }?;
        Ok(())
    }

    /// Maps zeros, readable and writable; what was there is lost.
    pub(crate) fn map_zeros(&self, at: Bytes, len: Bytes) -> Result<(), Errno> {
        self.map_anonymous(at, len, READ_WRITE)
    }

    /// Makes the range inaccessible and gives its memory back.
    pub(crate) fn clear(&self, at: Bytes, len: Bytes) -> Result<(), Errno> {
        self.map_anonymous(at, len, ProtFlags::PROT_NONE)
    }

    /// Makes a range that was cleared readable and writable, as zeros.
    pub(crate) fn allow(&self, at: Bytes, len: Bytes) -> Result<(), Errno> {
        let (_, size) = self.range(at, len)?;
        // SAFETY: changes a range that this reservation owns (rule 1).
        unsafe { mprotect(self.at(at).cast(), size.get(), READ_WRITE) }
    }

    /// Throws the range's private pages away: it reads as what is mapped beneath.
    pub(crate) fn discard(&self, at: Bytes, len: Bytes) -> Result<(), Errno> {
        let (_, size) = self.range(at, len)?;
        // SAFETY: the range is owned (rule 1); contents change under no reference (rule 2).
        unsafe { madvise(self.at(at).cast(), size.get(), MmapAdvise::MADV_DONTNEED) }
    }

    fn map_anonymous(&self, at: Bytes, len: Bytes, protection: ProtFlags) -> Result<(), Errno> {
        let (address, size) = self.range(at, len)?;
        let flags = anonymous() | MapFlags::MAP_FIXED;
        // SAFETY: replaces a range that this reservation owns (rule 1), into which no references
        // exist (rule 2).
        unsafe { mmap_anonymous(Some(address), size, protection, flags) }?;
        Ok(())
    }

    /// The address and size of a range inside the reservation.
    pub(super) fn range(
        &self,
        at: Bytes,
        len: Bytes,
    ) -> Result<(NonZeroUsize, NonZeroUsize), Errno> {
        let aligned = at.is_multiple_of(HOST_PAGE) && len.is_multiple_of(HOST_PAGE);
        let inside = at.checked_add(len).is_some_and(|end| end <= self.len);
        match NonZeroUsize::new(len.as_usize()) {
            Some(size) if aligned && inside => Ok((self.at(at).addr(), size)),
            _ => Err(Errno::EINVAL),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: the range is owned (rule 1) and nobody can name it once its owner is gone.
        let unmapped = unsafe { munmap(self.base.cast(), self.len.as_usize()) };
        debug_assert_eq!(unmapped, Ok(()), "unmapping a reservation");
    }
}

const READ_WRITE: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

fn anonymous() -> MapFlags {
    MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE
}

/// An image's pages, mapped to be read: what private pages are copied back from.
#[derive(Debug)]
pub(crate) struct ImageView {
    /// Invariant: `base..base + len` was mapped by `new` and is unmapped by `drop` alone.
    base: NonNull<u8>,
    len: Bytes,
}

// SAFETY: as for `Reservation`; the pages are never written through this mapping.
unsafe impl Send for ImageView {}
// SAFETY: as above.
unsafe impl Sync for ImageView {}

impl ImageView {
    /// Maps the first `len` bytes of `fd`; the caller has seen that it is that long and cannot
    /// shrink.
    pub(crate) fn new(fd: BorrowedFd<'_>, len: Bytes) -> Result<Self, Errno> {
        let size = NonZeroUsize::new(len.as_usize()).ok_or(Errno::EINVAL)?;
        // SAFETY: without MAP_FIXED the kernel picks addresses that nobody uses.
        let base = unsafe { mmap(None, size, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, fd, 0) }?;
        Ok(Self { base: base.cast(), len })
    }

    /// The page at `offset`, which is below the length.
    pub(crate) fn page(&self, offset: Bytes) -> ViewPage<'_> {
        let whole = offset.is_multiple_of(HOST_PAGE) && offset < self.len;
        assert!(whole, "offset {offset} of an image of {}", self.len);
        // SAFETY: within the range, just checked.
        ViewPage { address: unsafe { self.base.add(offset.as_usize()) }, view: PhantomData }
    }
}

impl Drop for ImageView {
    fn drop(&mut self) {
        // SAFETY: the range is owned and nobody can name it once its owner is gone.
        let unmapped = unsafe { munmap(self.base.cast(), self.len.as_usize()) };
        debug_assert_eq!(unmapped, Ok(()), "unmapping an image");
    }
}

/// A whole, readable page of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ViewPage<'a> {
    /// Invariant: a page of the view, which outlives this.
    address: NonNull<u8>,
    view: PhantomData<&'a ImageView>,
}

impl ViewPage<'_> {
    pub(super) fn as_ptr(self) -> *const u8 {
        self.address.as_ptr()
    }
}
