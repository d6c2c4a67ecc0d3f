//! What an image is made of, for people and for `--json`.

use std::collections::HashSet;

use super::digest::{ChunkHash, ImageId};
use super::head::Head;
use super::layout::{FORMAT_VERSION, HASH_BYTES, PAGE_BYTES, Section};

/// Sizes and counts of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Name of the image.
    pub id: ImageId,
    /// Version of the format.
    pub format_version: u32,
    /// Length of the whole at rest.
    pub file_bytes: u64,
    /// Length of all but the stored pages.
    pub head_bytes: usize,
    /// The sections of the head, in order.
    pub sections: Vec<SectionSummary>,
    /// Virtual size of the memory.
    pub memory_bytes: u64,
    /// Declared maximum of the memory, if there is one.
    pub memory_max_bytes: Option<u64>,
    /// Pages that are all zeros and take no room.
    pub zero_pages: u64,
    /// Pages that are stored, and that all forks on a host share until they write to them.
    pub stored_pages: u64,
    /// Stored pages in chunks that one of the other images has too.
    pub shared_pages: u64,
}

/// A section of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionSummary {
    /// Which.
    pub section: Section,
    /// Where it begins in the file.
    pub offset: usize,
    /// Its length.
    pub bytes: usize,
    /// How many chunks, globals, tables, lists of descriptors or values it holds.
    pub entries: usize,
}

impl Head {
    /// Sizes and counts; `others` are the images that pages may be shared with, and may include
    /// this one, which is not counted.
    #[must_use]
    pub fn inspect(&self, others: &[&Self]) -> Summary {
        let others = others.iter().filter(|other| other.id() != self.id());
        let elsewhere: HashSet<ChunkHash> =
            others.flat_map(|other| other.chunks()).map(|row| row.hash).collect();
        let pages = |shared: &dyn Fn(&ChunkHash) -> bool| -> u64 {
            let rows = self.chunks().iter().filter(|row| shared(&row.hash));
            rows.map(|row| u64::from(row.pages.count_ones())).sum()
        };
        let stored_pages = pages(&|_| true);
        let head_bytes = self.as_bytes().len();
        debug_assert!(head_bytes > HASH_BYTES);
        Summary {
            id: self.id(),
            format_version: FORMAT_VERSION,
            file_bytes: head_bytes as u64 + stored_pages * PAGE_BYTES as u64,
            head_bytes,
            sections: self.section_summaries(),
            memory_bytes: self.memory_bytes(),
            memory_max_bytes: self.memory_max_bytes(),
            zero_pages: self.memory_bytes() / PAGE_BYTES as u64 - stored_pages,
            stored_pages,
            shared_pages: pages(&|hash| elsewhere.contains(hash)),
        }
    }

    fn section_summaries(&self) -> Vec<SectionSummary> {
        let places = Section::ALL.into_iter().zip(self.decoded().sections);
        places
            .map(|(section, place)| SectionSummary {
                section,
                offset: place.offset,
                bytes: place.bytes,
                entries: place.entries,
            })
            .collect()
    }
}
