//! A value's memory: the memfd, and this process's own view of it.
//!
//! ```text
//! file      0          1 GiB        2 GiB      quota (whole pages)
//!           ├── segment ─┼─ segment ──┼─ segment ─┤     each mapped when it is first used
//! ```

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::{PAGE_BYTES, View};

/// Bytes that are mapped at once: values up to this long take one mapping of this process.
pub(crate) const SEGMENT_BYTES: u64 = 1 << 30;

/// See the module.
#[derive(Debug)]
pub(crate) struct Memory {
    file: File,
    /// Bytes of the file.
    len: u64,
    segments: Box<[OnceLock<Segment>]>,
}

/// A mapped part of the file.
#[derive(Debug)]
struct Segment {
    /// Invariant: `base..base + len` was mapped by `map` and is unmapped by `drop` alone.
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the range is not tied to a thread; by rule 2 it is only accessed atomically.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl Memory {
    /// A sparse memfd of `len` bytes, rounded up to pages, that can neither shrink nor grow.
    pub(crate) fn new(len: u64) -> io::Result<Self> {
        let len = len.next_multiple_of(PAGE_BYTES);
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = File::from(memfd_create(c"faaslet-value", flags)?);
        file.set_len(len)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        let segments = (0..len.div_ceil(SEGMENT_BYTES)).map(|_| OnceLock::new()).collect();
        Ok(Self { file, len, segments })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The bytes `start..start + len`, which lie within the file and within one segment.
    #[inline]
    pub(crate) fn view(&self, start: u64, len: u64) -> io::Result<View<'_>> {
        let (number, at) = (start / SEGMENT_BYTES, start % SEGMENT_BYTES);
        let segment = match self.segments.get(number as usize).and_then(OnceLock::get) {
            Some(segment) => segment,
            None => self.map(number)?,
        };
        let inside = at.checked_add(len).is_some_and(|end| end <= segment.len as u64);
        assert!(inside, "{len} bytes at {start} lie outside a segment of {}", segment.len);
        // SAFETY: within the segment, just checked, which lives as long as `self` (rule 1).
        Ok(unsafe { View::new(segment.base.add(at as usize), len as usize) })
    }

    /// Writes bytes that nobody has mapped or reads; without a fault for each page.
    pub(crate) fn put(&self, start: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, start)
    }

    /// Gives whole pages back: they read as zeros, in every mapping.
    pub(crate) fn punch(&self, start: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        fallocate(&self.file, flags, start as i64, len as i64)?;
        Ok(())
    }

    #[cold]
    fn map(&self, number: u64) -> io::Result<&Segment> {
        let start = number * SEGMENT_BYTES;
        let len = self.len.saturating_sub(start).min(SEGMENT_BYTES);
        let slot = self.segments.get(number as usize).ok_or(Errno::EINVAL)?;
        let segment = Segment::map(self.file.as_fd(), start, len as usize)?;
        // Another thread may have been first: then this segment goes.
        Ok(slot.get_or_init(|| segment))
    }
}

impl Segment {
    fn map(file: BorrowedFd<'_>, start: u64, len: usize) -> Result<Self, Errno> {
        let size = NonZeroUsize::new(len).ok_or(Errno::EINVAL)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE;
        // SAFETY: without MAP_FIXED the kernel picks addresses that nobody uses.
        let base = unsafe { mmap(None, size, access, flags, file, start as i64) }?;
        Ok(Self { base: base.cast(), len })
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: the range is owned (rule 1) and nobody can name it once its owner is gone.
        let unmapped = unsafe { munmap(self.base.cast(), self.len) };
        debug_assert_eq!(unmapped, Ok(()), "unmapping a value");
    }
}
