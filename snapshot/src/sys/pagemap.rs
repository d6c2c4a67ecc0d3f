//! The kernel's account of which pages of a range are private: `PAGEMAP_SCAN`, and the older
//! table of 8-byte entries.
//!
//! Private means present or swapped out, and not a page of the mapped file, and not the page of
//! zeros that the kernel lends to reads of anonymous memory.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::libc;

/// Most regions that one scan reports: the kernel's own buffer holds no more.
pub(crate) const MAX_SCAN_REGIONS: usize = 512;

const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
const PAGE_IS_PFNZERO: u64 = 1 << 5;

/// A run of pages, as the kernel reports it (`struct page_region`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PageRegion {
    /// First address.
    pub(crate) start: u64,
    /// Address after the last.
    pub(crate) end: u64,
    categories: u64,
}

/// `struct pm_scan_arg`.
#[repr(C)]
struct ScanArgument {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

const _: () = assert!(size_of::<PageRegion>() == 24 && size_of::<ScanArgument>() == 96);

/// `PAGEMAP_SCAN`.
const SCAN: libc::Ioctl =
    nix::request_code_readwrite!(b'f', 16, size_of::<ScanArgument>()) as libc::Ioctl;

/// What one scan found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScanStop {
    /// How many regions were filled in.
    pub(crate) regions: usize,
    /// Address up to which the range was looked at.
    pub(crate) walk_end: u64,
}

/// Lists the private pages of `start..end`, at most `max_pages`, into `regions`.
pub(crate) fn scan(
    pagemap: &File,
    start: NonNull<u8>,
    end: NonNull<u8>,
    max_pages: u64,
    regions: &mut [PageRegion],
) -> Result<ScanStop, Errno> {
    let mut argument = ScanArgument {
        size: size_of::<ScanArgument>() as u64,
        flags: 0,
        start: start.addr().get() as u64,
        end: end.addr().get() as u64,
        walk_end: 0,
        vec: regions.as_mut_ptr().expose_provenance() as u64,
        vec_len: regions.len() as u64,
        max_pages,
        category_inverted: PAGE_IS_FILE | PAGE_IS_PFNZERO,
        category_mask: PAGE_IS_FILE | PAGE_IS_PFNZERO,
        category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        // One state for all, so that neighbours make one region.
        return_mask: 0,
    };
    // SAFETY: the argument is the kernel's structure with its own size in it, and `vec` points to
    // `vec_len` writable regions, for which any bytes are a value.
    let found = unsafe { libc::ioctl(pagemap.as_raw_fd(), SCAN, &raw mut argument) };
    let found = Errno::result(found)?;
    Ok(ScanStop { regions: found as usize, walk_end: argument.walk_end })
}

/// Whether an entry of `/proc/self/pagemap` is that of a private page.
///
/// The page of zeros cannot be told apart here without privilege, so it counts as private.
pub(crate) fn entry_is_private(entry: u64) -> bool {
    const PRESENT: u64 = 1 << 63;
    const SWAPPED: u64 = 1 << 62;
    const FILE_OR_SHARED: u64 = 1 << 61;
    entry & (PRESENT | SWAPPED) != 0 && entry & FILE_OR_SHARED == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_swapped_pages_are_private_and_those_of_file_pages_are_not() {
        assert!(entry_is_private(1 << 63));
        assert!(entry_is_private(1 << 62));
        assert!(!entry_is_private(0));
        assert!(!entry_is_private(1 << 63 | 1 << 61));
        assert!(!entry_is_private(1 << 62 | 1 << 61));
        assert!(entry_is_private(1 << 63 | 1 << 55 | 1 << 56));
    }
}
