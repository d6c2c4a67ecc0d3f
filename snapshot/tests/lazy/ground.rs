//! An image with all kinds of chunks, and forks of it with their pagers.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faaslet_snapshot::board::{Board, Faults, Watch};
use faaslet_snapshot::dirty::{Pagemap, Scanner};
use faaslet_snapshot::image::layout::{CHUNK_BYTES, PAGE_BYTES};
use faaslet_snapshot::image::{
    Head, Identity, Image, ImageContents, ImageId, ImageWriter, ModuleHash, RecipeId,
};
use faaslet_snapshot::layout::Layout;
use faaslet_snapshot::lazy::{BadChunk, Events, LazyImage};
use faaslet_snapshot::pager::{Cell, Lost, Pager};
use faaslet_snapshot::slot::Slot;
use faaslet_snapshot::source::Source;

/// Chunks of the image's memory.
pub(crate) const CHUNKS: usize = 12;
/// The number by which lines of the board name the image.
const IMAGE: u64 = 7;
/// How long a fault may wait in these tests, unless one is about that.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Memory of which chunk 0 is full, 1 all zeros, and the others have every second page, each page
/// unlike the others.
pub(crate) fn memory() -> Vec<u8> {
    let mut memory = vec![0; CHUNKS * CHUNK_BYTES];
    for (number, page) in memory.chunks_mut(PAGE_BYTES).enumerate() {
        let chunk = number / 16;
        if chunk != 1 && (chunk == 0 || number.is_multiple_of(2)) {
            page[..8].copy_from_slice(&(number as u64 + 1).to_le_bytes());
            page[PAGE_BYTES - 1] = 0xee;
        }
    }
    memory
}

/// The file of an image of this memory.
pub(crate) fn file(memory: &Vec<u8>) -> Vec<u8> {
    let identity = Identity {
        recipe: RecipeId::from_bytes([1; 32]),
        module: ModuleHash::from_bytes([2; 32]),
        abi_version: 1,
    };
    let contents = ImageContents {
        identity,
        memory,
        memory_max_bytes: None,
        globals: Vec::new(),
        tables: Vec::new(),
        files: Vec::new(),
        meta: std::collections::BTreeMap::new(),
    };
    let mut file = Vec::new();
    ImageWriter::write(&contents, &mut file).unwrap();
    file
}

/// What was told of sources and lost pages.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) left_out: Mutex<Vec<String>>,
    pub(crate) failed: Mutex<Vec<String>>,
    pub(crate) lost: Mutex<Vec<String>>,
    pub(crate) ended: Mutex<Vec<String>>,
    images: Mutex<HashMap<u64, Arc<LazyImage>>>,
}

impl Events for Told {
    fn failed(&self, _: ImageId, source: &str, why: &str) {
        self.failed.lock().unwrap().push(format!("{source}: {why}"));
    }
    fn left_out(&self, _: ImageId, source: &str, why: &BadChunk) {
        self.left_out.lock().unwrap().push(format!("{source}: {why}"));
    }
}

impl Cell for Told {
    fn image(&self, number: u64) -> Option<Arc<LazyImage>> {
        self.images.lock().unwrap().get(&number).cloned()
    }
    fn lost(&self, why: &Lost) {
        self.lost.lock().unwrap().push(why.to_string());
    }
    fn end(&self, why: &Lost) {
        self.ended.lock().unwrap().push(why.to_string());
    }
}

/// An image on its way here, and workers with their pagers.
pub(crate) struct Ground {
    pub(crate) lazy: Arc<LazyImage>,
    pub(crate) image: Arc<Image>,
    pub(crate) told: Arc<Told>,
    pub(crate) watches: Vec<Arc<Watch>>,
    pub(crate) memory: Vec<u8>,
    _pagers: Vec<Pager>,
}

impl Ground {
    pub(crate) fn new(workers: usize, sources: Vec<Arc<dyn Source>>) -> Self {
        Self::patient(workers, sources, PATIENCE)
    }

    pub(crate) fn patient(
        workers: usize,
        sources: Vec<Arc<dyn Source>>,
        patience: Duration,
    ) -> Self {
        let memory = memory();
        let told = Arc::new(Told::default());
        let head = Head::read(file(&memory).as_slice()).unwrap();
        let lazy = LazyImage::new(head, sources, Arc::clone(&told) as Arc<dyn Events>).unwrap();
        told.images.lock().unwrap().insert(IMAGE, Arc::clone(&lazy));
        let board = Arc::new(Board::new().unwrap());
        let faults = Faults::open(workers).unwrap();
        let watches = faults.watches(board.fd().try_clone_to_owned().unwrap()).unwrap();
        let start = |(line, faults): (usize, std::os::fd::BorrowedFd<'_>)| {
            let faults = faults.try_clone_to_owned().unwrap();
            let cell = Arc::clone(&told) as Arc<dyn Cell>;
            Pager::start(faults, Arc::clone(&board), line, cell, patience).unwrap()
        };
        let pagers = faults.descriptors().enumerate().map(start).collect();
        let fd = lazy.fd().as_fd().try_clone_to_owned().unwrap();
        let image = Arc::new(Image::filling_from_parts(fd, lazy.head().as_bytes()).unwrap());
        Self { lazy, image, told, watches, memory, _pagers: pagers }
    }

    /// A fork on a worker, as if its thread were about to run in it.
    pub(crate) fn fork(&self, worker: usize) -> Slot {
        let watch = &self.watches[worker];
        let mut slot = Slot::reserve(&Layout::default()).unwrap();
        slot.set_watch(watch);
        slot.map(self.image.memory()).unwrap();
        watch.enter(IMAGE, slot.base().addr().get() as u64);
        slot
    }

    /// Brings all of it.
    pub(crate) fn fill(&self) {
        let deadline = std::time::Instant::now() + PATIENCE;
        let all: Vec<u32> = (0..CHUNKS as u32).collect();
        self.lazy.fetch_ahead(&all, deadline).unwrap();
    }
}

pub(crate) fn scanner() -> Scanner {
    Scanner::new(Arc::new(Pagemap::open()))
}

/// A page of a slot.
pub(crate) fn page(slot: &Slot, number: usize) -> Vec<u8> {
    let mut bytes = vec![0; PAGE_BYTES];
    slot.read((number * PAGE_BYTES) as u32, &mut bytes).unwrap();
    bytes
}

/// A page of the memory that it should be.
pub(crate) fn expected(memory: &[u8], number: usize) -> &[u8] {
    &memory[number * PAGE_BYTES..][..PAGE_BYTES]
}
