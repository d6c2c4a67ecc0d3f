//! Which parts of an image its calls touch first, and in which order: what is brought before the
//! rest when the image is not here.
//!
//! What it is: the small file beside an image (`snapshot/FORMAT.md`), merged over the first runs.
//! What it is not: needed. A lost or damaged one is as none, and costs time alone.

use std::fmt::Write as _;

use crate::image::layout::PAGES_PER_CHUNK;
use crate::image::{Head, ImageId};

/// First bytes of the file.
const MAGIC: [u8; 8] = *b"\x89FWS\r\n\x1a\n";
/// Version that this build reads and writes.
pub const FORMAT_VERSION: u32 = 1;
/// Runs that are merged; later ones add nothing.
pub const MAX_RUNS: u32 = 8;

const HEADER_BYTES: usize = 56;
const ROW_BYTES: usize = 8;
const HASH_BYTES: usize = 32;

// When this fires, files at rest would no longer be read: read "The working set" in FORMAT.md.
const _: () = assert!(HEADER_BYTES == MAGIC.len() + 4 + 4 + 4 + 4 + HASH_BYTES);

/// A chunk that calls touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Its number.
    pub chunk: u32,
    /// Bit n is set when page n of it was met before it was here.
    pub pages: u16,
    /// In how many runs.
    pub runs: u16,
}

/// Why bytes are no working set of an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no working set of this image: expected {expected}; found {found}; it is made anew")]
pub struct WorkingSetError {
    expected: &'static str,
    found: String,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkingSet {
    image: ImageId,
    runs: u32,
    /// Invariant: each chunk once, in the order in which it is to be brought.
    touched: Vec<Touched>,
}

impl WorkingSet {
    /// That of an image of which nothing is known.
    #[must_use]
    pub fn new(image: ImageId) -> Self {
        Self { image, runs: 0, touched: Vec::new() }
    }

    /// How many runs it was merged from.
    #[must_use]
    pub fn runs(&self) -> u32 {
        self.runs
    }

    /// What was touched, in the order in which it is to be brought.
    #[must_use]
    pub fn touched(&self) -> &[Touched] {
        &self.touched
    }

    /// Chunks in that order.
    #[must_use]
    pub fn chunks(&self) -> Vec<u32> {
        self.touched.iter().map(|touched| touched.chunk).collect()
    }

    /// Merges the chunks, and pages of them, that one run met before they were here, in order.
    /// What is new comes after what earlier runs met; whether anything was.
    pub fn merge(&mut self, run: &[(u32, u16)]) -> bool {
        if self.runs == MAX_RUNS || run.is_empty() {
            return false;
        }
        self.runs += 1;
        for &(chunk, pages) in run {
            match self.touched.iter_mut().find(|touched| touched.chunk == chunk) {
                Some(touched) => {
                    touched.pages |= pages;
                    touched.runs = touched.runs.saturating_add(1).min(self.runs as u16);
                }
                None => self.touched.push(Touched { chunk, pages, runs: 1 }),
            }
        }
        true
    }

    /// The bytes of its file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.file_bytes());
        bytes.extend_from_slice(&MAGIC);
        for number in [FORMAT_VERSION, self.runs, self.touched.len() as u32, 0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(self.image.as_bytes());
        for touched in &self.touched {
            bytes.extend_from_slice(&touched.chunk.to_le_bytes());
            bytes.extend_from_slice(&touched.pages.to_le_bytes());
            bytes.extend_from_slice(&touched.runs.to_le_bytes());
        }
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        bytes
    }

    /// Reads the bytes of a file, taken as hostile, as that of this image.
    ///
    /// # Errors
    /// When they are not what [`WorkingSet::encode`] writes, or name what the image does not have.
    pub fn decode(bytes: &[u8], head: &Head) -> Result<Self, WorkingSetError> {
        let (magic, numbers, image) = header(bytes)?;
        expect("another magic number", magic == MAGIC)?;
        let [version, runs, count, zero] = numbers;
        expect("format version 1", version == FORMAT_VERSION)?;
        expect("the image's id", image == *head.id().as_bytes())?;
        let count = count as usize;
        expect("no more chunks than the image stores", count <= head.chunks().len())?;
        expect("1 to 8 runs and zeros after", (1..=MAX_RUNS).contains(&runs) && zero == 0)?;
        let length = HEADER_BYTES + count * ROW_BYTES + HASH_BYTES;
        expect("the length that its header says", bytes.len() == length)?;
        let (hashed, hash) = bytes.split_at(length - HASH_BYTES);
        expect("the hash of what is before it", *blake3::hash(hashed).as_bytes() == *hash)?;
        let rows = hashed[HEADER_BYTES..].as_chunks::<ROW_BYTES>().0;
        let touched = rows.iter().copied().map(row).collect();
        let set = Self { image: head.id(), runs, touched };
        set.check(head)?;
        Ok(set)
    }

    /// That every row is of the image, and none is there twice.
    fn check(&self, head: &Head) -> Result<(), WorkingSetError> {
        let mut seen = vec![false; head.chunks().len()];
        for touched in &self.touched {
            let row = head.chunks().binary_search_by_key(&touched.chunk, |row| row.index);
            let row = row.ok().filter(|row| !std::mem::replace(&mut seen[*row], true));
            expect("each chunk once, and stored in the image", row.is_some())?;
            let runs = (1..=self.runs).contains(&u32::from(touched.runs));
            expect("a page and a run for each chunk", runs && touched.pages != 0)?;
        }
        Ok(())
    }

    fn file_bytes(&self) -> usize {
        HEADER_BYTES + self.touched.len() * ROW_BYTES + HASH_BYTES
    }

    /// A picture of the memory, a square for each page: what is stored, and what was touched.
    #[must_use]
    pub fn svg(&self, head: &Head) -> String {
        let chunks = head.memory_bytes() as usize / (PAGES_PER_CHUNK * 4096);
        let (columns, side) = (128 / PAGES_PER_CHUNK, 6);
        let height = chunks.div_ceil(columns) * side;
        let width = columns * PAGES_PER_CHUNK * side;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\">\n\
             <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#eee\"/>\n",
            head.id()
        );
        let mut squares = |chunk: u32, pages: u16, colour: &str| {
            let (x, y) = (chunk as usize % columns, chunk as usize / columns * side);
            for page in (0..PAGES_PER_CHUNK).filter(|page| pages >> page & 1 == 1) {
                let x = (x * PAGES_PER_CHUNK + page) * side;
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" \
                     fill=\"{colour}\"/>"
                );
            }
        };
        for row in head.chunks() {
            squares(row.index, row.pages, "#bbb");
        }
        for touched in &self.touched {
            squares(touched.chunk, u16::MAX, "#fc8");
            squares(touched.chunk, touched.pages, "#d40");
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// The fixed part of a file.
fn header(bytes: &[u8]) -> Result<([u8; 8], [u32; 4], [u8; HASH_BYTES]), WorkingSetError> {
    let short = || WorkingSetError {
        expected: "at least a header and a hash",
        found: format!("{} bytes", bytes.len()),
    };
    let (magic, rest) = bytes.split_first_chunk::<8>().ok_or_else(short)?;
    let (numbers, rest) = rest.split_first_chunk::<16>().ok_or_else(short)?;
    let image = rest.first_chunk::<HASH_BYTES>().ok_or_else(short)?;
    let mut four = [0; 4];
    for (number, bytes) in four.iter_mut().zip(numbers.as_chunks::<4>().0) {
        *number = u32::from_le_bytes(*bytes);
    }
    Ok((*magic, four, *image))
}

fn row(bytes: [u8; ROW_BYTES]) -> Touched {
    let whole = u64::from_le_bytes(bytes);
    Touched { chunk: whole as u32, pages: (whole >> 32) as u16, runs: (whole >> 48) as u16 }
}

fn expect(expected: &'static str, holds: bool) -> Result<(), WorkingSetError> {
    if holds {
        return Ok(());
    }
    Err(WorkingSetError { expected, found: "something else".into() })
}
