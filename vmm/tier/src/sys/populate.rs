//! Entering the pages of a mapping before they are touched.

use std::ops::Range;

use nix::libc;

/// For what pages are entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Loads alone.
    Load,
    /// Stores too.
    Store,
}

/// Enters the pages of a range of this process, as if each had been touched; bytes stay as they
/// are. Whatever cannot be entered is left out.
pub(crate) fn populate(pages: &Range<usize>, access: Access) {
    let advice = match access {
        Access::Load => libc::MADV_POPULATE_READ,
        Access::Store => libc::MADV_POPULATE_WRITE,
    };
    let start = std::ptr::without_provenance_mut(pages.start);
    // SAFETY: this advice changes no bytes of whatever is mapped there; an address without a
    // mapping is refused.
    unsafe { libc::madvise(start, pages.len(), advice) };
}
