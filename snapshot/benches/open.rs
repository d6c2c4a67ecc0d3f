//! An image opened: every byte checked, its memory put into a memory file.
//!
//! `examples/image_cost.rs` has larger ones, and what it costs to write them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::File;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use faaslet_snapshot::image::{
    Head, Identity, Image, ImageContents, ImageWriter, ModuleHash, RecipeId,
};

const KIB: usize = 1 << 10;
const SIZES_KIB: [usize; 3] = [64, 1024, 16 * 1024];

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let mut group = criterion.benchmark_group("image");
    for kib in SIZES_KIB {
        let file = written(kib * KIB);
        group.throughput(Throughput::Bytes((kib * KIB) as u64));
        group.bench_function(format!("open_{kib}KiB"), |bencher| {
            bencher.iter(|| Image::open(&file).unwrap());
        });
        group.bench_function(format!("head_{kib}KiB"), |bencher| {
            bencher.iter(|| Head::read(&file).unwrap());
        });
    }
    group.finish();
    criterion.final_summary();
}

/// A file with an image of so many bytes, none of whose pages is zero.
fn written(bytes: usize) -> File {
    let memory: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8 | 1).collect();
    let contents = ImageContents {
        identity: Identity {
            recipe: RecipeId::from_bytes([1; 32]),
            module: ModuleHash::from_bytes([2; 32]),
            abi_version: 1,
        },
        memory: &memory,
        memory_max_bytes: None,
        globals: Vec::new(),
        tables: Vec::new(),
        files: Vec::new(),
        meta: BTreeMap::new(),
    };
    let file = tempfile::tempfile().unwrap();
    ImageWriter::write(&contents, &mut &file).unwrap();
    file
}
