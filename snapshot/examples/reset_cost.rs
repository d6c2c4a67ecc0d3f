//! Prints what a reset costs by each way of doing it, for a growing number of written pages.
//!
//! `cargo run --release -p faaslet-snapshot --example reset_cost`
//!
//! A cycle is: write one byte to each of N pages, reset. "list reused" writes the same pages
//! each time; the scans are made to scan by not telling the slot who uses it.

use std::sync::Arc;
use std::time::Instant;

use faaslet_snapshot::bytes::HostPages;
use faaslet_snapshot::dirty::{Pagemap, PagemapMethod, Scanner};
use faaslet_snapshot::layout::Layout;
use faaslet_snapshot::memory::MemoryImage;
use faaslet_snapshot::slot::Slot;

const PAGES: [u64; 8] = [0, 1, 3, 16, 64, 256, 1024, 4096];
const ROUNDS: usize = 400;

type Failure = Box<dyn std::error::Error>;

/// One way of resetting.
#[derive(Clone, Copy)]
struct Strategy {
    name: &'static str,
    method: PagemapMethod,
    enter: bool,
    drop_above: HostPages,
}

const STRATEGIES: [Strategy; 4] = [
    Strategy { name: "list reused", method: PagemapMethod::Scan, enter: true, drop_above: ALL },
    Strategy { name: "scanned", method: PagemapMethod::Scan, enter: false, drop_above: ALL },
    Strategy {
        name: "entries read",
        method: PagemapMethod::Entries,
        enter: false,
        drop_above: ALL,
    },
    Strategy { name: "dropped", method: PagemapMethod::Blind, enter: false, drop_above: ALL },
];
const ALL: HostPages = HostPages(u64::MAX >> 20);

fn main() -> Result<(), Failure> {
    for image_mib in [2, 24] {
        let bytes: Vec<u8> = (0..image_mib << 20).map(|i| (i % 251) as u8 | 1).collect();
        let image = MemoryImage::from_bytes(&bytes)?;
        println!("image of {image_mib} MiB; ns per cycle, of which the reset (p50)");
        print!("{:>14}", "pages");
        for strategy in STRATEGIES {
            print!("{:>22}", strategy.name);
        }
        println!();
        for pages in PAGES.into_iter().filter(|&pages| pages <= image.len().host_pages().0) {
            print!("{pages:>14}");
            for strategy in STRATEGIES {
                let (cycle, reset) = measure(&image, pages, strategy)?;
                print!("{cycle:>13} {reset:>8}");
            }
            println!();
        }
    }
    Ok(())
}

/// Nanoseconds of a cycle and of its reset, each the median.
fn measure(
    image: &Arc<MemoryImage>,
    pages: u64,
    strategy: Strategy,
) -> Result<(u64, u64), Failure> {
    let pagemap = Pagemap::with_method(strategy.method).ok_or("no such page map here")?;
    let mut scanner = Scanner::new(Arc::new(pagemap));
    let mut slot = Slot::reserve(&Layout::default())?;
    slot.map(image)?;
    slot.set_drop_above(strategy.drop_above);
    let stride = image.len().host_pages().0 / pages.max(1);
    let (mut cycles, mut resets) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        if strategy.enter {
            slot.enter(&scanner);
        }
        for page in 0..pages {
            let addr = HostPages(page * stride).bytes();
            slot.write(addr.0 as u32, &[0])?;
        }
        let written = Instant::now();
        slot.reset(&mut scanner)?;
        let end = Instant::now();
        cycles.push(end.duration_since(start).as_nanos() as u64);
        resets.push(end.duration_since(written).as_nanos() as u64);
    }
    Ok((median(&mut cycles), median(&mut resets)))
}

fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}
