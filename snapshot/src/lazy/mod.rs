//! An image that is not wholly here: its memory file with holes, and which chunks are in it.
//!
//! What it is: the one place that knows which chunks are here, that fetches each of them once
//! whoever asks, and that makes the image whole in the end. What it is not: who asks (the pager,
//! the background), or where chunks come from ([`crate::source`]).
//!
//! ```text
//!  absent ──claim──► fetching ──checked, written──► here        all here ──► sealed: whole
//!     ▲                 │
//!     └── no source ────┘  who waits claims it next, until its own deadline
//! ```

mod error;
mod fetch;
mod file;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::bytes::Bytes;
use crate::image::layout::{CHUNK_BYTES, PAGE_BYTES, PAGES_PER_CHUNK};
use crate::image::{ChunkRow, Head, Image, ImageId};
use crate::memory::{MemoryDraft, MemoryImageError};
use crate::source::{MAX_REQUEST_CHUNKS, Source, Urgency};

pub use error::{BadChunk, FetchError};
use fetch::Candidate;
pub use file::FileSource;

/// What happens to an image on its way here, told from the thread that it happens on.
pub trait Events: Send + Sync {
    /// A source did not give what was asked; the next one is asked.
    fn failed(&self, _image: ImageId, _source: &str, _why: &str) {}
    /// A source gave what is not the image's, and is asked no more.
    fn left_out(&self, _image: ImageId, _source: &str, _why: &BadChunk) {}
    /// The last chunk is here, and the memory is sealed.
    fn whole(&self, _image: ImageId) {}
}

/// Nobody wants to know.
impl Events for () {}

/// How much of an image is here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Chunks that are here.
    pub here: usize,
    /// Chunks that hold data.
    pub chunks: usize,
    /// Bytes of pages that were fetched.
    pub fetched_bytes: u64,
    /// Requests to sources.
    pub requests: u64,
    /// Faults that had to wait for a chunk.
    pub waited: u64,
}

/// What a page is that a fork has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// In the memory file now.
    Here,
    /// Zeros, with so many pages from this one on, within its chunk.
    Zeros(u32),
}

/// See the module.
pub struct LazyImage {
    head: Head,
    /// Invariant: what is marked as here is in it and was checked.
    file: File,
    reader: OwnedFd,
    /// Where the stored pages of each row lie in the image's file.
    offsets: Vec<u64>,
    candidates: Vec<Candidate>,
    state: Mutex<State>,
    changed: Condvar,
    events: Arc<dyn Events>,
}

#[derive(Default)]
struct State {
    /// By row of the head. Invariant: as long as its rows.
    rows: Vec<Row>,
    progress: Progress,
    /// Chunks, and pages of them, in the order in which forks first met them absent.
    touched: Vec<(u32, u16)>,
    image: Option<Arc<Image>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Row {
    #[default]
    Absent,
    Fetching,
    Here,
}

impl LazyImage {
    /// An image of which only the head is here. Sources are asked in this order.
    ///
    /// # Errors
    /// When there is no memory file for it.
    pub fn new(
        head: Head,
        sources: Vec<Arc<dyn Source>>,
        events: Arc<dyn Events>,
    ) -> Result<Arc<Self>, MemoryImageError> {
        let draft = MemoryDraft::new(Bytes(head.memory_bytes()))?;
        let (file, reader) = draft.into_filling()?;
        let (rows, mut at) = (head.chunks(), head.as_bytes().len() as u64);
        let offsets = rows.iter().map(|row| {
            let offset = at;
            at += stored_bytes(row) as u64;
            offset
        });
        let offsets = offsets.collect();
        let progress = Progress { chunks: rows.len(), ..Progress::default() };
        let rows = vec![Row::Absent; rows.len()];
        let image = Self {
            file,
            reader,
            offsets,
            candidates: sources.into_iter().map(Candidate::new).collect(),
            state: Mutex::new(State { rows, progress, ..State::default() }),
            changed: Condvar::new(),
            events,
            head,
        };
        image.settle(image.lock())?;
        Ok(Arc::new(image))
    }

    /// Name of the image.
    pub fn id(&self) -> ImageId {
        self.head.id()
    }

    /// All of it but the memory.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The memory, to be mapped and not to be written: for cells.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    /// How much is here.
    pub fn progress(&self) -> Progress {
        self.lock().progress
    }

    /// The image, once it is whole.
    pub fn whole(&self) -> Option<Arc<Image>> {
        self.lock().image.clone()
    }

    /// Chunks, and pages of them, in the order in which forks first met them absent: a run for
    /// [`crate::working_set::WorkingSet::merge`].
    pub fn touched(&self) -> Vec<(u32, u16)> {
        self.lock().touched.clone()
    }

    /// Those of these chunks that are absent and that nobody fetches, in their order.
    pub fn absent_of(&self, chunks: &[u32]) -> Vec<u32> {
        let state = self.lock();
        let absent =
            |chunk: &u32| self.row(*chunk).is_some_and(|row| state.rows[row] == Row::Absent);
        chunks.iter().copied().filter(absent).collect()
    }

    /// At most so many chunks that are absent and that nobody fetches, from the start of memory on.
    pub fn absent(&self, most: usize) -> Vec<u32> {
        let state = self.lock();
        let rows = self.head.chunks().iter().zip(&state.rows);
        let absent = rows.filter(|(_, row)| **row == Row::Absent);
        absent.map(|(chunk, _)| chunk.index).take(most).collect()
    }

    /// Brings these chunks, those that are absent, in requests that make way for faults.
    ///
    /// # Errors
    /// When no source has one of them; those before it are here.
    pub fn fetch_ahead(&self, chunks: &[u32], deadline: Instant) -> Result<(), FetchError> {
        for part in chunks.chunks(MAX_REQUEST_CHUNKS) {
            let rows = part.iter().filter_map(|chunk| self.row(*chunk));
            let claimed = self.claim(rows, None);
            if !claimed.is_empty() {
                self.fetch(&claimed, Urgency::Ahead, deadline)?;
            }
        }
        Ok(())
    }

    /// Answers a fault on page `page` of the memory: fetches its chunk, or waits for who does.
    ///
    /// # Errors
    /// When no source gives it before the deadline.
    pub fn fault(&self, page: u64, deadline: Instant) -> Result<Found, FetchError> {
        let chunk = (page / PAGES_PER_CHUNK as u64) as u32;
        let within = (page % PAGES_PER_CHUNK as u64) as u32;
        let Some(row) = self.row(chunk) else {
            return Ok(Found::Zeros(PAGES_PER_CHUNK as u32 - within));
        };
        let zeros = (self.head.chunks()[row].pages >> within).trailing_zeros();
        if zeros > 0 {
            return Ok(Found::Zeros(zeros.min(PAGES_PER_CHUNK as u32 - within)));
        }
        self.bring(row, 1 << within, deadline)?;
        Ok(Found::Here)
    }

    fn bring(&self, row: usize, page: u16, deadline: Instant) -> Result<(), FetchError> {
        let mut state = self.lock();
        if state.rows[row] != Row::Here {
            state.progress.waited += 1;
            let chunk = self.head.chunks()[row].index;
            match state.touched.iter_mut().find(|touched| touched.0 == chunk) {
                Some(touched) => touched.1 |= page,
                None => state.touched.push((chunk, page)),
            }
        }
        loop {
            match state.rows[row] {
                Row::Here => return Ok(()),
                Row::Absent => {
                    let claimed = self.claim([row].into_iter(), Some(state));
                    return self.fetch(&claimed, Urgency::Fault, deadline);
                }
                Row::Fetching => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.late(row));
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn late(&self, row: usize) -> FetchError {
        FetchError::Late { image: self.id(), chunk: self.head.chunks()[row].index }
    }

    /// Takes the absent ones of some rows, for this thread to fetch.
    fn claim(
        &self,
        rows: impl Iterator<Item = usize>,
        state: Option<MutexGuard<'_, State>>,
    ) -> Claim<'_> {
        let mut state = state.unwrap_or_else(|| self.lock());
        let absent = rows.filter(|row| {
            let absent = state.rows[*row] == Row::Absent;
            if absent {
                state.rows[*row] = Row::Fetching;
            }
            absent
        });
        Claim { rows: absent.collect(), image: self }
    }

    /// The row of a chunk that holds data.
    fn row(&self, chunk: u32) -> Option<usize> {
        self.head.chunks().binary_search_by_key(&chunk, |row| row.index).ok()
    }

    /// A chunk was checked and written.
    fn arrived(&self, row: usize) -> Result<(), MemoryImageError> {
        let mut state = self.lock();
        if state.rows[row] != Row::Here {
            state.rows[row] = Row::Here;
            state.progress.here += 1;
            state.progress.fetched_bytes += stored_bytes(&self.head.chunks()[row]) as u64;
        }
        self.settle(state)
    }

    /// Makes the image whole when nothing is absent, and wakes who waits.
    fn settle(&self, mut state: MutexGuard<'_, State>) -> Result<(), MemoryImageError> {
        let last = state.progress.here == state.rows.len() && state.image.is_none();
        if last {
            MemoryDraft::seal_filled(&self.file)?;
            let file = self.file.try_clone().map_err(MemoryImageError::duplicating)?;
            let image = Image::from_parts(file.into(), self.head.as_bytes());
            state.image = image.ok().map(Arc::new);
        }
        drop(state);
        self.changed.notify_all();
        if last {
            self.events.whole(self.id());
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rows that one thread fetches. What it did not bring is absent again when this is dropped.
struct Claim<'a> {
    rows: Vec<usize>,
    image: &'a LazyImage,
}

impl Claim<'_> {
    fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut state = self.image.lock();
        for row in &self.rows {
            if state.rows[*row] == Row::Fetching {
                state.rows[*row] = Row::Absent;
            }
        }
        drop(state);
        self.image.changed.notify_all();
    }
}

fn stored_bytes(row: &ChunkRow) -> usize {
    row.pages.count_ones() as usize * PAGE_BYTES
}

/// Where a chunk begins in the memory.
fn start_of(row: &ChunkRow) -> u64 {
    u64::from(row.index) * CHUNK_BYTES as u64
}
