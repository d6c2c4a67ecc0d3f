//! The whole way: a slot's memory becomes an image, and the image becomes another slot's memory.

use faaslet_snapshot::bytes::Bytes;
use faaslet_snapshot::image::layout::CHUNK_BYTES;
use faaslet_snapshot::image::{Image, ImageContents, ImageWriter};
use faaslet_snapshot::layout::Layout;
use faaslet_snapshot::slot::Slot;

use crate::sample::Sample;

#[test]
fn what_one_slot_baked_another_forks() {
    let layout = Layout::default();
    let mut baked = Slot::reserve(&layout).unwrap();
    baked.map_empty(Bytes(CHUNK_BYTES as u64)).unwrap();
    baked.grow_to(Bytes(3 * CHUNK_BYTES as u64)).unwrap();
    baked.write(4090, b"over the edge of a page").unwrap();
    baked.write(3 * CHUNK_BYTES as u32 - 1, &[7]).unwrap();

    let sample = Sample::small();
    let contents =
        ImageContents { memory: &baked.memory(), memory_max_bytes: None, ..sample.contents() };
    let mut bytes = Vec::new();
    ImageWriter::write(&contents, &mut bytes).unwrap();
    let image = Image::open(bytes.as_slice()).unwrap();
    assert_eq!(image.memory().data_pages().0, 3);

    let mut fork = Slot::reserve(&layout).unwrap();
    fork.map(image.memory()).unwrap();
    assert_eq!(fork.size(), baked.size());
    let all = |slot: &Slot| {
        let mut bytes = vec![0xcc; slot.size().0 as usize];
        slot.read(0, &mut bytes).unwrap();
        bytes
    };
    assert!(all(&fork) == all(&baked), "the fork's memory is not what was baked");
    fork.write(0, &[1]).unwrap();
    let mut again = Slot::reserve(&layout).unwrap();
    again.map(image.memory()).unwrap();
    assert!(all(&again) == all(&baked), "a store of one fork shows in another");
}
