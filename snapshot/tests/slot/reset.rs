//! Every way of resetting leaves the image; a list is reused exactly when it may be.

use std::sync::Arc;

use faaslet_snapshot::bytes::{Bytes, HOST_PAGE_BYTES, HostPages};
use faaslet_snapshot::dirty::{Pagemap, PagemapMethod, Scanner};
use faaslet_snapshot::layout::Layout;
use faaslet_snapshot::memory::MemoryImage;
use faaslet_snapshot::reset::ResetMethod;
use faaslet_snapshot::slot::{GrownMemory, Slot};

use super::{byte_at, image_bytes, scanner, slot_of};

const PAGE: u32 = HOST_PAGE_BYTES as u32;
/// Something else in the process may fault between two readings of the counters; not this often.
const MAX_TRIES: usize = 1_000;

/// Resets until `method` is used, writing the same page each time.
fn reset_until(slot: &mut Slot, scanner: &mut Scanner, method: ResetMethod) {
    for _ in 0..MAX_TRIES {
        slot.enter(scanner);
        slot.write(0, &[9]).unwrap();
        if slot.reset(scanner).unwrap().method == method {
            return;
        }
    }
    panic!("no reset was {method:?} in {MAX_TRIES} tries");
}

#[test]
fn every_method_puts_back_data_zeros_and_growth() {
    for method in [PagemapMethod::Scan, PagemapMethod::Entries, PagemapMethod::Blind] {
        let Some(pagemap) = Pagemap::with_method(method) else {
            println!("{method:?} is not to be had here: not tested");
            continue;
        };
        let mut scanner = Scanner::new(Arc::new(pagemap));
        let mut slot = slot_of(&image_bytes(64, 3));
        for _ in 0..3 {
            slot.enter(&scanner);
            for page in [0, 1, 2, 5, 63] {
                slot.write(page * PAGE + 4000, &[0xaa; 8]).unwrap();
            }
            slot.grow_to(Bytes::kib(512)).unwrap();
            slot.write(Bytes::kib(300).0 as u32, &[0xbb; 100]).unwrap();
            let report = slot.reset(&mut scanner).unwrap();
            assert_eq!(report.grown, Bytes::kib(256));
            slot.verify(&mut scanner).unwrap();
        }
    }
}

#[test]
fn a_list_is_reused_while_nothing_new_is_private_and_not_afterwards() {
    let (mut scanner, mut slot) = (scanner(), slot_of(&image_bytes(16, 5)));
    if scanner.pagemap().method() == PagemapMethod::Blind {
        return println!("no page map here: not tested");
    }
    reset_until(&mut slot, &mut scanner, ResetMethod::Reused);
    slot.verify(&mut scanner).unwrap();
    reset_until(&mut slot, &mut scanner, ResetMethod::Reused);
    slot.enter(&scanner);
    slot.write(7 * PAGE, &[1]).unwrap();
    let report = slot.reset(&mut scanner).unwrap();
    assert_eq!((report.method, report.private), (ResetMethod::Listed, HostPages(2)));
    slot.verify(&mut scanner).unwrap();
}

#[test]
fn a_slot_of_which_nobody_says_who_uses_it_is_scanned_each_time() {
    let (mut scanner, mut slot) = (scanner(), slot_of(&image_bytes(16, 5)));
    for _ in 0..20 {
        slot.write(0, &[9]).unwrap();
        assert_ne!(slot.reset(&mut scanner).unwrap().method, ResetMethod::Reused);
    }
}

#[test]
fn what_another_thread_wrote_is_put_back_too() {
    let (mut scanner, mut slot) = (scanner(), slot_of(&image_bytes(16, 7)));
    for page in 1..16 {
        reset_until(&mut slot, &mut scanner, ResetMethod::Reused);
        slot.enter(&scanner);
        std::thread::scope(|scope| {
            let slot = &mut slot;
            scope.spawn(move || {
                slot.enter(&super::scanner());
                slot.write(page * PAGE, &[0xee]).unwrap();
            });
        });
        slot.enter(&scanner);
        assert_eq!(slot.reset(&mut scanner).unwrap().method, ResetMethod::Listed);
        slot.verify(&mut scanner).unwrap();
    }
}

#[test]
fn a_slot_reset_by_another_thread_is_not_reused_by_the_first() {
    let (mut first, mut slot) = (scanner(), slot_of(&image_bytes(16, 7)));
    reset_until(&mut slot, &mut first, ResetMethod::Reused);
    std::thread::scope(|scope| {
        let slot = &mut slot;
        scope.spawn(move || {
            let mut second = super::scanner();
            reset_until(slot, &mut second, ResetMethod::Reused);
            slot.enter(&second);
            slot.write(3 * PAGE, &[1]).unwrap();
        });
    });
    slot.enter(&first);
    assert_eq!(slot.reset(&mut first).unwrap().method, ResetMethod::Listed);
    slot.verify(&mut first).unwrap();
}

#[test]
fn more_runs_of_private_pages_than_one_scan_reports_are_all_found() {
    for method in [PagemapMethod::Scan, PagemapMethod::Entries] {
        let Some(pagemap) = Pagemap::with_method(method) else { continue };
        let mut scanner = Scanner::new(Arc::new(pagemap));
        let mut slot = slot_of(&image_bytes(4096, 1));
        for page in (0..4096).step_by(2) {
            slot.write(page * PAGE, &[7]).unwrap();
        }
        assert_eq!(slot.reset(&mut scanner).unwrap().private, HostPages(2048));
        slot.verify(&mut scanner).unwrap();
    }
}

#[test]
fn too_many_private_pages_are_thrown_away() {
    let (mut scanner, mut slot) = (scanner(), slot_of(&image_bytes(64, 1)));
    slot.set_drop_above(HostPages(8));
    for (pages, method) in [(8, ResetMethod::Listed), (9, ResetMethod::Dropped)] {
        for page in 0..pages {
            slot.write(page * PAGE, &[7]).unwrap();
        }
        let report = slot.reset(&mut scanner).unwrap();
        assert_eq!(report.method, method);
        slot.verify(&mut scanner).unwrap();
    }
    slot.enter(&scanner);
    slot.write(0, &[7]).unwrap();
    assert_eq!(slot.reset(&mut scanner).unwrap().private, HostPages(1));
}

#[test]
fn a_list_that_calls_have_stopped_writing_is_thrown_away() {
    let (mut scanner, mut slot) = (scanner(), slot_of(&image_bytes(256, 1)));
    for page in 0..256 {
        slot.write(page * PAGE, &[7]).unwrap();
    }
    assert_eq!(slot.reset(&mut scanner).unwrap().private, HostPages(256));
    reset_until(&mut slot, &mut scanner, ResetMethod::Dropped);
    slot.verify(&mut scanner).unwrap();
    slot.write(0, &[7]).unwrap();
    assert_eq!(slot.reset(&mut scanner).unwrap().private, HostPages(1));
}

#[test]
fn a_list_that_calls_go_on_writing_is_kept() {
    let (mut scanner, mut slot) = (scanner(), slot_of(&image_bytes(256, 1)));
    for _ in 0..300 {
        for page in 0..128 {
            slot.write(page * PAGE + 8, &[7]).unwrap();
        }
        assert_eq!(slot.reset(&mut scanner).unwrap().method, ResetMethod::Listed);
    }
}

#[test]
fn kept_growth_is_zeroed_and_costs_no_system_call_the_next_time() {
    let (mut scanner, mut slot) = (scanner(), slot_of(&image_bytes(16, 1)));
    slot.set_grown_memory(GrownMemory::Keep);
    let (addr, size) = (Bytes::kib(64).0 as u32, Bytes::kib(128));
    for _ in 0..5 {
        assert_eq!(slot.size(), Bytes::kib(64));
        assert!(slot.write(addr, &[1]).is_err(), "the host respects the size");
        slot.grow_to(size).unwrap();
        assert_eq!(byte_at(&slot, addr), 0);
        slot.write(addr, &[0xcc; 5000]).unwrap();
        slot.reset(&mut scanner).unwrap();
        slot.verify(&mut scanner).unwrap();
    }
    slot.set_grown_memory(GrownMemory::GiveBack);
    slot.reset(&mut scanner).unwrap();
    slot.verify(&mut scanner).unwrap();
}

#[test]
fn growth_that_is_no_longer_kept_is_off_the_list() {
    let (mut scanner, mut slot) = (scanner(), slot_of(&image_bytes(16, 1)));
    slot.set_grown_memory(GrownMemory::Keep);
    slot.grow_to(Bytes::kib(128)).unwrap();
    slot.write(Bytes::kib(64).0 as u32, &[1]).unwrap();
    reset_until(&mut slot, &mut scanner, ResetMethod::Reused);
    slot.set_grown_memory(GrownMemory::GiveBack);
    reset_until(&mut slot, &mut scanner, ResetMethod::Reused);
    slot.verify(&mut scanner).unwrap();
}

#[test]
fn zeros_without_an_image_are_zeros_again() {
    let mut scanner = scanner();
    let mut slot = Slot::reserve(&Layout::default()).unwrap();
    slot.map_empty(Bytes::mib(1)).unwrap();
    for _ in 0..3 {
        slot.write(0x8_0000, &[1; 9000]).unwrap();
        slot.reset(&mut scanner).unwrap();
        slot.verify(&mut scanner).unwrap();
    }
}

#[test]
fn a_long_tail_of_zeros_takes_no_memory_of_the_image_and_is_reset_too() {
    let mut bytes = image_bytes(16, 1);
    bytes.resize(1 << 20, 0);
    let image = MemoryImage::from_bytes(&bytes).unwrap();
    let mut scanner = scanner();
    let mut slot = Slot::reserve(&Layout::default()).unwrap();
    slot.map(&image).unwrap();
    for addr in (0..1 << 20).step_by(HOST_PAGE_BYTES) {
        assert_eq!(byte_at(&slot, addr), bytes[addr as usize]);
    }
    slot.write(0xf_0000, &[1; 9000]).unwrap();
    slot.reset(&mut scanner).unwrap();
    slot.verify(&mut scanner).unwrap();
    let file = std::fs::File::from(image.fd().try_clone_to_owned().unwrap());
    let blocks = std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap());
    assert!(blocks * 512 <= 16 * HOST_PAGE_BYTES as u64, "{blocks} blocks of 512 bytes");
}

#[test]
fn an_image_without_memory_is_an_empty_slot() {
    let (mut scanner, mut slot) = (scanner(), slot_of(&[]));
    assert_eq!(slot.size(), Bytes::ZERO);
    slot.reset(&mut scanner).unwrap();
    slot.grow_to(Bytes::kib(64)).unwrap();
    slot.write(0, &[1]).unwrap();
    slot.reset(&mut scanner).unwrap();
    slot.verify(&mut scanner).unwrap();
    assert!(slot.write(0, &[1]).is_err());
}

#[test]
fn a_slot_can_be_mapped_to_another_image() {
    let (mut scanner, mut slot) = (scanner(), slot_of(&image_bytes(64, 1)));
    slot.write(0, &[1; 10_000]).unwrap();
    slot.grow_to(Bytes::mib(1)).unwrap();
    slot.map(&MemoryImage::from_bytes(&image_bytes(16, 99)).unwrap()).unwrap();
    slot.verify(&mut scanner).unwrap();
    assert_eq!(slot.size(), Bytes::kib(64));
}
