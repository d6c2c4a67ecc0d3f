//! What the kernel says about pages that are not there; copies of every width and alignment.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::File;
use std::path::Path;

use nix::libc;

use super::*;
use crate::bytes::{Bytes, HOST_PAGE, HOST_PAGE_BYTES};
use crate::memory::MemoryImage;

/// `MADV_GUARD_INSTALL`, Linux 6.13.
const GUARD_INSTALL: libc::c_int = 102;
const PAGES: u64 = 16;

impl Reservation {
    /// Gives advice about all of it; whether the kernel took it.
    fn advise(&self, advice: libc::c_int) -> bool {
        self.advise_part(Bytes::ZERO, self.len(), advice)
    }

    fn advise_part(&self, at: Bytes, len: Bytes, advice: libc::c_int) -> bool {
        let (address, size) = self.range(at, len).unwrap();
        // SAFETY: the range is owned (rule 1), and no advice used here frees anything else.
        unsafe { libc::madvise(address.get() as *mut libc::c_void, size.get(), advice) == 0 }
    }

    /// Asks for a huge page in the place of the small ones there, as the kernel makes one by itself
    /// in time; whether it did.
    pub(crate) fn collapse(&self, at: Bytes, len: Bytes) -> bool {
        self.advise_part(at, len, libc::MADV_COLLAPSE)
    }
}

/// Numbers of the private pages, by `PAGEMAP_SCAN`; nothing where there is none.
fn private_pages(pages: &Reservation) -> Option<Vec<u64>> {
    let pagemap = File::open("/proc/self/pagemap").ok()?;
    let mut regions = [PageRegion::default(); PAGES as usize];
    let (base, end) = (pages.base(), pages.at(pages.len()));
    let stop = scan_private(&pagemap, base, end, u64::MAX, &mut regions).ok()?;
    let number = |address: u64| (address - base.addr().get() as u64) / HOST_PAGE.0;
    let listed = &regions[..stop.regions];
    Some(listed.iter().flat_map(|r| number(r.start)..number(r.end)).collect())
}

#[test]
fn a_page_that_is_not_present_but_has_an_entry_is_private() {
    // A swapped page is one; a guard marker is what can be had without swap: the kernel keeps an
    // entry for either and calls it swapped.
    let page = Reservation::reserve(HOST_PAGE).unwrap();
    page.map_zeros(Bytes::ZERO, HOST_PAGE).unwrap();
    if !page.advise(GUARD_INSTALL) {
        return println!("no guard markers on this kernel: not tested");
    }
    assert!(!is_readable(page.base()), "nothing is present there");
    if let Some(pages) = private_pages(&page) {
        assert_eq!(pages, [0]);
    }
}

#[test]
fn private_pages_that_the_kernel_was_asked_to_reclaim_are_still_listed() {
    let image = MemoryImage::from_bytes(&vec![7; PAGES as usize * HOST_PAGE_BYTES]).unwrap();
    let pages = Reservation::reserve(Bytes(PAGES * HOST_PAGE.0)).unwrap();
    let private = FileMapping::Private;
    pages.map_file(Bytes::ZERO, pages.len(), image.fd(), Bytes::ZERO, private).unwrap();
    let mut byte = [0];
    for page in 0..PAGES {
        pages.read(Bytes(page * HOST_PAGE.0), &mut byte);
        if page % 2 == 0 {
            pages.write(Bytes(page * HOST_PAGE.0), &[9]);
        }
    }
    let taken = pages.advise(libc::MADV_PAGEOUT);
    let swap = std::fs::read_to_string(Path::new("/proc/swaps")).unwrap_or_default();
    match (taken, swap.lines().count()) {
        (true, 2..) => println!("exercised: private pages pushed out to swap"),
        (true, _) => println!("exercised: reclaim of clean pages; no swap here for private ones"),
        (false, _) => println!("no MADV_PAGEOUT here: private pages only"),
    }
    if let Some(listed) = private_pages(&pages) {
        assert_eq!(listed, (0..PAGES).step_by(2).collect::<Vec<_>>());
    }
    for page in 0..PAGES {
        pages.read(Bytes(page * HOST_PAGE.0), &mut byte);
        assert_eq!(byte, [if page % 2 == 0 { 9 } else { 7 }]);
    }
}

#[test]
fn an_address_can_be_asked_about_without_touching_it() {
    let pages = Reservation::reserve(Bytes(2 * HOST_PAGE.0)).unwrap();
    pages.map_zeros(Bytes::ZERO, HOST_PAGE).unwrap();
    assert!(is_readable(pages.base()));
    assert!(!is_readable(pages.at(HOST_PAGE)));
    pages.allow(HOST_PAGE, HOST_PAGE).unwrap();
    assert!(is_readable(pages.at(HOST_PAGE)));
    pages.clear(Bytes::ZERO, HOST_PAGE).unwrap();
    assert!(!is_readable(pages.base()));
}

#[test]
fn nothing_outside_a_reservation_can_be_mapped_or_thrown_away() {
    let pages = Reservation::reserve(Bytes(4 * HOST_PAGE.0)).unwrap();
    for (at, len) in [(0, 5), (4, 1), (1, 4), (0, 0), (u64::MAX / HOST_PAGE.0, 2)] {
        let (at, len) = (Bytes(at * HOST_PAGE.0), Bytes(len * HOST_PAGE.0));
        assert!(pages.map_zeros(at, len).is_err());
        assert!(pages.clear(at, len).is_err());
        assert!(pages.allow(at, len).is_err());
        assert!(pages.discard(at, len).is_err());
    }
    assert!(pages.map_zeros(Bytes(1), HOST_PAGE).is_err());
    assert!(pages.map_zeros(Bytes::ZERO, Bytes(1)).is_err());
}

#[test]
fn copies_of_every_width_and_alignment_move_just_their_bytes() {
    let page = Reservation::reserve(HOST_PAGE).unwrap();
    page.map_zeros(Bytes::ZERO, HOST_PAGE).unwrap();
    for (start, len) in (0..9).flat_map(|start| (0..20).map(move |len| (start, len))) {
        page.zero_page(Bytes::ZERO);
        let bytes: Vec<u8> = (1..=len).collect();
        page.write(Bytes(start), &bytes);
        let mut whole = [0; 32];
        page.read(Bytes::ZERO, &mut whole);
        let mut expected = [0; 32];
        expected[start as usize..][..bytes.len()].copy_from_slice(&bytes);
        assert_eq!(whole, expected, "{len} bytes at {start}");
        let mut back = vec![0; bytes.len()];
        page.read(Bytes(start), &mut back);
        assert_eq!(back, bytes);
    }
}
