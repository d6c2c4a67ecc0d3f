//! Copies in and out of guest memory, and page-sized work at a reset.
//!
//! The guest is not a Rust program: its stores are, to this one, those of another agent. What is
//! read here may be torn between two of its stores; callers get bytes, never a promise that they
//! belong together, except that a naturally aligned 1, 2, 4 or 8 bytes are moved by one access.
//!
//! All methods stay inside the reservation. Whether a page can be accessed is the caller's to
//! know: one that cannot ends the process with a fault, and is nobody else's memory.

use std::ptr::{self, NonNull};

use nix::libc;

use super::mapping::{Reservation, ViewPage};
use crate::bytes::{Bytes, HOST_PAGE, HOST_PAGE_BYTES};

static ZEROS: [u8; HOST_PAGE_BYTES] = [0; HOST_PAGE_BYTES];

impl Reservation {
    /// Fills `out` from `at` on.
    pub(crate) fn read(&self, at: Bytes, out: &mut [u8]) {
        let from = self.inside(at, out.len());
        // SAFETY: `from` has `out.len()` bytes in the reservation.
        unsafe { copy_from_guest(from, out) }
    }

    /// Copies `bytes` to `at`.
    pub(crate) fn write(&self, at: Bytes, bytes: &[u8]) {
        let to = self.inside(at, bytes.len());
        // SAFETY: `to` has `bytes.len()` bytes in the reservation.
        unsafe { copy_to_guest(bytes, to) }
    }

    /// Makes the page at `at` like one of an image.
    pub(crate) fn put_page(&self, at: Bytes, from: ViewPage<'_>) {
        let to = self.page(at);
        // SAFETY: both are whole pages, in mappings that do not overlap.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to.as_ptr(), HOST_PAGE_BYTES) }
    }

    /// Makes the page at `at` zeros.
    pub(crate) fn zero_page(&self, at: Bytes) {
        // SAFETY: a whole page in the reservation.
        unsafe { ptr::write_bytes(self.page(at).as_ptr(), 0, HOST_PAGE_BYTES) }
    }

    /// Whether the page at `at` holds these bytes.
    pub(crate) fn page_holds(&self, at: Bytes, bytes: &[u8; HOST_PAGE_BYTES]) -> bool {
        // SAFETY: a whole page each; `memcmp` takes plain addresses, so no reference is formed
        // into the mapping.
        unsafe { pages_equal(self.page(at).as_ptr(), bytes.as_ptr()) }
    }

    /// Whether the page at `at` is like one of an image, or zeros for none.
    pub(crate) fn page_is(&self, at: Bytes, page: Option<ViewPage<'_>>) -> bool {
        let Some(page) = page else { return self.page_holds(at, &ZEROS) };
        // SAFETY: as in `page_holds`.
        unsafe { pages_equal(self.page(at).as_ptr(), page.as_ptr()) }
    }

    fn page(&self, at: Bytes) -> NonNull<u8> {
        debug_assert!(at.is_multiple_of(HOST_PAGE));
        self.inside(at, HOST_PAGE_BYTES)
    }

    /// The address of `len` bytes at `at`, all of them in the reservation.
    fn inside(&self, at: Bytes, len: usize) -> NonNull<u8> {
        let end = at.checked_add(Bytes(len as u64));
        assert!(end.is_some_and(|end| end <= self.len()), "{len} bytes at {at} lie outside a slot");
        self.at(at)
    }
}

/// # Safety
/// Both are whole pages that stay mapped during the call.
unsafe fn pages_equal(a: *const u8, b: *const u8) -> bool {
    // SAFETY: the caller's word.
    unsafe { libc::memcmp(a.cast(), b.cast(), HOST_PAGE_BYTES) == 0 }
}

/// # Safety
/// `from .. from + out.len()` is in a reservation that outlives the call.
unsafe fn copy_from_guest(from: NonNull<u8>, out: &mut [u8]) {
    let (from, to) = (from.as_ptr().cast_const(), out.as_mut_ptr());
    // SAFETY: in a reservation by the caller's word, and writable as a slice; they cannot overlap,
    // since by rule 2 no slice lies in a mapping. The widths are the slice's length.
    unsafe {
        let moved = match out.len() {
            1 => load_whole::<u8>(from, to),
            2 => load_whole::<u16>(from, to),
            4 => load_whole::<u32>(from, to),
            8 => load_whole::<u64>(from, to),
            _ => false,
        };
        if !moved {
            ptr::copy_nonoverlapping(from, to, out.len());
        }
    }
}

/// # Safety
/// `to .. to + bytes.len()` is in a reservation that outlives the call.
unsafe fn copy_to_guest(bytes: &[u8], to: NonNull<u8>) {
    let (from, to) = (bytes.as_ptr(), to.as_ptr());
    // SAFETY: as in `copy_from_guest`, the other way round.
    unsafe {
        let moved = match bytes.len() {
            1 => store_whole::<u8>(from, to),
            2 => store_whole::<u16>(from, to),
            4 => store_whole::<u32>(from, to),
            8 => store_whole::<u64>(from, to),
            _ => false,
        };
        if !moved {
            ptr::copy_nonoverlapping(from, to, bytes.len());
        }
    }
}

/// Moves a `T` out of guest memory by one access; does nothing if it is not aligned there.
///
/// # Safety
/// Both hold a `T`, which any bytes are.
unsafe fn load_whole<T: Copy>(from: *const u8, to: *mut u8) -> bool {
    let from = from.cast::<T>();
    if from.is_aligned() {
        // SAFETY: the caller's word, and aligned.
        unsafe { to.cast::<T>().write_unaligned(from.read_volatile()) }
    }
    from.is_aligned()
}

/// Moves a `T` into guest memory by one access; does nothing if it is not aligned there.
///
/// # Safety
/// Both hold a `T`, which any bytes are.
unsafe fn store_whole<T: Copy>(from: *const u8, to: *mut u8) -> bool {
    let to = to.cast::<T>();
    if to.is_aligned() {
        // SAFETY: the caller's word, and aligned.
        unsafe { to.write_volatile(from.cast::<T>().read_unaligned()) }
    }
    to.is_aligned()
}
