//! The state window: shared memory is seen by all, private copies by none, a reset leaves no trace.

use std::os::fd::AsFd;

use faaslet_snapshot::bytes::{Bytes, HOST_PAGE};
use faaslet_snapshot::slot::{Sharing, Slot};

use super::{byte_at, file_byte, image_bytes, scanner, slot_of, value_file};

#[test]
fn two_slots_see_each_others_stores_and_a_reset_leaves_no_trace() {
    let file = value_file(HOST_PAGE);
    let mut scanner = scanner();
    let (mut one, mut two) = (slot_of(&image_bytes(16, 1)), slot_of(&image_bytes(16, 2)));
    for round in 1..4 {
        let shared = Sharing::Shared;
        let a = one.map_window(file.as_fd(), Bytes::ZERO, HOST_PAGE, shared).unwrap();
        let b = two.map_window(file.as_fd(), Bytes::ZERO, HOST_PAGE, shared).unwrap();
        one.write(a + 8, &[round; 8]).unwrap();
        assert_eq!(byte_at(&two, b + 8), round);
        two.write(b + 4095, &[round + 100]).unwrap();
        assert_eq!(byte_at(&one, a + 4095), round + 100);

        one.reset(&mut scanner).unwrap();
        one.verify(&mut scanner).unwrap();
        assert!(one.read(a + 8, &mut [0]).is_err());
        assert_eq!(byte_at(&two, b + 8), round, "the other slot keeps its view");
        two.reset(&mut scanner).unwrap();
        two.verify(&mut scanner).unwrap();
        assert_eq!((file_byte(&file, 8), file_byte(&file, 4095)), (round, round + 100));
    }
}

#[test]
fn a_private_copy_reaches_neither_the_file_nor_the_next_call() {
    let file = value_file(Bytes::kib(64));
    let (mut scanner, mut slot) = (scanner(), slot_of(&image_bytes(16, 1)));
    for _ in 0..2 {
        let len = Bytes::kib(64);
        let at = slot.map_window(file.as_fd(), Bytes::ZERO, len, Sharing::PrivateCopy).unwrap();
        assert_eq!(byte_at(&slot, at + 5000), 0);
        slot.write(at + 5000, &[7]).unwrap();
        assert_eq!((byte_at(&slot, at + 5000), file_byte(&file, 5000)), (7, 0));
        slot.reset(&mut scanner).unwrap();
        slot.verify(&mut scanner).unwrap();
    }
}

#[test]
fn a_region_given_back_is_zeros_and_its_place_is_used_again() {
    let file = value_file(Bytes::kib(256));
    let (mut scanner, mut slot) = (scanner(), slot_of(&image_bytes(16, 1)));
    let len = Bytes::kib(64);
    let map = |slot: &mut Slot, offset| {
        slot.map_window(file.as_fd(), Bytes::kib(offset), len, Sharing::Shared).unwrap()
    };
    let (a, b) = (map(&mut slot, 0), map(&mut slot, 64));
    slot.write(a, &[1]).unwrap();
    slot.write(b, &[2]).unwrap();
    slot.unmap_window(a).unwrap();
    assert_eq!((byte_at(&slot, a), byte_at(&slot, b)), (0, 2));
    slot.write(a, &[9; 70_000]).unwrap();
    assert_eq!(file_byte(&file, 0), 1, "a region given back no longer reaches the file");
    assert_eq!(file_byte(&file, 64 << 10), 9, "the one behind it does");
    assert_eq!(map(&mut slot, 128), a);
    assert_eq!(byte_at(&slot, a), 0);
    let report = slot.reset(&mut scanner).unwrap();
    assert_eq!(report.window, Bytes::kib(128));
    slot.verify(&mut scanner).unwrap();
}

#[test]
fn a_range_lies_in_the_heap_or_in_the_window_and_never_across() {
    let file = value_file(HOST_PAGE);
    let mut slot = slot_of(&image_bytes(16, 1));
    let base = slot.layout().window_base().0 as u32;
    assert!(slot.read(base, &mut [0]).is_err());
    assert_eq!(slot.read(base, &mut []), Ok(()), "nothing of an empty window is still in it");
    slot.map_window(file.as_fd(), Bytes::ZERO, HOST_PAGE, Sharing::Shared).unwrap();
    assert!(slot.read(base, &mut [0; 4096]).is_ok());
    assert!(slot.read(base, &mut [0; 4097]).is_err());
    assert!(slot.read(base - 1, &mut [0; 2]).is_err());
    assert!(slot.read(65_535, &mut [0]).is_ok());
    assert!(slot.read(65_535, &mut [0; 2]).is_err());
    assert!(slot.read(65_536, &mut []).is_ok());
    assert!(slot.read(65_537, &mut []).is_err());
    let memory = slot.memory();
    assert!(memory.range(u32::MAX, u32::MAX).is_err());
    assert_eq!(memory.range(16, 16).unwrap().addr().get(), memory.base().addr().get() + 16);
}
