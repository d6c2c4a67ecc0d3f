//! A slot that is entered, written to and put back, by the number of pages written; and a slot
//! that is mapped to its image. Nothing of WebAssembly is in it.
//!
//! `examples/reset_cost.rs` compares the ways of resetting; this is the one in use.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use faaslet_snapshot::bytes::HostPages;
use faaslet_snapshot::dirty::{Pagemap, Scanner};
use faaslet_snapshot::layout::Layout;
use faaslet_snapshot::memory::MemoryImage;
use faaslet_snapshot::slot::Slot;

const IMAGE_BYTES: usize = 2 << 20;
const DIRTY_PAGES: [u64; 4] = [0, 1, 3, 16];

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let bytes: Vec<u8> = (0..IMAGE_BYTES).map(|at| (at % 251) as u8 | 1).collect();
    let image = MemoryImage::from_bytes(&bytes).unwrap();
    resets(&mut criterion, &image);
    maps(&mut criterion, &image);
    criterion.final_summary();
}

fn resets(criterion: &mut Criterion, image: &Arc<MemoryImage>) {
    let mut group = criterion.benchmark_group("reset");
    let mut scanner = Scanner::new(Arc::new(Pagemap::open()));
    let stride = image.len().host_pages().0 / DIRTY_PAGES[DIRTY_PAGES.len() - 1];
    for pages in DIRTY_PAGES {
        let mut slot = Slot::reserve(&Layout::default()).unwrap();
        slot.map(image).unwrap();
        group.bench_function(format!("dirty{pages}"), |bencher| {
            bencher.iter(|| {
                slot.enter(&scanner);
                for page in 0..pages {
                    let at = HostPages(page * stride).bytes();
                    slot.write(at.0 as u32, &[0]).unwrap();
                }
                slot.reset(&mut scanner).unwrap();
            });
        });
    }
    group.finish();
}

fn maps(criterion: &mut Criterion, image: &Arc<MemoryImage>) {
    criterion.bench_function("map/reserve", |bencher| {
        bencher.iter(|| {
            let mut slot = Slot::reserve(&Layout::default()).unwrap();
            slot.map(image).unwrap();
            slot
        });
    });
}
