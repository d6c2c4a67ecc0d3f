//! Resets while the kernel takes pages away: in a memory cgroup of its own, with pages swapped out
//! between the writes of a call and its reset, where the machine can swap; with reclaim alone
//! where it cannot. Needs root; says what the machine gave.
#![allow(clippy::unwrap_used, clippy::large_stack_arrays, reason = "tests")]

mod ground;

use std::sync::Arc;

use faaslet_snapshot::bytes::{HOST_PAGE_BYTES, HostPages};
use faaslet_snapshot::dirty::{Pagemap, PagemapMethod, Scanner};
use faaslet_snapshot::layout::Layout;
use faaslet_snapshot::memory::MemoryImage;
use faaslet_snapshot::reset::ResetMethod;
use faaslet_snapshot::slot::Slot;
use ground::Ground;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Resets in one run.
const ROUNDS: u64 = 60;
/// Pages of the image: 12 MiB.
const PAGES: u32 = 3072;
/// Most pages that one call writes.
const MAX_WRITTEN: u32 = 600;
const PAGE: u32 = HOST_PAGE_BYTES as u32;

/// What the kernel and the resets did.
#[derive(Debug, Default)]
struct Seen {
    /// Rounds in which pages of this process were in swap when the slot was reset.
    swapped: u64,
    /// The most that was.
    most_swapped_kib: u64,
    reused: u64,
    listed: u64,
}

#[test]
fn after_every_reset_under_pressure_the_slot_equals_its_image() {
    let ground = match Ground::new() {
        Ok(ground) => ground,
        Err(why) => return println!("no memory cgroup of our own here ({why}): not tested"),
    };
    println!("the machine gives: {ground}");
    let seed = std::env::var("FAASLET_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    for method in [PagemapMethod::Scan, PagemapMethod::Entries] {
        let Some(pagemap) = Pagemap::with_method(method) else {
            println!("{method:?} is not to be had here: not tested");
            continue;
        };
        println!("FAASLET_SEED={seed} {method:?}");
        let seen = resets(&ground, pagemap, &mut StdRng::seed_from_u64(seed));
        println!("{seen:?}");
        assert!(seen.listed > 0, "{seen:?}");
        assert!(!ground.swaps() || seen.swapped * 4 > ROUNDS, "expected pages in swap: {seen:?}");
    }
}

fn resets(ground: &Ground, pagemap: Pagemap, random: &mut StdRng) -> Seen {
    let bytes: Vec<u8> = (0..PAGES).flat_map(|page| [page as u8 | 1; HOST_PAGE_BYTES]).collect();
    let mut scanner = Scanner::new(Arc::new(pagemap));
    let mut slot = Slot::reserve(&Layout::default()).unwrap();
    slot.map(&MemoryImage::from_bytes(&bytes).unwrap()).unwrap();
    slot.set_drop_above(HostPages(u64::from(PAGES)));
    let mut seen = Seen::default();
    for round in 0..ROUNDS {
        slot.enter(&scanner);
        let written = write(&mut slot, random);
        if round % 3 != 2 {
            ground.press();
            let swapped = ground::swapped_kib();
            seen.swapped += u64::from(swapped > 0);
            seen.most_swapped_kib = seen.most_swapped_kib.max(swapped);
        }
        if round % 2 == 0 {
            for (page, value) in &written {
                let mut byte = [0];
                slot.read(page * PAGE + 7, &mut byte).unwrap();
                assert_eq!(byte, [*value], "page {page} came back from swap as another");
            }
        }
        match slot.reset(&mut scanner).unwrap().method {
            ResetMethod::Reused => seen.reused += 1,
            _ => seen.listed += 1,
        }
        if round % 5 == 4 {
            ground.press();
        }
        slot.verify(&mut scanner).unwrap_or_else(|wrong| panic!("round {round}: {wrong}"));
    }
    seen
}

/// Writes into pages at random, and says what the last write to each was.
fn write(slot: &mut Slot, random: &mut StdRng) -> std::collections::BTreeMap<u32, u8> {
    let mut written = std::collections::BTreeMap::new();
    for _ in 0..random.random_range(1..=MAX_WRITTEN) {
        let (page, value) = (random.random_range(0..PAGES), random.random());
        slot.write(page * PAGE + 7, &[value]).unwrap();
        written.insert(page, value);
    }
    written
}
