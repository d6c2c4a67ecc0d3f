//! `PAGEMAP_SCAN`: which pages of a watched mapping were stored to since they were last protected.

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;

/// Most regions that one scan reports: the kernel's own buffer holds no more.
pub(crate) const MAX_SCAN_REGIONS: usize = 512;

const WP_MATCHING: u64 = 1 << 0;
const CHECK_WPASYNC: u64 = 1 << 1;
const PAGE_IS_WRITTEN: u64 = 1 << 1;

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

/// Lists the pages of a watched mapping that were stored to, and protects each again in the same
/// step: a store is either before that, and its bytes are there when this returns, or it is
/// reported next time. A page of which nothing is known counts as stored to.
///
/// Returns how many regions were filled in, and the address up to which pages were looked at; the
/// rest were left as they are.
pub(crate) fn scan_written(
    pagemap: &File,
    pages: &Range<usize>,
    regions: &mut [PageRegion],
) -> Result<(usize, usize), Errno> {
    let mut argument = ScanArgument {
        size: size_of::<ScanArgument>() as u64,
        flags: WP_MATCHING | CHECK_WPASYNC,
        start: pages.start as u64,
        end: pages.end as u64,
        walk_end: 0,
        vec: regions.as_mut_ptr().expose_provenance() as u64,
        vec_len: regions.len() as u64,
        max_pages: 0,
        // Just these two masks, and the kernel counts pages without an entry as written.
        category_inverted: 0,
        category_mask: PAGE_IS_WRITTEN,
        category_anyof_mask: 0,
        return_mask: PAGE_IS_WRITTEN,
    };
    // SAFETY: the argument is the kernel's structure with its own size in it, and `vec` points to
    // `vec_len` writable regions, for which any bytes are a value. Protecting pages changes no
    // bytes, and with CHECK_WPASYNC mappings that are not watched are refused.
    let found = unsafe { libc::ioctl(pagemap.as_raw_fd(), SCAN, &raw mut argument) };
    let found = Errno::result(found)?;
    Ok((found as usize, argument.walk_end as usize))
}
