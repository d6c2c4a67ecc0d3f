//! Byte and page counts as types, so that a page count is never taken for a byte count.
//!
//! What they are not: guest addresses (those are plain `u32`, since that is what a guest holds).

use std::fmt;

/// Size of a page of the host, the unit of mapping, copying back and sharing.
pub const HOST_PAGE: Bytes = Bytes(HOST_PAGE_BYTES as u64);
/// [`HOST_PAGE`] as a plain number, for array lengths and pointer steps.
pub const HOST_PAGE_BYTES: usize = 4096;
/// Size of a page of WebAssembly, the unit of a guest's heap.
pub const WASM_PAGE: Bytes = Bytes(64 * 1024);

/// A count of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl Bytes {
    /// No bytes.
    pub const ZERO: Bytes = Bytes(0);

    /// `n` times 1024 bytes.
    pub const fn kib(n: u64) -> Bytes {
        Bytes(n << 10)
    }

    /// `n` times 1024 KiB.
    pub const fn mib(n: u64) -> Bytes {
        Bytes(n << 20)
    }

    /// `n` times 1024 MiB.
    pub const fn gib(n: u64) -> Bytes {
        Bytes(n << 30)
    }

    /// `n` pages of WebAssembly.
    pub const fn wasm_pages(n: u32) -> Bytes {
        Bytes(n as u64 * WASM_PAGE.0)
    }

    /// The count as a `usize`; the crate is for 64-bit hosts only.
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }

    /// Whether this is a whole number of `unit`s.
    pub const fn is_multiple_of(self, unit: Bytes) -> bool {
        self.0.is_multiple_of(unit.0)
    }

    /// How many host pages these bytes touch when they start at a page.
    pub const fn host_pages(self) -> HostPages {
        HostPages(self.0.div_ceil(HOST_PAGE.0))
    }

    /// The sum, or nothing when it does not fit.
    pub fn checked_add(self, other: Bytes) -> Option<Bytes> {
        self.0.checked_add(other.0).map(Bytes)
    }

    /// The difference, or zero when `other` is the larger.
    #[must_use]
    pub const fn saturating_sub(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 30 && n.is_multiple_of(1 << 30) => write!(f, "{} GiB", n >> 30),
            n if n >= 1 << 20 && n.is_multiple_of(1 << 20) => write!(f, "{} MiB", n >> 20),
            n if n >= 1 << 10 && n.is_multiple_of(1 << 10) => write!(f, "{} KiB", n >> 10),
            n => write!(f, "{n} bytes"),
        }
    }
}

/// A count of host pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPages(pub u64);

impl HostPages {
    /// No pages.
    pub const ZERO: HostPages = HostPages(0);

    /// What the pages hold.
    pub const fn bytes(self) -> Bytes {
        Bytes(self.0 * HOST_PAGE.0)
    }
}

impl fmt::Display for HostPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pages", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_round_up_and_print_in_the_largest_whole_unit() {
        assert_eq!(Bytes(0).host_pages(), HostPages(0));
        assert_eq!(Bytes(1).host_pages(), HostPages(1));
        assert_eq!(Bytes(4096).host_pages(), HostPages(1));
        assert_eq!(Bytes(4097).host_pages(), HostPages(2));
        assert_eq!(Bytes::gib(3).to_string(), "3 GiB");
        assert_eq!(Bytes(65_537).to_string(), "65537 bytes");
        assert_eq!(Bytes::wasm_pages(2).to_string(), "128 KiB");
    }
}
