//! An image that rests as a layer reads as the image itself, and on its own base alone.

use faaslet_snapshot::image::layout::{CHUNK_BYTES, PAGE_BYTES};
use faaslet_snapshot::image::{
    Head, Image, ImageBytes, LAYER_HEADER_BYTES, LayerError, Layered, OpenError, base_of, head_of,
    write_layer,
};

use crate::sample::Sample;

/// A base, an image that differs from it in one page and has a chunk more, and its layer.
fn family() -> [Vec<u8>; 3] {
    let base = Sample::full();
    let mut over = base.clone();
    over.memory.resize(base.memory.len() + CHUNK_BYTES, 7);
    over.memory_max_bytes = None;
    over.memory[17 * PAGE_BYTES] ^= 1;
    let (base, over) = (base.image().0, over.image().0);
    let mut layer = Vec::new();
    let written =
        write_layer(over.as_slice(), &Head::read(base.as_slice()).unwrap(), &mut layer).unwrap();
    assert_eq!(written, layer.len() as u64);
    [base, over, layer]
}

/// Bytes that own themselves.
struct Bytes(Vec<u8>);

impl ImageBytes for Bytes {
    fn len_bytes(&self) -> std::io::Result<u64> {
        self.0.as_slice().len_bytes()
    }
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.0.as_slice().read_exact_at(bytes, offset)
    }
}

fn layered(layer: &[u8], base: &[u8]) -> Result<Layered<Bytes, Bytes>, LayerError> {
    Layered::new(Bytes(layer.to_vec()), Bytes(base.to_vec()))
}

#[test]
fn a_layer_reads_as_its_image_to_the_byte_and_holds_no_more_than_it_adds() {
    let [base, over, layer] = family();
    let whole = layered(&layer, &base).unwrap();
    assert_eq!(whole.len_bytes().unwrap(), over.len() as u64);
    for length in [1, 31, PAGE_BYTES + 1, over.len()] {
        for start in (0..=over.len() - length).step_by(length.max(997)) {
            let mut read = vec![0; length];
            whole.read_exact_at(&mut read, start as u64).unwrap();
            assert!(read == over[start..start + length], "{length} bytes from {start}");
        }
    }
    let mut past = [0; 2];
    assert!(whole.read_exact_at(&mut past, over.len() as u64 - 1).is_err());
    let id = Image::open(&whole).unwrap().id();
    assert_eq!(id, Head::read(over.as_slice()).unwrap().id());
    assert_eq!(head_of(layer.as_slice()).unwrap().id(), id);
    let head = Head::read(over.as_slice()).unwrap().as_bytes().len();
    let most = LAYER_HEADER_BYTES + head + 2 * CHUNK_BYTES;
    assert!(layer.len() <= most, "{} bytes, expected at most {most}", layer.len());
}

#[test]
fn a_layer_of_an_image_on_itself_has_no_pages() {
    let (image, id) = Sample::full().image();
    let mut layer = Vec::new();
    let head = Head::read(image.as_slice()).unwrap();
    write_layer(image.as_slice(), &head, &mut layer).unwrap();
    assert_eq!(layer.len(), LAYER_HEADER_BYTES + head.as_bytes().len());
    assert_eq!(base_of(layer.as_slice()).unwrap(), Some(id));
    assert_eq!(base_of(image.as_slice()).unwrap(), None);
}

#[test]
fn another_base_another_version_and_a_wrong_length_are_told_apart() {
    let [base, over, layer] = family();
    let other = layered(&layer, &over).err().unwrap();
    assert!(matches!(other, LayerError::Base { .. }), "{other}");
    let mut newer = layer.clone();
    newer[8] = 2;
    let newer = layered(&newer, &base).err().unwrap();
    assert!(matches!(newer, LayerError::Version { found: 2 }), "{newer}");
    for wrong in [&layer[..layer.len() - 1], &[layer.as_slice(), &[0]].concat()] {
        let wrong = layered(wrong, &base).err().unwrap();
        assert!(matches!(wrong, LayerError::Length { .. }), "{wrong}");
    }
    let mut long = layer.clone();
    long[48..56].fill(0xff);
    let long = layered(&long, &base).err().unwrap();
    assert!(matches!(long, LayerError::Open(OpenError::TooLarge { .. })), "{long}");
}

#[test]
fn damage_of_a_layer_is_found_when_its_image_is_opened() {
    let [base, _, layer] = family();
    for place in (0..layer.len()).step_by(61) {
        let mut damaged = layer.clone();
        damaged[place] ^= 0x40;
        let opened = layered(&damaged, &base).map(|whole| Image::open(&whole).is_ok());
        assert!(!matches!(opened, Ok(true)), "byte {place} changed, and it opens");
    }
}
