//! `lazy`: what a page that is not here costs, beside a round trip between two threads, and what an
//! image costs that came that way once it is whole. Its chunks come from a file in memory.

use std::io::Write;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use faaslet_snapshot::board::{Board, Faults, Watch};
use faaslet_snapshot::dirty::{Pagemap, Scanner};
use faaslet_snapshot::image::{
    Head, Identity, Image, ImageContents, ImageWriter, ModuleHash, RecipeId,
};
use faaslet_snapshot::layout::Layout;
use faaslet_snapshot::lazy::{FileSource, LazyImage};
use faaslet_snapshot::pager::{Cell, FAULT_LIMIT, Lost, Pager};
use faaslet_snapshot::slot::Slot;

use crate::book::Book;
use crate::measure::{Times, times};

/// Chunks of the image: 16 MiB.
const CHUNKS: usize = 256;
const CHUNK_BYTES: usize = 64 << 10;
const PAGE_BYTES: usize = 4 << 10;
/// Pages of a working set.
const SET_PAGES: usize = 64;
/// Forks that meet one page at the same time.
const FORKS: usize = 64;
const BUDGET: Duration = Duration::from_secs(2);
/// Long enough for the pager's processor to sleep.
const IDLE: Duration = Duration::from_millis(2);

pub(crate) fn run(book: &mut Book) -> Result<()> {
    let ground = Ground::new()?;
    let hand = Hand::start();
    book.put_times(
        "lazy.round_trip",
        &times(BUDGET, || {
            hand.over();
            Ok(())
        })?,
        None,
    );
    book.put_times("lazy.fault", &ground.faults(Duration::ZERO)?, Some("lazy.round_trip"));
    book.put_times("lazy.idle.round_trip", &idle(|| Ok(timed(|| hand.over())))?, None);
    book.put_times("lazy.idle.fault", &ground.faults(IDLE)?, Some("lazy.idle.round_trip"));
    book.put("lazy.same_page", ground.same_page()?, "µs");
    book.put_times("lazy.set", &ground.set()?, None);
    let baked = Image::open(ground.file.as_slice())?;
    book.put_times("lazy.baked.fork", &calls(&baked)?, None);
    book.put_times("lazy.whole.fork", &calls(&*ground.whole()?)?, Some("lazy.baked.fork"));
    Ok(())
}

fn timed<T>(run: impl FnOnce() -> T) -> Duration {
    let begun = Instant::now();
    run();
    begun.elapsed()
}

/// Lets a processor fall asleep.
fn pause(time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        thread::park_timeout(until.saturating_duration_since(Instant::now()));
    }
}

/// Times of something between pauses.
fn idle(mut run: impl FnMut() -> Result<Duration>) -> Result<Times> {
    let (mut times, begun) = (Times::new(), Instant::now());
    while begun.elapsed() < BUDGET {
        pause(IDLE);
        times.add(run()?);
    }
    Ok(times)
}

/// A thread that answers a word with the next one: a futex each way.
struct Hand {
    word: Arc<AtomicU32>,
    thread: thread::JoinHandle<()>,
}

impl Hand {
    fn start() -> Self {
        let word = Arc::new(AtomicU32::new(0));
        let (ours, asker) = (Arc::clone(&word), thread::current());
        let thread = thread::spawn(move || {
            while ours.load(Ordering::Acquire) != u32::MAX {
                if ours.compare_exchange(1, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                    asker.unpark();
                }
                thread::park();
            }
        });
        Self { word, thread }
    }

    fn over(&self) {
        self.word.store(1, Ordering::Release);
        self.thread.thread().unpark();
        while self.word.load(Ordering::Acquire) == 1 {
            thread::park();
        }
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.word.store(u32::MAX, Ordering::Release);
        self.thread.thread().unpark();
    }
}

/// An image's file, in memory.
struct Ground {
    file: Vec<u8>,
}

/// An image on its way here, with workers and pagers.
struct Way {
    lazy: Arc<LazyImage>,
    image: Image,
    watches: Vec<Arc<Watch>>,
    _pagers: Vec<Pager>,
}

impl Ground {
    fn new() -> Result<Self> {
        let mut memory = vec![1; CHUNKS * CHUNK_BYTES];
        for (number, page) in memory.chunks_mut(PAGE_BYTES).enumerate() {
            page[..8].copy_from_slice(&number.to_le_bytes());
        }
        let identity = Identity {
            recipe: RecipeId::from_bytes([0; 32]),
            module: ModuleHash::from_bytes([0; 32]),
            abi_version: 1,
        };
        let (globals, tables, files, meta) = Default::default();
        let memory_max_bytes = None;
        let contents = ImageContents {
            identity,
            memory: &memory,
            memory_max_bytes,
            globals,
            tables,
            files,
            meta,
        };
        let mut file = Vec::new();
        ImageWriter::write(&contents, &mut file)?;
        Ok(Self { file })
    }

    fn way(&self, workers: usize) -> Result<Way> {
        let mut file = tempfile::tempfile()?;
        file.write_all(&self.file)?;
        let head = Head::read(self.file.as_slice())?;
        let source = Arc::new(FileSource::new(file, "a file"));
        let lazy = LazyImage::new(head, vec![source], Arc::new(()))?;
        let (faults, board) = (Faults::open(workers)?, Arc::new(Board::new()?));
        let watches = faults.watches(board.fd().try_clone_to_owned()?)?;
        let pagers = faults.descriptors().enumerate().map(|(line, faults)| {
            let cell = Arc::new(OfCell(Arc::clone(&lazy)));
            Pager::start(faults.try_clone_to_owned()?, Arc::clone(&board), line, cell, FAULT_LIMIT)
        });
        let pagers = pagers.collect::<std::io::Result<_>>()?;
        let memory = lazy.fd().as_fd().try_clone_to_owned()?;
        let image = Image::filling_from_parts(memory, lazy.head().as_bytes())?;
        Ok(Way { lazy, image, watches, _pagers: pagers })
    }

    /// Faults of one fork, each on a chunk that is not here, after a pause each.
    fn faults(&self, between: Duration) -> Result<Times> {
        let (mut times, begun) = (Times::new(), Instant::now());
        while begun.elapsed() < BUDGET {
            let way = self.way(1)?;
            let slot = way.fork(0)?;
            for chunk in 0..CHUNKS {
                pause(between);
                times.add(timed(|| touch(&slot, chunk * CHUNK_BYTES)));
            }
        }
        Ok(times)
    }

    /// From the first of many forks on one page to the last of them.
    fn same_page(&self) -> Result<f64> {
        let way = self.way(FORKS)?;
        let barrier = Barrier::new(FORKS + 1);
        let took = thread::scope(|scope| {
            for worker in 0..FORKS {
                let (way, barrier) = (&way, &barrier);
                scope.spawn(move || {
                    let slot = way.fork(worker);
                    barrier.wait();
                    slot.map(|slot| touch(&slot, 0))
                });
            }
            barrier.wait();
            Instant::now()
        });
        Ok(took.elapsed().as_secs_f64() * 1e6)
    }

    /// A fork's first touch of pages that are here, of an image of which others are not.
    fn set(&self) -> Result<Times> {
        let way = self.way(1)?;
        let chunks: Vec<u32> = (0..(SET_PAGES * PAGE_BYTES / CHUNK_BYTES) as u32).collect();
        way.lazy.fetch_ahead(&chunks, Instant::now() + FAULT_LIMIT)?;
        let (mut times, begun) = (Times::new(), Instant::now());
        while begun.elapsed() < BUDGET {
            let slot = way.fork(0)?;
            let all = || (0..SET_PAGES).for_each(|page| touch(&slot, page * PAGE_BYTES));
            times.add(timed(all));
        }
        Ok(times)
    }

    /// The image, brought here chunk by chunk.
    fn whole(&self) -> Result<Arc<Image>> {
        let way = self.way(1)?;
        let chunks: Vec<u32> = (0..CHUNKS as u32).collect();
        way.lazy.fetch_ahead(&chunks, Instant::now() + FAULT_LIMIT)?;
        way.lazy.whole().context("not all chunks came")
    }
}

/// Calls that write three pages, each in a slot that is put back, and a new slot each time.
fn calls(image: &Image) -> Result<Times> {
    let mut scanner = Scanner::new(Arc::new(Pagemap::open()));
    times(BUDGET, || {
        let mut slot = Slot::reserve(&Layout::default())?;
        slot.map(image.memory())?;
        slot.enter(&scanner);
        for page in [1, 100, 1000] {
            slot.write(page * PAGE_BYTES as u32, &[9])?;
        }
        slot.reset(&mut scanner)?;
        Ok(())
    })
}

impl Way {
    fn fork(&self, worker: usize) -> Result<Slot> {
        let mut slot = Slot::reserve(&Layout::default())?;
        slot.set_watch(&self.watches[worker]);
        slot.map(self.image.memory())?;
        self.watches[worker].enter(0, slot.base().addr().get() as u64);
        Ok(slot)
    }
}

fn touch(slot: &Slot, at: usize) {
    let mut byte = [0];
    // One that fails is seen in the pager's own tests.
    let _ = slot.read(at as u32, &mut byte);
    std::hint::black_box(byte);
}

struct OfCell(Arc<LazyImage>);

impl Cell for OfCell {
    fn image(&self, _: u64) -> Option<Arc<LazyImage>> {
        Some(Arc::clone(&self.0))
    }
    fn lost(&self, why: &Lost) {
        eprintln!("{why}");
    }
    fn end(&self, why: &Lost) {
        eprintln!("{why}");
    }
}
