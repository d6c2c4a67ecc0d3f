//! Contents to make images of: fixed ones, and any number of random ones.

use std::collections::BTreeMap;

use faaslet_snapshot::image::layout::{CHUNK_BYTES, PAGE_BYTES};
use faaslet_snapshot::image::{
    Global, GlobalValue, Identity, ImageContents, ImageId, ImageWriter, ModuleHash, RecipeId,
    TableElement, TableImage,
};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};

/// Contents of an image that own their memory.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) identity: Identity,
    pub(crate) memory: Vec<u8>,
    pub(crate) memory_max_bytes: Option<u64>,
    pub(crate) globals: Vec<Global>,
    pub(crate) tables: Vec<TableImage>,
    pub(crate) files: Vec<u8>,
    pub(crate) meta: BTreeMap<String, Vec<u8>>,
}

impl Sample {
    /// An image of a module without memory.
    pub(crate) fn empty() -> Self {
        Self {
            identity: Identity {
                recipe: RecipeId::from_bytes([0x11; 32]),
                module: ModuleHash::from_bytes([0x22; 32]),
                abi_version: 1,
            },
            memory: Vec::new(),
            memory_max_bytes: None,
            globals: Vec::new(),
            tables: Vec::new(),
            files: Vec::new(),
            meta: BTreeMap::new(),
        }
    }

    /// Two chunks, one stored page, one global.
    pub(crate) fn small() -> Self {
        let mut memory = vec![0; 2 * CHUNK_BYTES];
        memory[CHUNK_BYTES + 3 * PAGE_BYTES..][..5].copy_from_slice(b"hello");
        let globals = vec![Global { index: 0, value: GlobalValue::I32(65_536) }];
        let meta = BTreeMap::from([("entry".into(), b"main".to_vec())]);
        Self { memory, memory_max_bytes: Some(1 << 20), globals, meta, ..Self::empty() }
    }

    /// Everything that an image can hold, at least once.
    pub(crate) fn full() -> Self {
        let mut memory = vec![0; 4 * CHUNK_BYTES];
        for page in [0, 1, 2, 15, 17, 63] {
            let start = page * PAGE_BYTES;
            memory[start..start + PAGE_BYTES].fill(0xa0 + page as u8);
        }
        memory[40 * PAGE_BYTES + 4095] = 1;
        Self {
            memory,
            globals: every_kind_of_global(),
            tables: vec![
                TableImage {
                    index: 0,
                    size: 9,
                    elements: vec![element(1, Some(7)), element(8, None)],
                },
                TableImage { index: 2, size: 0, elements: vec![] },
            ],
            files: b"five!".to_vec(),
            meta: BTreeMap::from([
                ("entry".into(), b"command".to_vec()),
                ("empty".into(), vec![]),
                ("zahl-\u{e4}".into(), vec![0, 255, 1]),
            ]),
            ..Self::empty()
        }
    }

    /// Contents that follow from a seed, in no particular order.
    pub(crate) fn random(seed: u64) -> Self {
        let rng = &mut SmallRng::seed_from_u64(seed);
        let memory = random_memory(rng);
        let size = memory.len() as u64;
        let mut sample = Self {
            identity: Identity {
                recipe: RecipeId::from_bytes(rng.random()),
                module: ModuleHash::from_bytes(rng.random()),
                abi_version: rng.random(),
            },
            memory_max_bytes: rng.random_bool(0.5).then(|| size + CHUNK_BYTES as u64),
            memory,
            globals: distinct(rng, 40, random_global),
            tables: distinct(rng, 4, random_table),
            files: random_bytes(rng, 300),
            meta: BTreeMap::new(),
        };
        for _ in 0..rng.random_range(0..5) {
            sample.meta.insert(random_text(rng, 20), random_bytes(rng, 100));
        }
        sample
    }

    /// The same contents with every list in another order.
    pub(crate) fn shuffled(mut self, seed: u64) -> Self {
        let rng = &mut SmallRng::seed_from_u64(seed);
        self.globals.shuffle(rng);
        self.tables.iter_mut().for_each(|table| table.elements.shuffle(rng));
        self.tables.shuffle(rng);
        self
    }

    /// The same contents with every list in the order of an image.
    pub(crate) fn sorted(mut self) -> Self {
        self.globals.sort_by_key(|global| global.index);
        self.tables.iter_mut().for_each(|table| table.elements.sort_by_key(|e| e.index));
        self.tables.sort_by_key(|table| table.index);
        self
    }

    pub(crate) fn contents(&self) -> ImageContents<'_> {
        ImageContents {
            identity: self.identity,
            memory: &self.memory,
            memory_max_bytes: self.memory_max_bytes,
            globals: self.globals.clone(),
            tables: self.tables.clone(),
            files: self.files.clone(),
            meta: self.meta.clone(),
        }
    }

    /// The bytes of its image, and the image's id.
    pub(crate) fn image(&self) -> (Vec<u8>, ImageId) {
        let mut bytes = Vec::new();
        let id = ImageWriter::write(&self.contents(), &mut bytes).unwrap();
        (bytes, id)
    }
}

/// Calls `test` for seeds that differ from run to run, and says which one failed.
///
/// `FAASLET_SEED` runs a single seed again.
pub(crate) fn each_seed(count: u64, test: impl Fn(u64)) {
    let single = std::env::var("FAASLET_SEED").ok().map(|seed| seed.parse().unwrap());
    let first = single.unwrap_or_else(rand::random::<u64>);
    for seed in (0..single.map_or(count, |_| 1)).map(|n| first.wrapping_add(n)) {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(seed)));
        if let Err(panic) = result {
            println!("failed with FAASLET_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
    println!("passed from FAASLET_SEED={first} on");
}

fn every_kind_of_global() -> Vec<Global> {
    let values = [
        GlobalValue::I32(0x8000_0001),
        GlobalValue::I64(0x0102_0304_0506_0708),
        GlobalValue::F32(0x7fa0_0001),
        GlobalValue::F64(0xfff0_0000_0000_0002),
        GlobalValue::V128(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100),
        GlobalValue::FuncRef(Some(42)),
        GlobalValue::FuncRef(None),
    ];
    (0..).zip(values).map(|(n, value)| Global { index: 3 * n, value }).collect()
}

fn element(index: u32, function: Option<u32>) -> TableElement {
    TableElement { index, function }
}

fn random_memory(rng: &mut SmallRng) -> Vec<u8> {
    let chunks = rng.random_range(0..5);
    let mut memory = vec![0; chunks * CHUNK_BYTES];
    let density = [0.0, 0.1, 0.5, 1.0][rng.random_range(0..4)];
    for page in memory.chunks_exact_mut(PAGE_BYTES) {
        if rng.random_bool(density) {
            match rng.random_range(0..3) {
                0 => rng.fill_bytes(page),
                1 => page[rng.random_range(0..PAGE_BYTES)] = 1,
                _ => page.fill(rng.random()),
            }
        }
    }
    memory
}

/// Up to `most` things with distinct numbers, in no particular order.
fn distinct<T>(rng: &mut SmallRng, most: u32, make: fn(&mut SmallRng, u32) -> T) -> Vec<T> {
    let mut numbers: Vec<u32> = (0..rng.random_range(0..=most)).map(|n| n * 1_000_003).collect();
    numbers.shuffle(rng);
    numbers.into_iter().map(|number| make(rng, number)).collect()
}

fn random_global(rng: &mut SmallRng, index: u32) -> Global {
    let value = match rng.random_range(0..6) {
        0 => GlobalValue::I32(rng.random()),
        1 => GlobalValue::I64(rng.random()),
        2 => GlobalValue::F32(rng.random()),
        3 => GlobalValue::F64(rng.random()),
        4 => GlobalValue::V128(rng.random()),
        _ => GlobalValue::FuncRef(random_reference(rng)),
    };
    Global { index, value }
}

fn random_table(rng: &mut SmallRng, index: u32) -> TableImage {
    let size = rng.random_range(0..50);
    let mut elements: Vec<_> = (0..size).filter(|_| rng.random_bool(0.3)).collect();
    elements.shuffle(rng);
    let elements = elements.into_iter().map(|n| element(n, random_reference(rng))).collect();
    TableImage { index, size, elements }
}

fn random_reference(rng: &mut SmallRng) -> Option<u32> {
    rng.random_bool(0.7).then(|| rng.random_range(0..u32::MAX))
}

fn random_text(rng: &mut SmallRng, most: usize) -> String {
    let chars = ['a', '/', '.', '\u{e9}', '\u{1f980}', '0'];
    (0..rng.random_range(0..most)).map(|_| chars[rng.random_range(0..chars.len())]).collect()
}

fn random_bytes(rng: &mut SmallRng, most: usize) -> Vec<u8> {
    (0..rng.random_range(0..most)).map(|_| rng.random()).collect()
}
