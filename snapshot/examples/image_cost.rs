//! What it costs to write, verify and open an image: `cargo run --release --example image_cost`.
//!
//! Medians over [`ROUNDS`], in one process, the file in the page cache.

use std::collections::BTreeMap;
use std::fs::File;
use std::time::{Duration, Instant};

use faaslet_snapshot::image::layout::PAGE_BYTES;
use faaslet_snapshot::image::{
    Head, Identity, Image, ImageContents, ImageWriter, ModuleHash, RecipeId, verify,
};

const ROUNDS: usize = 15;
const MIB: usize = 1 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!(
        "{:>10} {:>8} {:>10} {:>10} {:>10} {:>10}",
        "memory", "stored", "write", "head", "verify", "open"
    );
    for (memory_mib, stored_mib) in [(2, 1), (21, 21), (64, 21), (256, 256)] {
        let file = tempfile::tempfile()?;
        let memory = memory(memory_mib * MIB, stored_mib * MIB);
        let write = median(|| {
            ImageWriter::write(&contents(&memory), &mut start_of(&file)?).map_err(Into::into)
        })?;
        let head = median(|| Ok(Head::read(&file)?))?;
        let verified = median(|| Ok(verify(&file)?))?;
        let open = median(|| Ok(Image::open(&file)?))?;
        println!(
            "{memory_mib:>6} MiB {stored_mib:>4} MiB {write:>10.1?} {head:>10.1?} {verified:>10.1?} {open:>10.1?}"
        );
    }
    Ok(())
}

/// `stored` bytes in whole pages, spread evenly over `size` bytes.
fn memory(size: usize, stored: usize) -> Vec<u8> {
    let mut memory = vec![0; size];
    let step = size / stored;
    for (n, page) in memory.chunks_exact_mut(PAGE_BYTES).enumerate().step_by(step) {
        page.fill(n as u8 | 1);
    }
    memory
}

fn contents(memory: &Vec<u8>) -> ImageContents<'_> {
    ImageContents {
        identity: Identity {
            recipe: RecipeId::from_bytes([1; 32]),
            module: ModuleHash::from_bytes([2; 32]),
            abi_version: 1,
        },
        memory,
        memory_max_bytes: None,
        globals: Vec::new(),
        tables: Vec::new(),
        files: Vec::new(),
        meta: BTreeMap::new(),
    }
}

/// The file, empty again, to be written from its start.
fn start_of(file: &File) -> std::io::Result<&File> {
    use std::io::Seek;
    let mut file = file;
    file.rewind()?;
    file.set_len(0)?;
    Ok(file)
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn median<T>(work: impl Fn() -> Outcome<T>) -> Outcome<Duration> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let kept = work()?;
        times.push(start.elapsed());
        drop(kept);
    }
    times.sort_unstable();
    Ok(times[ROUNDS / 2])
}
