//! An image with any byte changed, missing or added is refused.

use faaslet_snapshot::image::{Head, Image, OpenError, verify};

use crate::sample::Sample;

#[test]
fn every_bit_flipped_in_a_small_image_is_caught() {
    let (mut bytes, _) = Sample::small().image();
    for place in 0..bytes.len() {
        for bit in 0..8 {
            bytes[place] ^= 1 << bit;
            let caught = verify(bytes.as_slice()).is_err();
            assert!(caught, "bit {bit} of byte {place} flipped, and the image verifies");
            bytes[place] ^= 1 << bit;
        }
    }
    verify(bytes.as_slice()).unwrap();
}

#[test]
fn every_byte_flipped_in_a_full_image_is_caught_at_opening() {
    let (mut bytes, _) = Sample::full().image();
    for place in 0..bytes.len() {
        bytes[place] ^= 0xff;
        assert!(Image::open(bytes.as_slice()).is_err(), "byte {place} flipped, and it opens");
        bytes[place] ^= 0xff;
    }
    Image::open(bytes.as_slice()).unwrap();
}

#[test]
fn damage_is_told_by_what_was_hit() {
    let (bytes, _) = Sample::small().image();
    let flipped = |place: usize| {
        let mut bytes = bytes.clone();
        bytes[place] ^= 0x10;
        verify(bytes.as_slice()).unwrap_err()
    };
    assert!(matches!(flipped(0), OpenError::NotAnImage { .. }));
    assert!(matches!(flipped(8), OpenError::Version { found: 17 }));
    assert!(matches!(flipped(60), OpenError::HeadHash { .. }));
    assert!(matches!(flipped(4095), OpenError::HeadHash { .. }));
    assert!(matches!(flipped(4096), OpenError::ChunkHash { chunk: 1, .. }));
}

#[test]
fn an_unknown_version_names_both_and_what_to_do() {
    let (mut bytes, _) = Sample::small().image();
    bytes[8..12].copy_from_slice(&7_u32.to_le_bytes());
    let message = Image::open(bytes.as_slice()).unwrap_err().to_string();
    assert!(message.contains("version 7"), "{message}");
    assert!(message.contains("reads version 1"), "{message}");
    assert!(message.contains("deploy the function again"), "{message}");
}

#[test]
fn truncation_at_every_length_is_caught() {
    let (bytes, _) = Sample::full().image();
    for length in 0..bytes.len() {
        let error = Image::open(&bytes[..length]).unwrap_err();
        let told = matches!(error, OpenError::Length { found, .. } if found == length as u64);
        assert!(told, "cut to {length} bytes: {error}");
    }
}

#[test]
fn a_head_cut_anywhere_is_caught() {
    let (bytes, _) = Sample::full().image();
    let head = Head::read(bytes.as_slice()).unwrap();
    for length in 0..head.as_bytes().len() {
        let error = Head::from_bytes(head.as_bytes()[..length].to_vec()).unwrap_err();
        assert!(matches!(error, OpenError::Length { .. }), "cut to {length} bytes: {error}");
    }
}

#[test]
fn anything_appended_is_caught() {
    let (mut bytes, _) = Sample::full().image();
    for extra in [1, 4095, 4096, 65_536] {
        let length = bytes.len();
        bytes.resize(length + extra, 0);
        let error = Image::open(bytes.as_slice()).unwrap_err();
        assert!(matches!(error, OpenError::Length { .. }), "{error}");
        bytes.truncate(length);
    }
}

#[test]
fn something_else_is_told_from_a_short_image() {
    let error = Image::open(b"\0asm\x01\0\0\0 and so on".as_slice()).unwrap_err();
    assert!(matches!(error, OpenError::NotAnImage { .. }), "{error}");
    let error = Image::open(b"\x89FSL\r\n\x1a\n\x02\0\0\0".as_slice()).unwrap_err();
    assert!(matches!(error, OpenError::Version { found: 2 }), "{error}");
    let error = Image::open([].as_slice()).unwrap_err();
    assert!(matches!(error, OpenError::Length { found: 0, .. }), "{error}");
}
