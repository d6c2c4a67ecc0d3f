//! What a slot refuses, and that a refusal changes nothing.

use std::os::fd::AsFd;

use faaslet_snapshot::bytes::{Bytes, HOST_PAGE};
use faaslet_snapshot::layout::{Layout, LayoutError};
use faaslet_snapshot::memory::{MemoryDraft, MemoryImage, MemoryImageError};
use faaslet_snapshot::reset::ResetError;
use faaslet_snapshot::slot::{GrowError, MapError, MapWindowError, Sharing, Slot};
use faaslet_snapshot::verify::Mismatch;
use faaslet_snapshot::window::WindowError;

use super::{image_bytes, scanner, slot_of, unsealed_file, value_file};

#[test]
fn growth_stops_at_the_limit_and_never_shrinks() {
    let (mut scanner, mut slot) = (scanner(), slot_of(&image_bytes(32, 1)));
    slot.set_limit(Bytes(Bytes::kib(256).0 + 5));
    assert_eq!((slot.limit(), slot.headroom()), (Bytes::kib(256), Bytes::kib(128)));
    let grow = |slot: &mut Slot, size| slot.grow_to(size);
    assert!(matches!(grow(&mut slot, Bytes::kib(320)), Err(GrowError::Limit { .. })));
    assert!(matches!(grow(&mut slot, Bytes(u64::MAX)), Err(GrowError::Size { .. })));
    assert!(matches!(grow(&mut slot, Bytes::kib(64)), Err(GrowError::Size { .. })));
    assert!(matches!(grow(&mut slot, Bytes::kib(132)), Err(GrowError::Size { .. })));
    slot.verify(&mut scanner).unwrap();
    slot.grow_to(Bytes::kib(128)).unwrap();
    slot.grow_to(Bytes::kib(256)).unwrap();
    assert_eq!(slot.headroom(), Bytes::ZERO);
    slot.set_limit(Bytes(u64::MAX));
    assert_eq!(slot.limit(), slot.layout().heap_limit());
    slot.grow_to(slot.limit()).unwrap();
    slot.write((slot.size().0 - 1) as u32, &[1]).unwrap();
    slot.reset(&mut scanner).unwrap();
    slot.verify(&mut scanner).unwrap();
}

#[test]
fn a_poisoned_slot_is_remapped_and_never_reset() {
    let (mut scanner, mut slot) = (scanner(), slot_of(&image_bytes(32, 1)));
    let file = value_file(HOST_PAGE);
    slot.write(0, &[1; 20_000]).unwrap();
    slot.grow_to(Bytes::kib(256)).unwrap();
    let window = slot.map_window(file.as_fd(), Bytes::ZERO, HOST_PAGE, Sharing::Shared).unwrap();
    slot.poison();
    assert!(slot.is_poisoned());
    assert!(matches!(slot.reset(&mut scanner), Err(ResetError::Poisoned)));
    assert!(matches!(slot.grow_to(Bytes::kib(256)), Err(GrowError::Poisoned)));
    assert!(matches!(slot.verify(&mut scanner), Err(Mismatch::Poisoned)));
    let mapped = slot.map_window(file.as_fd(), Bytes::ZERO, HOST_PAGE, Sharing::Shared);
    assert!(matches!(mapped, Err(MapWindowError::Poisoned)));
    assert!(matches!(slot.unmap_window(window), Err(MapWindowError::Poisoned)));
    slot.remap().unwrap();
    slot.verify(&mut scanner).unwrap();
    slot.reset(&mut scanner).unwrap();
}

#[test]
fn a_file_that_could_be_cut_short_is_not_mapped() {
    let (mut scanner, mut slot) = (scanner(), slot_of(&image_bytes(16, 1)));
    let sealed = value_file(Bytes::kib(8));
    let open = unsealed_file(Bytes::kib(8));
    let other = tempfile::tempfile().unwrap();
    other.set_len(8192).unwrap();
    let mut map = |file: &std::fs::File, offset, len| {
        slot.map_window(file.as_fd(), Bytes(offset), Bytes(len), Sharing::Shared)
    };
    assert!(matches!(map(&open, 0, 4096), Err(MapWindowError::NotSealed { .. })));
    assert!(matches!(map(&other, 0, 4096), Err(MapWindowError::NotSealed { .. })));
    assert!(matches!(map(&sealed, 4095, 1), Err(MapWindowError::Offset { .. })));
    assert!(matches!(map(&sealed, 4096, 4097), Err(MapWindowError::Short { .. })));
    assert!(matches!(map(&sealed, 8192, 1), Err(MapWindowError::Short { .. })));
    assert!(matches!(map(&sealed, u64::MAX - 4095, 1), Err(MapWindowError::Short { .. })));
    assert!(matches!(map(&sealed, 0, 0), Err(MapWindowError::Window(WindowError::Empty))));
    assert!(matches!(
        map(&sealed, 0, u64::MAX),
        Err(MapWindowError::Window(WindowError::Full { .. }))
    ));
    slot.verify(&mut scanner).unwrap();
}

#[test]
fn a_file_sealed_against_writing_is_mapped_as_a_copy_only() {
    let (mut scanner, mut slot) = (scanner(), slot_of(&image_bytes(16, 1)));
    let image = MemoryImage::from_bytes(&[5; 4096]).unwrap();
    let shared = slot.map_window(image.fd(), Bytes::ZERO, HOST_PAGE, Sharing::Shared);
    assert!(matches!(shared, Err(MapWindowError::System { .. })));
    assert!(!slot.is_poisoned());
    slot.verify(&mut scanner).unwrap();
    let at = slot.map_window(image.fd(), Bytes::ZERO, HOST_PAGE, Sharing::PrivateCopy).unwrap();
    slot.write(at, &[6]).unwrap();
    slot.unmap_window(at).unwrap();
    let shared = slot.map_window(image.fd(), Bytes::ZERO, HOST_PAGE, Sharing::Shared);
    assert!(matches!(shared, Err(MapWindowError::System { .. })));
    slot.read(at, &mut [0; 4096]).unwrap();
}

#[test]
fn a_region_is_unmapped_once_and_by_its_start() {
    let mut slot = slot_of(&image_bytes(16, 1));
    let file = value_file(Bytes::kib(8));
    let at = slot.map_window(file.as_fd(), Bytes::ZERO, Bytes(5000), Sharing::Shared).unwrap();
    assert_eq!(slot.window_end().0, u64::from(at) + 8192, "regions are whole pages");
    for addr in [0, at + 1, at + 4096, at - 1, u32::MAX] {
        assert!(matches!(
            slot.unmap_window(addr),
            Err(MapWindowError::Window(WindowError::NoSuchRegion { .. }))
        ));
    }
    slot.unmap_window(at).unwrap();
    assert!(slot.unmap_window(at).is_err());
}

#[test]
fn an_image_is_sealed_whole_and_long_enough() {
    let draft = |len| MemoryDraft::new(Bytes(len));
    assert!(matches!(draft(1), Err(MemoryImageError::Length { .. })));
    assert!(matches!(draft((4 << 30) + 65_536), Err(MemoryImageError::Length { .. })));
    let memory = draft(65_536).unwrap();
    assert!(matches!(memory.write(Bytes(65_535), &[1, 2]), Err(MemoryImageError::Outside { .. })));
    assert!(matches!(
        memory.write(Bytes(u64::MAX), &[1, 2]),
        Err(MemoryImageError::Outside { .. })
    ));
    let from = |file: std::fs::File, len| MemoryImage::from_fd(file.into(), Bytes(len));
    let open = value_file(Bytes::kib(64));
    assert!(matches!(from(open, 65_536), Err(MemoryImageError::NotSealed { .. })));
    let short = value_file(Bytes::kib(64));
    assert!(matches!(from(short, 131_072), Err(MemoryImageError::Short { .. })));
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(matches!(from(file, 0), Err(MemoryImageError::System { .. })));
}

#[test]
fn an_image_larger_than_the_heap_is_not_mapped() {
    let layout = Layout::new(Bytes::kib(256), Bytes::ZERO).unwrap();
    let mut slot = Slot::reserve(&layout).unwrap();
    let image = MemoryImage::from_bytes(&[1; 256 << 10]).unwrap();
    assert!(matches!(slot.map(&image), Err(MapError::Length { .. })));
    assert!(matches!(slot.map_empty(Bytes(5)), Err(MapError::Length { .. })));
    slot.map_empty(Bytes::kib(192)).unwrap();
}

#[test]
fn a_layout_that_exists_is_consistent() {
    let new = |base, guard| Layout::new(Bytes(base), Bytes(guard));
    assert!(matches!(new(65_537, 0), Err(LayoutError::Unaligned { .. })));
    assert!(matches!(new(1 << 30, 4096), Err(LayoutError::Unaligned { .. })));
    assert!(matches!(new(65_536, 0), Err(LayoutError::WindowBase { .. })));
    assert!(matches!(new(4 << 30, 0), Err(LayoutError::WindowBase { .. })));
    assert!(matches!(new(1 << 30, 8 << 30), Err(LayoutError::Guard { .. })));
    assert_eq!(new(1 << 30, 0).unwrap().reservation(), Bytes::gib(4));
}

#[test]
fn memory_stays_reserved_while_a_handle_to_it_lives() {
    let slot = slot_of(&image_bytes(16, 1));
    let memory = slot.memory();
    drop(slot);
    let mut byte = [0];
    memory.read(0, &mut byte).unwrap();
    assert_eq!(byte, [1]);
}
