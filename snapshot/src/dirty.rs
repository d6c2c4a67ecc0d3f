//! Which pages of a slot are private, and how that is known.
//!
//! What it is: the page map of this process ([`Pagemap`]), a worker's way of asking it
//! ([`Scanner`]), and the list of private pages that a slot keeps. What it is not: what is done
//! with the list (`reset`).
//!
//! A page becomes private by a fault of the thread that writes it. So a list stays good for as
//! long as the fault counters of the one thread that used the slot stand still, and asking for
//! them costs a fraction of a scan. Huge pages would break that premise, as the kernel puts one in
//! the place of small pages without a fault of anybody: where they cannot be forbidden, a list is
//! never taken to be good.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::prctl::set_thp_disable;
use nix::sys::resource::{UsageWho, getrusage};

use crate::bytes::{Bytes, HOST_PAGE, HOST_PAGE_BYTES};
use crate::memory::MemoryImage;
use crate::sys::{self, FileMapping, MAX_SCAN_REGIONS, PageRegion, Reservation};

/// Where the kernel shows this process its page map.
const PAGEMAP_PATH: &str = "/proc/self/pagemap";
/// Page map entries read at a time by the fallback.
const ENTRIES_PER_READ: usize = 512;
const ENTRY_BYTES: usize = 8;

/// How private pages are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PagemapMethod {
    /// The `PAGEMAP_SCAN` call: Linux 6.7 and later.
    Scan,
    /// Reading an 8-byte entry per page.
    Entries,
    /// Not at all: every reset throws all private pages away.
    Blind,
}

/// The page map of this process.
///
/// It must be opened by the process that uses it, since the descriptor stays with the address
/// space that opened it, and before a sandbox takes `/proc` away; it works on afterwards.
#[derive(Debug)]
pub struct Pagemap {
    /// Invariant: there unless the method is `Blind`.
    file: Option<File>,
    method: PagemapMethod,
    /// Invariant: true only where this process gets no huge pages from here on.
    only_faults: bool,
}

impl Pagemap {
    /// Opens the page map and finds out, by trying on pages of its own, the best method that
    /// tells the truth here. From then on this process gets no huge pages.
    pub fn open() -> Self {
        [PagemapMethod::Scan, PagemapMethod::Entries]
            .into_iter()
            .find_map(Self::with_method)
            .unwrap_or(Self { file: None, method: PagemapMethod::Blind, only_faults: false })
    }

    /// Opens the page map for one method; nothing if that does not tell the truth here.
    pub fn with_method(method: PagemapMethod) -> Option<Self> {
        if method == PagemapMethod::Blind {
            return Some(Self { file: None, method, only_faults: false });
        }
        let only_faults = set_thp_disable(true).is_ok();
        let pagemap = Self { file: Some(File::open(PAGEMAP_PATH).ok()?), method, only_faults };
        pagemap.tells_the_truth().ok().filter(|&truth| truth).map(|_| pagemap)
    }

    /// Its descriptor, if it needs one, for a sandbox to keep open.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    /// The method in use.
    pub fn method(&self) -> PagemapMethod {
        self.method
    }

    /// Whether pages become private by faults alone, so that a list may be used again.
    pub fn only_faults(&self) -> bool {
        self.only_faults
    }

    /// Writes two of four pages and looks whether those two, and they alone, are listed.
    fn tells_the_truth(&self) -> io::Result<bool> {
        let image = MemoryImage::from_bytes(&[1; 2 * HOST_PAGE_BYTES]).map_err(io::Error::other)?;
        let pages = Reservation::reserve(Bytes(4 * HOST_PAGE.0))?;
        let half = Bytes(2 * HOST_PAGE.0);
        pages.map_file(Bytes::ZERO, half, image.fd(), Bytes::ZERO, FileMapping::Private)?;
        pages.map_zeros(half, half)?;
        let mut byte = [0];
        for page in [0, 2] {
            let (clean, written) = (Bytes(page * HOST_PAGE.0), Bytes((page + 1) * HOST_PAGE.0));
            pages.read(clean, &mut byte);
            pages.write(written, &byte);
        }
        let (mut regions, mut list) = (vec![PageRegion::default(); 4], PageList::default());
        let range = (pages.base(), pages.at(pages.len()));
        let found = self.list(range, u64::MAX, &mut regions, &mut list)?;
        let pages: Vec<u32> = list.pages().collect();
        // Page 2 was only read; the entries of pages cannot tell that from a write.
        let also_read = self.method == PagemapMethod::Entries && pages == [1, 2, 3];
        Ok(found == Found::All && (pages == [1, 3] || also_read))
    }

    /// Replaces `list` by the private pages between two addresses, unless there are more than
    /// `limit`; they are numbered from the first address.
    fn list(
        &self,
        range: (NonNull<u8>, NonNull<u8>),
        limit: u64,
        regions: &mut [PageRegion],
        list: &mut PageList,
    ) -> io::Result<Found> {
        list.clear();
        match (&self.file, self.method) {
            (Some(file), PagemapMethod::Scan) => scan(file, range, limit, regions, list),
            (Some(file), PagemapMethod::Entries) => read_entries(file, range, limit, list),
            _ => Ok(Found::Unknown),
        }
    }
}

/// What asking for private pages gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The list holds all of them.
    All,
    /// There are more than the limit.
    TooMany,
    /// Nobody can tell.
    Unknown,
}

fn scan(
    file: &File,
    (base, end): (NonNull<u8>, NonNull<u8>),
    limit: u64,
    regions: &mut [PageRegion],
    list: &mut PageList,
) -> io::Result<Found> {
    let first = base.addr().get() as u64;
    let mut at = base;
    while at < end {
        let left = (limit - list.len()).saturating_add(1);
        let stop = sys::scan_private(file, at, end, left, regions)?;
        for region in &regions[..stop.regions] {
            let page = (region.start - first) / HOST_PAGE.0;
            list.push(page as u32, ((region.end - region.start) / HOST_PAGE.0) as u32);
        }
        if list.len() > limit {
            return Ok(Found::TooMany);
        }
        let walked = usize::try_from(stop.walk_end).ok().and_then(std::num::NonZeroUsize::new);
        match walked {
            Some(walked) if walked > at.addr() => at = at.with_addr(walked),
            _ => return Err(io::Error::other("a page map scan made no progress")),
        }
    }
    Ok(Found::All)
}

fn read_entries(
    file: &File,
    (base, end): (NonNull<u8>, NonNull<u8>),
    limit: u64,
    list: &mut PageList,
) -> io::Result<Found> {
    let mut buffer = [0; ENTRIES_PER_READ * ENTRY_BYTES];
    let first = base.addr().get() / HOST_PAGE_BYTES;
    let pages = (end.addr().get() - base.addr().get()) / HOST_PAGE_BYTES;
    for start in (0..pages).step_by(ENTRIES_PER_READ) {
        let bytes = &mut buffer[..(pages - start).min(ENTRIES_PER_READ) * ENTRY_BYTES];
        file.read_exact_at(bytes, ((first + start) * ENTRY_BYTES) as u64)?;
        let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
        for (page, entry) in entries.iter().enumerate() {
            if sys::entry_is_private(u64::from_ne_bytes(*entry)) {
                list.push((start + page) as u32, 1);
            }
        }
        if list.len() > limit {
            return Ok(Found::TooMany);
        }
    }
    Ok(Found::All)
}

/// Pages, as sorted runs.
#[derive(Debug, Default)]
pub(crate) struct PageList {
    /// Invariant: sorted, apart, none empty.
    runs: Vec<(u32, u32)>,
    /// Invariant: the sum of the runs' lengths.
    len: u64,
}

impl PageList {
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        self.len = 0;
    }

    /// Forgets the pages from number `end` on.
    pub(crate) fn truncate(&mut self, end: u32) {
        while let Some((start, count)) = self.runs.pop() {
            self.len -= u64::from(count);
            if start < end {
                self.push(start, count.min(end - start));
                break;
            }
        }
    }

    /// How many pages.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Their numbers.
    pub(crate) fn pages(&self) -> impl Iterator<Item = u32> + '_ {
        self.runs.iter().flat_map(|&(start, count)| start..start + count)
    }

    /// Adds pages that lie after all others.
    fn push(&mut self, start: u32, count: u32) {
        self.len += u64::from(count);
        match self.runs.last_mut() {
            Some((first, run)) if *first + *run == start => *run += count,
            _ => self.runs.push((start, count)),
        }
    }
}

/// A moment in the life of one worker thread, as its fault counters tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) scanner: ScannerId,
    faults: i64,
}

/// Names a scanner, and with it the thread that it is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScannerId(u64);

/// A worker thread's way of finding private pages. It stays on its thread.
#[derive(Debug)]
pub struct Scanner {
    pagemap: Arc<Pagemap>,
    regions: Vec<PageRegion>,
    id: ScannerId,
    /// Fault counters are a thread's own: neither `Send` nor `Sync`.
    thread: PhantomData<Cell<*const ()>>,
}

impl Scanner {
    /// A scanner for the current thread.
    pub fn new(pagemap: Arc<Pagemap>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = ScannerId(NEXT.fetch_add(1, Ordering::Relaxed));
        let regions = vec![PageRegion::default(); MAX_SCAN_REGIONS];
        Self { pagemap, regions, id, thread: PhantomData }
    }

    /// The page map that it asks.
    pub fn pagemap(&self) -> &Pagemap {
        &self.pagemap
    }

    pub(crate) fn id(&self) -> ScannerId {
        self.id
    }

    /// This moment; nothing if the system does not tell, or pages become private without a fault.
    pub(crate) fn mark(&self) -> Option<Mark> {
        if !self.pagemap.only_faults {
            return None;
        }
        let usage = getrusage(UsageWho::RUSAGE_THREAD).ok()?;
        let faults = usage.minor_page_faults() + usage.major_page_faults();
        Some(Mark { scanner: self.id, faults })
    }

    /// Replaces `list` by the private pages from `from` to `to` in a reservation, numbered from
    /// there, unless there are more than `limit`.
    pub(crate) fn list(
        &mut self,
        reservation: &Reservation,
        (from, to): (Bytes, Bytes),
        limit: u64,
        list: &mut PageList,
    ) -> io::Result<Found> {
        let range = (reservation.at(from), reservation.at(to));
        self.pagemap.list(range, limit, &mut self.regions, list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_huge_pages_cannot_be_forbidden_no_moment_is_told() {
        let open = || Pagemap::with_method(PagemapMethod::Scan);
        let Some(pagemap) = open() else { return println!("no page map here: not tested") };
        assert!(pagemap.only_faults() && Scanner::new(Arc::new(pagemap)).mark().is_some());
        let pagemap = open().map(|pagemap| Pagemap { only_faults: false, ..pagemap });
        assert_eq!(Scanner::new(Arc::new(pagemap.unwrap())).mark(), None);
    }

    #[test]
    fn a_list_is_cut_before_in_and_after_its_runs() {
        for end in 0..20 {
            let (mut list, pages) = (PageList::default(), [2, 3, 4, 8, 9, 15]);
            for (start, count) in [(2, 2), (4, 1), (8, 2), (15, 1)] {
                list.push(start, count);
            }
            assert_eq!((list.len(), list.runs.len()), (6, 3));
            list.truncate(end);
            let left: Vec<u32> = pages.into_iter().filter(|&page| page < end).collect();
            assert_eq!(list.pages().collect::<Vec<_>>(), left);
            assert_eq!(list.len(), left.len() as u64);
        }
    }
}
