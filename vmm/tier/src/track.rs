//! How pages are found that functions stored to through mappings.
//!
//! With write protection the kernel notes the first store to each page since it was last asked; a
//! push asks, which protects the page again in the same step, and copies afterwards. So a store is
//! in the copy, or is noted for the next push. Without it every page of a mapping may have been
//! stored to, and is compared with its base.
//!
//! A first store to a protected page costs as much as comparing about nine pages, and its first load
//! four times that of another page, as the kernel maps none around it. So mappings that are short,
//! and values of which much was stored to, are compared; see [`Tracker::is_dense`]. One that is
//! pushed while it is there will be again, and is watched from then on if it is long enough.

use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use faaslet_snapshot::pagemap::{MAX_SCAN_REGIONS, PageRegion, WriteWatch, scan_written};
use nix::errno::Errno;

use crate::sys::{Access, Memory, PAGE_BYTES, populate};

/// Where the kernel shows this process its page map.
const PAGEMAP_PATH: &str = "/proc/self/pagemap";

/// Shorter mappings are not watched from their start: comparing one once costs less.
const MIN_WATCHED_AT_ONCE_BYTES: u64 = 2 << 20;
/// Shorter mappings are never watched.
const MIN_WATCHED_BYTES: u64 = 512 * 1024;
/// Where more than one page of so many was stored to, comparing all is cheaper.
const DENSE_PART: u64 = 8;
/// Where fewer than one page of so many differed, watching is cheaper.
const SPARSE_PART: u64 = 16;

/// How it is done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// By write protection that the kernel lifts by itself: userfaultfd in `WP_ASYNC` mode and
    /// `PAGEMAP_SCAN`, Linux 6.7 and later.
    Protect,
    /// By comparing all that is mapped for writing.
    Compare,
}

/// The means of this process. It is opened by the process that uses it, before a sandbox takes
/// `/proc` away.
#[derive(Debug)]
pub struct Tracker {
    /// Invariant: there if and only if pages are tracked by protection.
    means: Option<Means>,
    populates: bool,
    insists: bool,
}

#[derive(Debug)]
struct Means {
    stores: WriteWatch,
    pagemap: File,
}

impl Tracker {
    /// The best that tells the truth here, found by trying.
    pub fn open() -> Self {
        let means = Means::open().filter(|means| means.tell_the_truth().unwrap_or(false));
        Self { means, populates: false, insists: false }
    }

    /// Comparing everything.
    pub fn comparing() -> Self {
        Self { means: None, populates: false, insists: false }
    }

    /// Whether pages of new mappings are entered at once, and not at the first touch of each.
    #[must_use]
    pub fn populating(self, populates: bool) -> Self {
        Self { populates, ..self }
    }

    /// The same, which watches mappings of any length, however much of them is stored to.
    #[must_use]
    pub fn insisting(self) -> Self {
        Self { insists: true, ..self }
    }

    /// Which it is.
    pub fn tracking(&self) -> Tracking {
        if self.means.is_some() { Tracking::Protect } else { Tracking::Compare }
    }

    /// Its descriptors, for a sandbox to keep open.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.means.iter().flat_map(|means| [means.stores.fd(), means.pagemap.as_fd()])
    }

    /// Enters the pages of a mapping, if that is done at once. What cannot be is left to faults.
    pub(crate) fn populate(&self, pages: &Range<usize>, access: Access) {
        if self.populates {
            populate(pages, access);
        }
    }

    /// Whether `changed` of `all` bytes are so many that comparing is cheaper; `was` is what it
    /// was before.
    pub(crate) fn is_dense(&self, was: bool, changed: u64, all: u64) -> bool {
        let part = if was { SPARSE_PART } else { DENSE_PART };
        !self.insists && changed * part > all
    }

    /// Begins to watch a mapping that is new, if that pays; whether it is watched now.
    pub(crate) fn watch_new(&self, pages: &Range<usize>, is_dense: bool) -> bool {
        self.watch_from(MIN_WATCHED_AT_ONCE_BYTES, pages, is_dense)
    }

    /// The same for one that was pushed.
    pub(crate) fn watch_pushed(&self, pages: &Range<usize>, is_dense: bool) -> bool {
        self.watch_from(MIN_WATCHED_BYTES, pages, is_dense)
    }

    fn watch_from(&self, least: u64, pages: &Range<usize>, is_dense: bool) -> bool {
        if !self.insists && (is_dense || (pages.len() as u64) < least) {
            return false;
        }
        self.means.as_ref().is_some_and(|means| means.stores.watch(pages).is_ok())
    }

    /// Watches a mapping no longer.
    pub(crate) fn unwatch(&self, pages: &Range<usize>) {
        if let Some(means) = &self.means {
            means.stores.unwatch(pages);
        }
    }

    /// Calls `found` with ranges of pages of a watched mapping that were stored to since the last
    /// time, in bytes from its start. Where that cannot be told, `found` gets all of it.
    pub(crate) fn harvest(&self, pages: &Range<usize>, mut found: impl FnMut(Range<u64>)) {
        let told = match &self.means {
            Some(means) => means.scan(pages, &mut found).is_ok(),
            None => false,
        };
        if !told {
            found(0..pages.len() as u64);
        }
    }
}

impl Means {
    fn open() -> Option<Self> {
        let pagemap = File::open(PAGEMAP_PATH).ok()?;
        Some(Self { stores: WriteWatch::open().ok()?, pagemap })
    }

    fn scan(&self, pages: &Range<usize>, found: &mut impl FnMut(Range<u64>)) -> Result<(), Errno> {
        let mut regions = [PageRegion::default(); MAX_SCAN_REGIONS];
        let mut left = pages.clone();
        while !left.is_empty() {
            let stop = scan_written(&self.pagemap, left.clone(), &mut regions)?;
            for region in &regions[..stop.regions] {
                let from_start = |address: u64| address - pages.start as u64;
                found(from_start(region.start)..from_start(region.end));
            }
            // It always gets on: a scan stops early only after it has filled its regions.
            let walk_end = stop.walk_end as usize;
            if walk_end <= left.start {
                return Err(Errno::EIO);
            }
            left.start = walk_end;
        }
        Ok(())
    }

    /// Stores to two of four pages, one of them after a load, and looks whether just those are
    /// found, and nothing at the second time.
    fn tell_the_truth(&self) -> std::io::Result<bool> {
        let memory = Memory::new(4 * PAGE_BYTES)?;
        let view = memory.view(0, 4 * PAGE_BYTES)?;
        let pages = view.addresses();
        self.stores.watch(&pages)?;
        for page in [0, 1] {
            view.load::<u8>(page * PAGE_BYTES as usize);
        }
        let listed = || -> Result<Vec<Range<u64>>, Errno> {
            let mut list = Vec::new();
            self.scan(&pages, &mut |range| list.push(range))?;
            Ok(list)
        };
        let before = listed()?;
        view.store(PAGE_BYTES as usize, 1_u8);
        view.store(2 * PAGE_BYTES as usize, 1_u8);
        let (after, again) = (listed()?, listed()?);
        let written = std::iter::once(PAGE_BYTES..3 * PAGE_BYTES);
        Ok(before.is_empty() && after.into_iter().eq(written) && again.is_empty())
    }
}
