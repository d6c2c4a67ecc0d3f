//! Slots at random, beside a model that is plain bytes: what the host reads, and what is left
//! after a reset, is what the model says.
//!
//! `FAASLET_SEED=N` repeats a run, `FAASLET_MODEL_STEPS=N` makes it longer.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;

use faaslet_snapshot::bytes::{Bytes, HOST_PAGE_BYTES, HostPages, WASM_PAGE};
use faaslet_snapshot::dirty::{Pagemap, PagemapMethod, Scanner};
use faaslet_snapshot::layout::Layout;
use faaslet_snapshot::memory::MemoryImage;
use faaslet_snapshot::reset::ResetMethod;
use faaslet_snapshot::slot::{GrownMemory, Sharing, Slot};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::value_file;

const STEPS: u64 = 6_000;
const HEAP_LIMIT: Bytes = Bytes::kib(960);
const FILE_BYTES: usize = 32 * HOST_PAGE_BYTES;

/// A region of the window: where it is, and the bytes it should hold if they are its own.
struct Region {
    at: u32,
    len: usize,
    /// Offset in the shared file, or the bytes of a private copy.
    holds: Holds,
}

enum Holds {
    Shared(usize),
    Copy(Vec<u8>),
}

/// A slot and what it should hold.
struct Twin {
    slot: Slot,
    image: Vec<u8>,
    heap: Vec<u8>,
    regions: Vec<Region>,
}

struct World {
    rng: StdRng,
    twins: Vec<Twin>,
    images: Vec<(Arc<MemoryImage>, Vec<u8>)>,
    scanners: Vec<Scanner>,
    file: File,
    file_bytes: Vec<u8>,
    /// How many resets went each way.
    reused: u64,
    listed: u64,
    dropped: u64,
}

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn images(rng: &mut StdRng) -> Vec<(Arc<MemoryImage>, Vec<u8>)> {
    let image = |rng: &mut StdRng| {
        let mut bytes = vec![0; rng.random_range(0..10) * WASM_PAGE.as_usize()];
        for page in bytes.chunks_mut(HOST_PAGE_BYTES) {
            match rng.random_range(0..4) {
                0 => {}
                1 => page[rng.random_range(0..HOST_PAGE_BYTES)] = 1,
                _ => rng.fill(page),
            }
        }
        if rng.random_bool(0.5) {
            let tail = bytes.len() / 2;
            bytes[tail..].fill(0);
        }
        (MemoryImage::from_bytes(&bytes).unwrap(), bytes)
    };
    (0..8).map(|_| image(rng)).collect()
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let layout = Layout::new(Bytes(HEAP_LIMIT.0 + WASM_PAGE.0), Bytes::mib(32)).unwrap();
        let twin = || Twin {
            slot: Slot::reserve(&layout).unwrap(),
            image: Vec::new(),
            heap: Vec::new(),
            regions: Vec::new(),
        };
        let methods = [PagemapMethod::Scan, PagemapMethod::Entries, PagemapMethod::Blind];
        let pagemaps = methods.into_iter().filter_map(Pagemap::with_method);
        Self {
            images: images(&mut rng),
            twins: (0..3).map(|_| twin()).collect(),
            scanners: pagemaps.map(|pagemap| Scanner::new(Arc::new(pagemap))).collect(),
            file: value_file(Bytes(FILE_BYTES as u64)),
            file_bytes: vec![0; FILE_BYTES],
            reused: 0,
            listed: 0,
            dropped: 0,
            rng,
        }
    }

    fn step(&mut self) {
        let twin = self.rng.random_range(0..self.twins.len());
        match self.rng.random_range(0..100) {
            0..2 => self.map(twin),
            2..40 => self.write_heap(twin),
            40..48 => self.grow(twin),
            48..56 => self.map_window(twin),
            56..64 => self.write_window(twin),
            64..68 => self.unmap_window(twin),
            68..70 => self.poison(twin),
            70..72 => self.settings(twin),
            _ => self.reset(twin),
        }
        self.check(twin);
    }

    fn map(&mut self, twin: usize) {
        let twin = &mut self.twins[twin];
        if self.rng.random_bool(0.2) {
            let len = Bytes::wasm_pages(self.rng.random_range(0..8));
            twin.slot.map_empty(len).unwrap();
            twin.image = vec![0; len.as_usize()];
        } else {
            let (image, bytes) = &self.images[self.rng.random_range(0..self.images.len())];
            twin.slot.map(image).unwrap();
            twin.image.clone_from(bytes);
        }
        twin.heap.clone_from(&twin.image);
        twin.regions.clear();
    }

    /// A range of at most some pages in `0..len`, and bytes for it.
    fn some_bytes(&mut self, len: usize) -> (usize, Vec<u8>) {
        let start = self.rng.random_range(0..len);
        let most = match self.rng.random_range(0..10) {
            0 => 70_000,
            1..4 => 9,
            _ => 1,
        };
        let mut bytes = vec![0; self.rng.random_range(1..=most.min(len - start))];
        self.rng.fill(&mut bytes[..]);
        (start, bytes)
    }

    fn write_heap(&mut self, twin: usize) {
        let len = self.twins[twin].heap.len();
        if len > 0 {
            let (start, bytes) = self.some_bytes(len);
            let twin = &mut self.twins[twin];
            twin.slot.write(start as u32, &bytes).unwrap();
            twin.heap[start..start + bytes.len()].copy_from_slice(&bytes);
        }
    }

    fn grow(&mut self, twin: usize) {
        let twin = &mut self.twins[twin];
        let more = Bytes::wasm_pages(self.rng.random_range(0..3));
        let size = Bytes(twin.heap.len() as u64 + more.0);
        let grown = twin.slot.grow_to(size);
        assert_eq!(grown.is_ok(), size <= HEAP_LIMIT, "{grown:?}");
        if grown.is_ok() {
            twin.heap.resize(size.as_usize(), 0);
        }
    }

    fn map_window(&mut self, twin: usize) {
        let first = self.rng.random_range(0..32);
        let len = self.rng.random_range(1..=32 - first) * HOST_PAGE_BYTES;
        let offset = first * HOST_PAGE_BYTES;
        let private = self.rng.random_bool(0.4);
        let sharing = if private { Sharing::PrivateCopy } else { Sharing::Shared };
        let (at, bytes) = (Bytes(offset as u64), Bytes(len as u64));
        let twin = &mut self.twins[twin];
        let at = twin.slot.map_window(self.file.as_fd(), at, bytes, sharing).unwrap();
        // A page of a private copy follows the file until it is written: write them all.
        let holds = match sharing {
            Sharing::Shared => Holds::Shared(offset),
            Sharing::PrivateCopy => {
                let copy = self.file_bytes[offset..offset + len].to_vec();
                twin.slot.write(at, &copy).unwrap();
                Holds::Copy(copy)
            }
        };
        let apart = |r: &Region| r.at + r.len as u32 <= at || at + len as u32 <= r.at;
        assert!(twin.regions.iter().all(apart), "a region over another");
        twin.regions.push(Region { at, len, holds });
    }

    fn write_window(&mut self, twin: usize) {
        let regions = self.twins[twin].regions.len();
        if regions == 0 {
            return;
        }
        let region = self.rng.random_range(0..regions);
        let (start, bytes) = self.some_bytes(self.twins[twin].regions[region].len);
        let Twin { slot, regions, .. } = &mut self.twins[twin];
        slot.write(regions[region].at + start as u32, &bytes).unwrap();
        let (held, start) = match &mut regions[region].holds {
            Holds::Shared(offset) => (&mut self.file_bytes, *offset + start),
            Holds::Copy(copy) => (copy, start),
        };
        held[start..start + bytes.len()].copy_from_slice(&bytes);
    }

    fn unmap_window(&mut self, twin: usize) {
        let twin = &mut self.twins[twin];
        if twin.regions.is_empty() {
            return;
        }
        let region = twin.regions.swap_remove(self.rng.random_range(0..twin.regions.len()));
        twin.slot.unmap_window(region.at).unwrap();
        assert!(twin.slot.unmap_window(region.at).is_err());
        let mut bytes = vec![1; region.len];
        twin.slot.read(region.at, &mut bytes).unwrap();
        assert!(bytes.iter().all(|&byte| byte == 0), "a region given back is zeros");
        twin.slot.write(region.at, &vec![0xdd; region.len]).unwrap();
    }

    fn poison(&mut self, twin: usize) {
        let twin = &mut self.twins[twin];
        twin.slot.poison();
        assert!(twin.slot.reset(&mut self.scanners[0]).is_err());
        twin.slot.remap().unwrap();
        twin.slot.verify(&mut self.scanners[0]).unwrap();
        twin.start_again();
    }

    fn settings(&mut self, twin: usize) {
        let keep = self.rng.random_bool(0.5);
        let grown = if keep { GrownMemory::Keep } else { GrownMemory::GiveBack };
        let slot = &mut self.twins[twin].slot;
        slot.set_grown_memory(grown);
        slot.set_drop_above(HostPages([0, 1, 5, 20, 1_000][self.rng.random_range(0..5)]));
    }

    fn reset(&mut self, twin: usize) {
        let twin = &mut self.twins[twin];
        // Mostly the same scanner, as on a worker, so that lists are reused.
        let other = self.rng.random_bool(0.1);
        let index = if other { self.rng.random_range(0..self.scanners.len()) } else { 0 };
        let scanner = &mut self.scanners[index];
        match twin.slot.reset(scanner).unwrap().method {
            ResetMethod::Reused => self.reused += 1,
            ResetMethod::Listed => self.listed += 1,
            ResetMethod::Dropped => self.dropped += 1,
        }
        twin.slot.verify(scanner).unwrap();
        twin.start_again();
        if self.rng.random_bool(0.9) {
            twin.slot.enter(scanner);
        }
    }

    fn check(&mut self, twin: usize) {
        let twin = &self.twins[twin];
        assert_eq!(twin.slot.size().as_usize(), twin.heap.len());
        assert_eq!(read(&twin.slot, 0, twin.heap.len()), twin.heap, "heap");
        for region in &twin.regions {
            let bytes = read(&twin.slot, region.at, region.len);
            match &region.holds {
                Holds::Shared(offset) => {
                    assert_eq!(bytes, self.file_bytes[*offset..*offset + region.len], "window");
                }
                Holds::Copy(copy) => assert_eq!(&bytes, copy, "private copy"),
            }
        }
    }
}

impl Twin {
    fn start_again(&mut self) {
        self.heap.clone_from(&self.image);
        self.regions.clear();
    }
}

fn read(slot: &Slot, at: u32, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    slot.read(at, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_slot_does_what_its_model_does() {
    let seed = from_env("FAASLET_SEED", rand::random());
    println!("FAASLET_SEED={seed}");
    let mut world = World::new(seed);
    for twin in 0..world.twins.len() {
        world.map(twin);
    }
    for _ in 0..from_env("FAASLET_MODEL_STEPS", STEPS) {
        world.step();
    }
    let World { reused, listed, dropped, scanners, .. } = world;
    println!("resets: {reused} by a list used again, {listed} by a new one, {dropped} dropped");
    let blind = scanners[0].pagemap().method() == PagemapMethod::Blind;
    assert!(dropped > 0 && (blind || (reused > 0 && listed > 0)), "a way was not exercised");
}
