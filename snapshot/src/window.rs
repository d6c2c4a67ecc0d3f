//! Which parts of a slot's state window are taken.
//!
//! What it is: bookkeeping of addresses. What it is not: the mapping itself (the slot's).
//!
//! ```text
//! base                                                end            limit
//! ├── mapped ──┼── free (zeros) ──┼── mapped ──────────┤ inaccessible │
//! ```
//!
//! The window is filled from its base, so that one number, its end, says what the guest may touch.
//! A region given back early stays accessible, as zeros, until a later map takes it.

use crate::bytes::{Bytes, HOST_PAGE};

/// Most regions that a window is cut into; each costs the process a mapping.
pub const MAX_WINDOW_REGIONS: usize = 256;

/// Why a window has no place, or no such region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// A region of no bytes.
    #[error("expected a region of at least one byte, found an empty one")]
    Empty,
    /// No gap is long enough.
    #[error("window has no room for {asked}: its longest gap is {free}; unmap a region first")]
    Full {
        /// Bytes asked for.
        asked: Bytes,
        /// The longest gap.
        free: Bytes,
    },
    /// Cut into too many pieces.
    #[error("window has {MAX_WINDOW_REGIONS} regions, the most it may have; unmap one first")]
    TooMany,
    /// No region is mapped there.
    #[error("no region starts at {addr:#x}; give the address that mapping it returned")]
    NoSuchRegion {
        /// Guest address asked for.
        addr: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) start: Bytes,
    pub(crate) len: Bytes,
    mapped: bool,
}

impl Region {
    pub(crate) fn end(&self) -> Bytes {
        Bytes(self.start.0 + self.len.0)
    }
}

#[derive(Debug)]
pub(crate) struct Window {
    base: Bytes,
    limit: Bytes,
    /// Invariant: sorted, without gaps, from `base` to `end()`; no two free ones are neighbours.
    regions: Vec<Region>,
}

impl Window {
    pub(crate) fn new(base: Bytes, limit: Bytes) -> Self {
        Self { base, limit, regions: Vec::new() }
    }

    /// Address after the last region.
    pub(crate) fn end(&self) -> Bytes {
        self.regions.last().map_or(self.base, Region::end)
    }

    /// Forgets all regions.
    pub(crate) fn clear(&mut self) {
        self.regions.clear();
    }

    /// Where `len` bytes, rounded up to pages, would go: the first gap that holds them.
    pub(crate) fn place(&self, len: Bytes) -> Result<Region, WindowError> {
        if len == Bytes::ZERO {
            return Err(WindowError::Empty);
        }
        let tail = self.limit.saturating_sub(self.end());
        let gaps = self.regions.iter().filter(|r| !r.mapped).map(|r| (r.start, r.len));
        let longest = gaps.clone().map(|(_, len)| len).max().unwrap_or_default().max(tail);
        if len > longest {
            return Err(WindowError::Full { asked: len, free: longest });
        }
        let len = len.host_pages().bytes();
        // A gap that is cut in two, or a region at the end, makes one more.
        let no_more = self.regions.len() >= MAX_WINDOW_REGIONS;
        let gap = gaps.clone().find(|&(_, gap)| if no_more { gap == len } else { gap >= len });
        if no_more && gap.is_none() {
            return Err(WindowError::TooMany);
        }
        let start = gap.map_or(self.end(), |(start, _)| start);
        Ok(Region { start, len, mapped: true })
    }

    /// Takes a place that `place` gave.
    pub(crate) fn take(&mut self, region: Region) {
        debug_assert!(region.start.is_multiple_of(HOST_PAGE) && region.end() <= self.limit);
        let at = self.regions.partition_point(|r| r.start < region.start);
        if let Some(gap) = self.regions.get_mut(at) {
            debug_assert!(!gap.mapped && gap.start == region.start && gap.len >= region.len);
            gap.start = region.end();
            gap.len = gap.len.saturating_sub(region.len);
            if gap.len == Bytes::ZERO {
                self.regions.remove(at);
            }
        }
        self.regions.insert(at, region);
    }

    /// The mapped region that starts at `addr`.
    pub(crate) fn find(&self, addr: u32) -> Result<Region, WindowError> {
        let start = Bytes(u64::from(addr));
        let found = self.regions.iter().find(|r| r.mapped && r.start == start);
        found.copied().ok_or(WindowError::NoSuchRegion { addr })
    }

    /// Makes a mapped region free, and one with its free neighbours.
    pub(crate) fn release(&mut self, region: Region) {
        let freed = self.regions.iter_mut().find(|r| r.mapped && r.start == region.start);
        debug_assert!(freed.is_some(), "release of {region:?}, which is not mapped");
        if let Some(freed) = freed {
            freed.mapped = false;
        }
        self.regions.dedup_by(|next, kept| {
            let joined = !next.mapped && !kept.mapped;
            if joined {
                kept.len = Bytes(kept.len.0 + next.len.0);
            }
            joined
        });
    }

    /// Whether a place was free before, and so accessible as zeros.
    pub(crate) fn is_reused(&self, region: Region) -> bool {
        region.start < self.end()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const BASE: Bytes = Bytes::mib(1);

    fn window() -> Window {
        Window::new(BASE, Bytes(BASE.0 + 8 * HOST_PAGE.0))
    }

    fn map(window: &mut Window, pages: u64) -> u64 {
        let region = window.place(Bytes(pages * HOST_PAGE.0)).unwrap();
        window.take(region);
        (region.start.0 - BASE.0) / HOST_PAGE.0
    }

    fn unmap(window: &mut Window, page: u64) -> Result<(), WindowError> {
        let region = window.find((BASE.0 + page * HOST_PAGE.0) as u32)?;
        window.release(region);
        Ok(())
    }

    #[test]
    fn fills_from_its_base_and_reuses_what_was_given_back() {
        let mut window = window();
        assert_eq!((map(&mut window, 2), map(&mut window, 3), map(&mut window, 1)), (0, 2, 5));
        assert_eq!(window.end(), Bytes(BASE.0 + 6 * HOST_PAGE.0));
        unmap(&mut window, 2).unwrap();
        assert_eq!(window.end(), Bytes(BASE.0 + 6 * HOST_PAGE.0));
        assert_eq!((map(&mut window, 1), map(&mut window, 2)), (2, 3));
        assert_eq!(map(&mut window, 2), 6);
        let full = WindowError::Full { asked: Bytes(1), free: Bytes::ZERO };
        assert_eq!(window.place(Bytes(1)), Err(full));
    }

    #[test]
    fn free_neighbours_become_one_gap() {
        let mut window = window();
        for _ in 0..8 {
            map(&mut window, 1);
        }
        for page in [3, 5, 4] {
            unmap(&mut window, page).unwrap();
        }
        assert_eq!(window.place(Bytes(1)).map(|r| r.len), Ok(HOST_PAGE));
        assert_eq!(map(&mut window, 3), 3);
    }

    #[test]
    fn with_as_many_regions_as_there_may_be_one_that_was_given_back_is_taken_again() {
        let mut window = Window::new(BASE, Bytes(BASE.0 + 1024 * HOST_PAGE.0));
        for _ in 0..MAX_WINDOW_REGIONS {
            map(&mut window, 2);
        }
        assert_eq!(window.place(Bytes(1)), Err(WindowError::TooMany));
        unmap(&mut window, 6).unwrap();
        assert_eq!(window.place(Bytes(1)), Err(WindowError::TooMany), "one more than there may be");
        assert_eq!(map(&mut window, 2), 6);
    }

    #[test]
    fn refuses_what_is_not_mapped() {
        let mut window = window();
        map(&mut window, 2);
        unmap(&mut window, 0).unwrap();
        assert!(matches!(unmap(&mut window, 0), Err(WindowError::NoSuchRegion { .. })));
        assert!(matches!(unmap(&mut window, 1), Err(WindowError::NoSuchRegion { .. })));
        assert_eq!(window.place(Bytes::ZERO), Err(WindowError::Empty));
        let whole = window.place(Bytes(8 * HOST_PAGE.0 + 1));
        assert!(matches!(whole, Err(WindowError::Full { .. })));
    }

    #[test]
    fn has_no_more_than_its_most_regions() {
        let mut window = Window::new(BASE, Bytes::gib(1));
        for _ in 0..MAX_WINDOW_REGIONS {
            map(&mut window, 1);
        }
        assert_eq!(window.place(Bytes(1)), Err(WindowError::TooMany));
    }
}
