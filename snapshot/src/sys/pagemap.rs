//! The kernel's account of the pages of a range: `PAGEMAP_SCAN`, and the older table of 8-byte
//! entries.
//!
//! *Private* means present or swapped out, and not a page of the mapped file, and not the page of
//! zeros that the kernel lends to reads of anonymous memory. *Written* means stored to since it was
//! last protected, in a mapping that is watched for that.

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::libc;

/// Most regions that one scan reports: the kernel's own buffer holds no more.
pub const MAX_SCAN_REGIONS: usize = 512;

const WP_MATCHING: u64 = 1 << 0;
const CHECK_WPASYNC: u64 = 1 << 1;

const PAGE_IS_WRITTEN: u64 = 1 << 1;
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
const PAGE_IS_PFNZERO: u64 = 1 << 5;

/// A run of pages, as the kernel reports it (`struct page_region`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PageRegion {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
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
pub struct ScanStop {
    /// How many regions were filled in.
    pub regions: usize,
    /// Address up to which the range was looked at.
    pub walk_end: u64,
}

/// What a scan does, and which pages it is about.
struct Wanted {
    flags: u64,
    inverted: u64,
    all_of: u64,
    any_of: u64,
    /// What regions are told apart by.
    told: u64,
}

/// Lists the private pages of `start..end`, at most `max_pages`, into `regions`.
pub(crate) fn scan_private(
    pagemap: &File,
    start: NonNull<u8>,
    end: NonNull<u8>,
    max_pages: u64,
    regions: &mut [PageRegion],
) -> Result<ScanStop, Errno> {
    let wanted = Wanted {
        flags: 0,
        inverted: PAGE_IS_FILE | PAGE_IS_PFNZERO,
        all_of: PAGE_IS_FILE | PAGE_IS_PFNZERO,
        any_of: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        // One state for all, so that neighbours make one region.
        told: 0,
    };
    scan(pagemap, start.addr().get()..end.addr().get(), max_pages, &wanted, regions)
}

/// Lists the pages of a watched mapping that were stored to, and protects each again in the same
/// step: a store is either before that, and its bytes are there when this returns, or it is
/// reported next time. A page of which nothing is known counts as stored to. Mappings that are not
/// watched are refused.
///
/// Pages beyond where it stopped were left as they are.
pub fn scan_written(
    pagemap: &File,
    pages: Range<usize>,
    regions: &mut [PageRegion],
) -> Result<ScanStop, Errno> {
    let wanted = Wanted {
        flags: WP_MATCHING | CHECK_WPASYNC,
        // Just the two masks below, and the kernel counts pages without an entry as written.
        inverted: 0,
        all_of: PAGE_IS_WRITTEN,
        any_of: 0,
        told: PAGE_IS_WRITTEN,
    };
    scan(pagemap, pages, 0, &wanted, regions)
}

fn scan(
    pagemap: &File,
    pages: Range<usize>,
    max_pages: u64,
    wanted: &Wanted,
    regions: &mut [PageRegion],
) -> Result<ScanStop, Errno> {
    let mut argument = ScanArgument {
        size: size_of::<ScanArgument>() as u64,
        flags: wanted.flags,
        start: pages.start as u64,
        end: pages.end as u64,
        walk_end: 0,
        vec: regions.as_mut_ptr().expose_provenance() as u64,
        vec_len: regions.len() as u64,
        max_pages,
        category_inverted: wanted.inverted,
        category_mask: wanted.all_of,
        category_anyof_mask: wanted.any_of,
        return_mask: wanted.told,
    };
    // SAFETY: the argument is the kernel's structure with its own size in it, and `vec` points to
    // `vec_len` writable regions, for which any bytes are a value. Protecting pages changes no
    // bytes.
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
