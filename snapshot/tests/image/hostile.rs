//! Images whose hashes are right and whose numbers are not, as an attacker would make them.
//!
//! Offsets are written out here, not taken from the crate: they are those of FORMAT.md.

use faaslet_snapshot::image::{Head, Image, OpenError, SectionSummary, verify};

use crate::oracle::reseal;
use crate::sample::Sample;
use crate::sys::allocated_bytes;

const HEAD_BYTES: usize = 12;
const PAYLOAD_BYTES: usize = 16;
const MEMORY_BYTES: usize = 24;
const MEMORY_MAX_BYTES: usize = 32;
const SECTION_TABLE: usize = 128;
const CHUNKS: usize = 0;
const GLOBALS: usize = 1;
const TABLES: usize = 2;
const FILES: usize = 3;
const META: usize = 4;

/// A full image under the knife.
struct Forged {
    bytes: Vec<u8>,
    sections: Vec<SectionSummary>,
}

impl Forged {
    fn new() -> Self {
        let (bytes, _) = Sample::full().image();
        let sections = Head::read(bytes.as_slice()).unwrap().inspect(&[]).sections;
        Self { bytes, sections }
    }

    /// Where a section begins.
    fn at(&self, section: usize) -> usize {
        self.sections[section].offset
    }

    /// Where the first zero after a section lies.
    fn end(&self, section: usize) -> usize {
        self.at(section) + self.sections[section].bytes
    }

    fn put(&mut self, place: usize, bytes: &[u8]) {
        self.bytes[place..place + bytes.len()].copy_from_slice(bytes);
    }

    fn put_u32(&mut self, place: usize, value: u32) {
        self.put(place, &value.to_le_bytes());
    }

    fn put_u64(&mut self, place: usize, value: u64) {
        self.put(place, &value.to_le_bytes());
    }

    /// Swaps two neighbouring rows.
    fn swap_rows(&mut self, place: usize, row: usize) {
        self.bytes[place..place + 2 * row].rotate_left(row);
    }

    /// Field `field` (0 offset, 1 bytes, 2 entries, 3 reserved) of a row of the section table.
    fn put_row(&mut self, section: usize, field: usize, value: u32) {
        self.put_u32(SECTION_TABLE + 16 * section + 4 * field, value);
    }

    fn opened(mut self) -> Result<Image, OpenError> {
        assert!(reseal(&mut self.bytes));
        let (opened, verified) = (Image::open(&*self.bytes), verify(&*self.bytes));
        assert_eq!(opened.is_ok(), verified.is_ok());
        opened
    }
}

/// Forges an image and wants an error that contains `expected`.
#[track_caller]
fn refused(expected: &str, forge: impl FnOnce(&mut Forged)) {
    let mut forged = Forged::new();
    forge(&mut forged);
    let message = forged.opened().unwrap_err().to_string();
    assert!(message.contains(expected), "expected {expected:?} in {message:?}");
}

#[test]
fn untouched_it_opens() {
    Forged::new().opened().unwrap();
}

#[test]
fn header_lengths() {
    refused("bytes of stored pages", |f| f.put_u64(PAYLOAD_BYTES, (4 << 30) + 4096));
    refused("whole number of pages, found 28673", |f| f.put_u64(PAYLOAD_BYTES, 28_673));
    // The length that the header claims and the file's fit, but not what the chunks name.
    refused("byte 16 of the image's head: expected the pages that the chunks name", |f| {
        f.put_u64(PAYLOAD_BYTES, 8 * 4096);
        f.bytes.resize(f.bytes.len() + 4096, 0);
    });
    // A head of two pages where one holds everything.
    refused("the smallest head that holds the sections, found 8192", |f| {
        f.put_u32(HEAD_BYTES, 8192);
        f.bytes.splice(4096 - 32..4096 - 32, [0; 4096]);
    });
}

#[test]
fn head_lengths_that_leave_no_room_for_a_hash() {
    for (length, expected) in [
        (0, "not 0, found 0"),
        (1, "not 0, found 1"),
        (4097, "not 0, found 4097"),
        (u32::MAX, "bytes of head, more than"),
    ] {
        let (mut bytes, _) = Sample::full().image();
        bytes[HEAD_BYTES..HEAD_BYTES + 4].copy_from_slice(&u32::to_le_bytes(length));
        let message = Image::open(bytes.as_slice()).unwrap_err().to_string();
        assert!(message.contains(expected), "expected {expected:?} in {message:?}");
    }
}

#[test]
fn memory_sizes() {
    refused("byte 24", |f| f.put_u64(MEMORY_BYTES, 4 * 65_536 + 4096));
    refused("byte 24", |f| f.put_u64(MEMORY_BYTES, (4 << 30) + 65_536));
    refused("byte 24", |f| f.put_u64(MEMORY_BYTES, u64::MAX - 65_535));
    refused("a chunk within the memory, found 3", |f| f.put_u64(MEMORY_BYTES, 3 * 65_536));
    refused("byte 32", |f| f.put_u64(MEMORY_MAX_BYTES, 3 * 65_536));
    refused("byte 32", |f| f.put_u64(MEMORY_MAX_BYTES, 4 * 65_536 + 1));
    refused("byte 32", |f| f.put_u64(MEMORY_MAX_BYTES, (4 << 30) + 65_536));
}

#[test]
fn constants_and_reserved_bytes() {
    refused("a page size of 4096, found 16384", |f| f.put_u32(40, 16_384));
    refused("a chunk size of 65536, found 0", |f| f.put_u32(44, 0));
    for place in [52, 55, 120, 127, 208, 255] {
        refused("head: expected 0, found", |f| f.bytes[place] = 1);
    }
    for section in [CHUNKS, GLOBALS, TABLES, FILES, META] {
        refused("head: expected 0, found 1", |f| f.put_row(section, 3, 1));
    }
}

#[test]
fn padding_is_zeros() {
    refused("head: expected 0, found 7", |f| f.bytes[4096 - 33] = 7);
    let forged = Forged::new();
    let (end, next) = (forged.end(META), 4096 - 32);
    for place in [end, usize::midpoint(end, next)] {
        refused("head: expected 0, found 7", |f| f.bytes[place] = 7);
    }
}

#[test]
fn section_table() {
    for section in [CHUNKS, GLOBALS, TABLES, FILES, META] {
        refused("the section to follow the one before", |f| {
            let offset = f.at(section) as u32;
            f.put_row(section, 0, offset + 8);
        });
        refused("bytes in a section, more than", |f| f.put_row(section, 1, u32::MAX));
        refused("more than the", |f| f.put_row(section, 2, u32::MAX));
        refused("bake the function again", |f| {
            let entries = f.sections[section].entries as u32;
            f.put_row(section, 2, entries + 1);
        });
        refused("bake the function again", |f| {
            let entries = f.sections[section].entries as u32;
            f.put_row(section, 2, entries - 1);
        });
    }
    refused("section meta of the image's head is 4096 bytes", |f| f.put_row(META, 1, 4096));
}

#[test]
fn chunk_rows() {
    refused("a chunk above the one before", |f| f.swap_rows(f.at(CHUNKS), 40));
    refused("a chunk above the one before", |f| f.put_u32(f.at(CHUNKS) + 40, 0));
    refused("a chunk within the memory, found 4", |f| f.put_u32(f.at(CHUNKS) + 120, 4));
    refused("a chunk with stored pages, found 0", |f| f.put(f.at(CHUNKS) + 4, &[0, 0]));
    refused("the pages that the chunks name", |f| f.put(f.at(CHUNKS) + 4, &[1, 0]));
    refused("head: expected 0, found 9", |f| f.bytes[f.sections[CHUNKS].offset + 7] = 9);
    refused("does not match its hash", |f| f.bytes[f.sections[CHUNKS].offset + 8] ^= 1);
}

#[test]
fn a_bitmap_moves_pages_and_makes_another_image() {
    let mut forged = Forged::new();
    forged.put(forged.at(CHUNKS) + 44, &[1, 0]);
    let moved = forged.opened().unwrap();
    let mut sample = Sample::full();
    assert_ne!(moved.id(), sample.image().1);
    sample.memory.copy_within(17 * 4096..18 * 4096, 16 * 4096);
    sample.memory[17 * 4096..18 * 4096].fill(0);
    assert_eq!(moved.id(), sample.image().1);
}

#[test]
fn a_stored_page_of_zeros() {
    refused("chunk 3 of the image stores a page of zeros", |f| {
        let row = f.at(CHUNKS) + 120;
        let last = f.bytes.len() - 4096;
        f.bytes.splice(last..last, [0; 4096]);
        f.put(row + 4, &0b1100_0000_0000_0000_u16.to_le_bytes());
        f.put_u64(PAYLOAD_BYTES, 8 * 4096);
        let hash = blake3::hash(&f.bytes[last..]);
        f.put(row + 8, hash.as_bytes());
    });
}

#[test]
fn global_rows() {
    refused("a global above the one before", |f| f.swap_rows(f.at(GLOBALS), 24));
    for tag in [0, 7, 255] {
        refused("a type from 1 to 6", |f| f.bytes[f.sections[GLOBALS].offset + 4] = tag);
    }
    refused("head: expected 0", |f| f.bytes[f.sections[GLOBALS].offset + 5] = 1);
    refused("head: expected 0", |f| f.bytes[f.sections[GLOBALS].offset + 12] = 1);
    refused("head: expected 0", |f| f.bytes[f.sections[GLOBALS].offset + 24 + 16] = 1);
}

#[test]
fn table_rows() {
    refused("an element within the table, found 8", |f| f.put_u32(f.at(TABLES) + 4, 8));
    refused("elements of a table, more than", |f| f.put_u32(f.at(TABLES) + 4, u32::MAX));
    refused("an element above the one before", |f| f.swap_rows(f.at(TABLES) + 16, 8));
    refused("changed table elements, more than", |f| f.put_u32(f.at(TABLES) + 8, u32::MAX));
    refused("section tables", |f| f.put_u32(f.at(TABLES) + 8, 1 << 20));
    // The cap is for all tables together: two elements are in the first.
    refused("changed table elements, more than", |f| {
        f.put_u32(f.at(TABLES) + 40, (1 << 20) - 1);
    });
    refused("head: expected 0", |f| f.put_u32(f.at(TABLES) + 12, 1));
    refused("a table above the one before", |f| f.put_u32(f.at(TABLES) + 32, 0));
}

#[test]
fn files_are_one_list_or_none() {
    refused("1 list of files, or 0 when it is empty, found 0", |f| f.put_row(FILES, 2, 0));
    refused("files, more than the 1 allowed", |f| f.put_row(FILES, 2, 2));
    // A list cut short leaves a byte where zeros must be.
    refused("head: expected 0, found 33", |f| f.put_row(FILES, 1, 4));
}

#[test]
fn meta_rows() {
    refused("bytes of a value's name, more than the 128", |f| f.put_u32(f.at(META), 129));
    refused("bytes of a named value, more than", |f| f.put_u32(f.at(META) + 4, u32::MAX));
    refused("section meta", |f| f.put_u32(f.at(META) + 4, 65_536));
    refused("expected UTF-8", |f| f.bytes[f.sections[META].offset + 8] = 0xff);
    refused("head: expected 0, found 1", |f| f.bytes[f.sections[META].offset + 13] = 1);
    refused("a name above the one before", |f| f.bytes[f.sections[META].offset + 8] = b'z');
}

#[test]
fn hostile_claims_allocate_nothing_for_themselves() {
    const MAX_REFUSED_BYTES: usize = 64 * 1024;
    let claims: [fn(&mut Forged); 7] = [
        |f| f.put_u32(HEAD_BYTES, 16 << 20),
        |f| f.put_u64(PAYLOAD_BYTES, 4 << 30),
        |f| f.put_row(CHUNKS, 2, 65_536),
        |f| f.put_row(GLOBALS, 2, 65_536),
        |f| f.put_row(META, 1, 1 << 20),
        |f| f.put_u32(f.at(TABLES) + 8, 1 << 20),
        |f| f.put_u32(f.at(META) + 4, 65_536),
    ];
    for (n, claim) in claims.iter().enumerate() {
        let mut forged = Forged::new();
        claim(&mut forged);
        let _ = reseal(&mut forged.bytes);
        let (result, allocated) = allocated_bytes(|| verify(&*forged.bytes).is_ok());
        assert!(!result, "claim {n} verifies");
        assert!(allocated <= MAX_REFUSED_BYTES, "claim {n} made it allocate {allocated} bytes");
    }
}

#[test]
fn the_largest_memory_costs_what_is_stored() {
    const MAX_BYTES: usize = 512 * 1024;
    let mut forged = Forged::new();
    forged.put_u64(MEMORY_BYTES, 4 << 30);
    let (opened, allocated) = allocated_bytes(|| forged.opened());
    assert_eq!(opened.unwrap().memory().data_pages().0, 7);
    assert!(allocated <= MAX_BYTES, "allocated {allocated} bytes");
}
