//! The memory file of an opened image, and its way to another process.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

use faaslet_snapshot::bytes::Bytes;
use faaslet_snapshot::image::layout::CHUNK_BYTES;
use faaslet_snapshot::image::{Head, Image, ImageWriter, OpenError};
use faaslet_snapshot::memory::MemoryImage;

use crate::round_trip::memory_of;
use crate::sample::Sample;

#[test]
fn opens_from_a_file() {
    let sample = Sample::full();
    let mut file = tempfile::tempfile().unwrap();
    let id = ImageWriter::write(&sample.contents(), &mut file).unwrap();
    file.flush().unwrap();
    let image = Image::open(&file).unwrap();
    assert_eq!(image.id(), id);
    assert_eq!(memory_of(&image), sample.memory);
}

#[test]
fn memory_file_is_final() {
    let image = Image::open(Sample::small().image().0.as_slice()).unwrap();
    let file = File::from(image.memory().fd().try_clone_to_owned().unwrap());
    assert!(file.write_at(b"x", 0).is_err());
    assert!(file.set_len(0).is_err());
    assert!(file.set_len(1 << 20).is_err());
}

#[test]
fn zero_pages_are_holes() {
    let image = Image::open(Sample::full().image().0.as_slice()).unwrap();
    assert_eq!(image.memory().data_pages().0, 7);
    assert_eq!(image.memory().len(), Bytes(4 * CHUNK_BYTES as u64));
}

#[test]
fn an_image_without_memory_opens() {
    let image = Image::open(Sample::empty().image().0.as_slice()).unwrap();
    assert!(image.memory().is_empty());
    assert_eq!(image.head().memory_bytes(), 0);
}

#[test]
fn parts_make_the_image_again() {
    let sample = Sample::full();
    let whole = Image::open(sample.image().0.as_slice()).unwrap();
    let fd = whole.memory().fd().try_clone_to_owned().unwrap();
    let image = Image::from_parts(fd, whole.head().as_bytes()).unwrap();
    assert_eq!(image.id(), whole.id());
    assert_eq!(memory_of(&image), sample.memory);
    assert_eq!(image.head().globals(), whole.head().globals());
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let small = Image::open(Sample::small().image().0.as_slice()).unwrap();
    let full = Image::open(Sample::full().image().0.as_slice()).unwrap();
    let fd = |image: &Image| image.memory().fd().try_clone_to_owned().unwrap();
    let short = Image::from_parts(fd(&small), full.head().as_bytes()).unwrap_err();
    assert!(matches!(short, OpenError::Memory { .. }), "{short}");

    let unsealed = tempfile::tempfile().unwrap();
    unsealed.set_len(small.head().memory_bytes()).unwrap();
    let error = Image::from_parts(unsealed.into(), small.head().as_bytes()).unwrap_err();
    assert!(matches!(error, OpenError::Memory { .. }), "{error}");

    let mut head = small.head().as_bytes().to_vec();
    head[60] ^= 1;
    let error = Image::from_parts(fd(&small), &head).unwrap_err();
    assert!(matches!(error, OpenError::HeadHash { .. }), "{error}");
}

#[test]
fn a_head_is_read_without_its_memory() {
    let (bytes, id) = Sample::full().image();
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let head = Head::read(damaged.as_slice()).unwrap();
    assert_eq!(head.id(), id);
    assert_eq!(Head::from_bytes(head.as_bytes().to_vec()).unwrap().id(), id);
    assert_eq!(head.as_bytes(), &bytes[..head.as_bytes().len()]);
}

#[test]
fn slots_can_share_the_memory() {
    let image = Image::open(Sample::small().image().0.as_slice()).unwrap();
    let memory: &std::sync::Arc<MemoryImage> = image.memory();
    assert!(std::sync::Arc::ptr_eq(memory, image.clone().memory()));
}
