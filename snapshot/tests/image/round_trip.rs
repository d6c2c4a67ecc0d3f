//! What goes into an image comes out of it.

use std::os::unix::fs::FileExt;

use faaslet_snapshot::image::layout::{CHUNK_BYTES, PAGE_BYTES};
use faaslet_snapshot::image::{
    Chunk, ChunkRead, Global, GlobalValue, Head, Image, ImageContents, ImageWriter, MemorySource,
    WriteError, verify,
};

use crate::sample::{Sample, each_seed};

/// The memory of an opened image, read through its descriptor.
pub(crate) fn memory_of(image: &Image) -> Vec<u8> {
    let file = std::fs::File::from(image.memory().fd().try_clone_to_owned().unwrap());
    let mut bytes = vec![0; image.head().memory_bytes() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn assert_holds(head: &Head, sample: Sample) {
    let sample = sample.sorted();
    assert_eq!(*head.identity(), sample.identity);
    assert_eq!(head.memory_bytes(), sample.memory.len() as u64);
    assert_eq!(head.memory_max_bytes(), sample.memory_max_bytes);
    assert_eq!(head.globals(), sample.globals);
    assert_eq!(head.tables(), sample.tables);
    assert_eq!(head.files(), sample.files);
    assert_eq!(*head.meta(), sample.meta);
}

fn assert_round_trip(sample: Sample) {
    let (bytes, id) = sample.image();
    let image = Image::open(bytes.as_slice()).unwrap();
    assert_eq!(image.id(), id);
    assert_eq!(memory_of(&image), sample.memory);
    assert_eq!(verify(bytes.as_slice()).unwrap().id(), id);
    assert_holds(image.head(), sample);
}

#[test]
fn fixed_samples_round_trip() {
    assert_round_trip(Sample::empty());
    assert_round_trip(Sample::small());
    assert_round_trip(Sample::full());
}

#[test]
fn random_contents_round_trip() {
    each_seed(200, |seed| assert_round_trip(Sample::random(seed)));
}

#[test]
fn zero_pages_take_no_room_and_length_is_announced() {
    let sample = Sample::full();
    let contents = sample.contents();
    let writer = ImageWriter::new(&contents).unwrap();
    let mut bytes = Vec::new();
    writer.write_to(&mut bytes).unwrap();
    assert_eq!(writer.file_bytes(), bytes.len() as u64);
    assert_eq!(bytes.len(), 4096 + 7 * PAGE_BYTES);
}

/// 3 GiB of zeros but for its last page, never held anywhere.
struct Sparse;

const SPARSE_BYTES: u64 = 3 << 30;

impl MemorySource for Sparse {
    fn len_bytes(&self) -> u64 {
        SPARSE_BYTES
    }

    fn read_chunk(&self, index: u32, chunk: &mut Chunk) -> std::io::Result<ChunkRead> {
        if u64::from(index) + 1 < SPARSE_BYTES / CHUNK_BYTES as u64 {
            return Ok(ChunkRead::Zero);
        }
        chunk.fill(0);
        chunk[CHUNK_BYTES - 1] = 9;
        Ok(ChunkRead::Filled)
    }
}

#[test]
fn large_sparse_memory_is_small_at_rest_and_in_memory() {
    let sample = Sample::empty();
    let contents = ImageContents { memory: &Sparse, ..sample.contents() };
    let mut bytes = Vec::new();
    ImageWriter::write(&contents, &mut bytes).unwrap();
    assert_eq!(bytes.len(), 2 * PAGE_BYTES);
    let image = Image::open(bytes.as_slice()).unwrap();
    let file = std::fs::File::from(image.memory().fd().try_clone_to_owned().unwrap());
    let mut last = [0; 2];
    file.read_exact_at(&mut last, SPARSE_BYTES - 2).unwrap();
    assert_eq!(last, [0, 9]);
    assert_eq!(image.memory().data_pages().0, 1);
}

#[test]
fn inspect_counts_sections_and_pages() {
    let (bytes, id) = Sample::full().image();
    let head = Head::read(bytes.as_slice()).unwrap();
    let summary = head.inspect(&[&head]);
    assert_eq!(summary.id, id);
    assert_eq!(summary.file_bytes, bytes.len() as u64);
    assert_eq!((summary.stored_pages, summary.zero_pages), (7, 64 - 7));
    assert_eq!(summary.shared_pages, 0, "an image does not share pages with itself");
    let entries: Vec<_> = summary.sections.iter().map(|s| (s.section.name(), s.entries)).collect();
    let expected = [("chunks", 4), ("globals", 7), ("tables", 2), ("files", 1), ("meta", 3)];
    assert_eq!(entries, expected);

    let mut other = Sample::full();
    other.memory[0] ^= 1;
    let (other, _) = other.image();
    let other = Head::read(other.as_slice()).unwrap();
    let shared = head.inspect(&[&head, &other]).shared_pages;
    assert_eq!(shared, 3, "all but the four pages of the first chunk");
}

fn refused(change: impl FnOnce(&mut Sample)) -> WriteError {
    let mut sample = Sample::full();
    change(&mut sample);
    ImageWriter::write(&sample.contents(), &mut Vec::new()).unwrap_err()
}

#[test]
fn contents_that_make_no_image_are_named() {
    let twice = refused(|s| s.globals.push(Global { index: 3, value: GlobalValue::I32(0) }));
    assert!(twice.to_string().starts_with("global 3 is given twice"), "{twice}");
    let twice = refused(|s| s.tables[1].index = 0);
    assert!(twice.to_string().starts_with("table 0 is given twice"), "{twice}");
    let twice = refused(|s| s.tables[0].elements[1].index = 1);
    assert!(twice.to_string().starts_with("table element 1 is given twice"), "{twice}");
    let outside = refused(|s| s.tables[0].size = 8);
    assert!(outside.to_string().contains("8 of 8; expected an index below"), "{outside}");
    let null = refused(|s| s.tables[0].elements[0].function = Some(u32::MAX));
    assert!(null.to_string().contains("stands for null"), "{null}");
    let size = refused(|s| s.memory.truncate(70_000));
    assert!(matches!(size, WriteError::MemorySize { found: 70_000, .. }), "{size}");
    let max = refused(|s| s.memory_max_bytes = Some(CHUNK_BYTES as u64));
    assert!(matches!(max, WriteError::AboveMaximum { .. }), "{max}");
    let odd = refused(|s| s.memory_max_bytes = Some(u64::MAX));
    assert!(matches!(odd, WriteError::MemorySize { .. }), "{odd}");
    let long = refused(|s| s.files.resize((1 << 20) + 1, b'f'));
    assert!(matches!(long, WriteError::TooMany { limit: 1_048_576, .. }), "{long}");
    let large = refused(|s| drop(s.meta.insert("k".into(), vec![0; 65_537])));
    assert!(matches!(large, WriteError::TooMany { limit: 65_536, .. }), "{large}");
    let many = refused(|s| {
        s.globals = (0..65_537).map(|index| Global { index, value: GlobalValue::I32(0) }).collect();
    });
    assert!(matches!(many, WriteError::TooMany { what: "globals", .. }), "{many}");
}

/// Memory that is other every time it is read.
struct Moving(std::cell::Cell<u8>);

impl MemorySource for Moving {
    fn len_bytes(&self) -> u64 {
        CHUNK_BYTES as u64
    }

    fn read_chunk(&self, _index: u32, chunk: &mut Chunk) -> std::io::Result<ChunkRead> {
        self.0.set(self.0.get() + 1);
        chunk.fill(self.0.get());
        Ok(ChunkRead::Filled)
    }
}

#[test]
fn memory_that_changes_while_it_is_written_is_refused() {
    let sample = Sample::empty();
    let moving = Moving(std::cell::Cell::new(0));
    let contents = ImageContents { memory: &moving, ..sample.contents() };
    let error = ImageWriter::write(&contents, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, WriteError::Changed { chunk: 0 }), "{error}");
}

#[test]
fn a_full_disk_is_an_error() {
    let sample = Sample::full();
    let mut room = [0; 5000];
    let error = ImageWriter::write(&sample.contents(), &mut room.as_mut_slice()).unwrap_err();
    assert!(matches!(error, WriteError::Output(_)), "{error}");
}
