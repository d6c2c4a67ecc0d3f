//! Contents to bytes: the head of an image.
//!
//! What it is: the one place that lays sections out. What it is not: the scan of the memory
//! (`write`), which gives the chunk rows to put first.

use super::contents::{Global, GlobalValue, ImageContents, TableElement, TableImage};
use super::digest::{ChunkHash, ImageId};
use super::error::WriteError;
use super::layout::{
    self, CHUNK_BYTES, FORMAT_VERSION, HASH_BYTES, HEADER_BYTES, MAGIC, MAX_ELEMENTS,
    MAX_META_KEY_BYTES, MAX_META_VALUE_BYTES, NO_MAXIMUM, NULL_FUNCTION, PAGE_BYTES,
    SECTION_ALIGN_BYTES, SECTION_ROW_BYTES, Section, at, round_up, tag,
};

/// One row of the chunk section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkRow {
    /// Number of the chunk: its address divided by 64 KiB.
    pub(crate) index: u32,
    /// Bit n is set when page n of the chunk is stored. Invariant: never 0.
    pub(crate) pages: u16,
    /// Hash of its stored pages.
    pub(crate) hash: ChunkHash,
}

/// Lays out the head of an image, id and all.
pub(crate) fn head(
    contents: &ImageContents<'_>,
    chunks: &[ChunkRow],
) -> Result<(Vec<u8>, ImageId), WriteError> {
    let mut bytes = header(contents, chunks);
    for section in Section::ALL {
        bytes.resize(round_up(bytes.len(), SECTION_ALIGN_BYTES), 0);
        let start = bytes.len();
        let entries = match section {
            Section::Chunks => put_chunks(&mut bytes, chunks),
            Section::Globals => put_globals(&mut bytes, &contents.globals)?,
            Section::Tables => put_tables(&mut bytes, &contents.tables)?,
            Section::Files => put_files(&mut bytes, &contents.files),
            Section::Meta => put_meta(&mut bytes, contents)?,
        };
        at_most(section.name(), layout::max_entries(section), entries)?;
        at_most("bytes of a section", layout::max_bytes(section), bytes.len() - start)?;
        let row = [start, bytes.len() - start, entries, 0];
        let place = at::SECTIONS + section as usize * SECTION_ROW_BYTES;
        for (slot, value) in bytes[place..].chunks_exact_mut(4).zip(row) {
            slot.copy_from_slice(&(value as u32).to_le_bytes());
        }
    }
    Ok(seal(bytes))
}

/// Fills the head up to its length and puts the hash of all that at its end.
fn seal(mut bytes: Vec<u8>) -> (Vec<u8>, ImageId) {
    let head_bytes = round_up(bytes.len() + HASH_BYTES, PAGE_BYTES);
    put_u32_at(&mut bytes, at::HEAD_BYTES, head_bytes as u32);
    bytes.resize(head_bytes - HASH_BYTES, 0);
    let id = blake3::hash(&bytes);
    bytes.extend_from_slice(id.as_bytes());
    (bytes, ImageId::from_bytes(*id.as_bytes()))
}

fn header(contents: &ImageContents<'_>, chunks: &[ChunkRow]) -> Vec<u8> {
    let stored: u64 = chunks.iter().map(|row| u64::from(row.pages.count_ones())).sum();
    let identity = &contents.identity;
    let mut header = vec![0; HEADER_BYTES];
    header[at::MAGIC..at::VERSION].copy_from_slice(&MAGIC);
    put_u32_at(&mut header, at::VERSION, FORMAT_VERSION);
    put_u64_at(&mut header, at::PAYLOAD_BYTES, stored * PAGE_BYTES as u64);
    put_u64_at(&mut header, at::MEMORY_BYTES, contents.memory.len_bytes());
    let max = contents.memory_max_bytes.unwrap_or(NO_MAXIMUM);
    put_u64_at(&mut header, at::MEMORY_MAX_BYTES, max);
    put_u32_at(&mut header, at::PAGE_BYTES, PAGE_BYTES as u32);
    put_u32_at(&mut header, at::CHUNK_BYTES, CHUNK_BYTES as u32);
    put_u32_at(&mut header, at::ABI_VERSION, identity.abi_version);
    header[at::RECIPE..at::MODULE].copy_from_slice(identity.recipe.as_bytes());
    header[at::MODULE..at::RESERVED_B].copy_from_slice(identity.module.as_bytes());
    header
}

fn put_chunks(bytes: &mut Vec<u8>, chunks: &[ChunkRow]) -> usize {
    for row in chunks {
        put_u32(bytes, row.index);
        put_u16(bytes, row.pages);
        put_u16(bytes, 0);
        bytes.extend_from_slice(row.hash.as_bytes());
    }
    chunks.len()
}

fn put_globals(bytes: &mut Vec<u8>, globals: &[Global]) -> Result<usize, WriteError> {
    let globals = sorted("global", globals, |global| global.index)?;
    for global in &globals {
        let (tag, value) = match global.value {
            GlobalValue::I32(value) => (tag::I32, u128::from(value)),
            GlobalValue::I64(value) => (tag::I64, u128::from(value)),
            GlobalValue::F32(bits) => (tag::F32, u128::from(bits)),
            GlobalValue::F64(bits) => (tag::F64, u128::from(bits)),
            GlobalValue::V128(value) => (tag::V128, value),
            GlobalValue::FuncRef(function) => (tag::FUNCREF, u128::from(reference(function)?)),
        };
        put_u32(bytes, global.index);
        bytes.extend_from_slice(&[tag, 0, 0, 0]);
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    Ok(globals.len())
}

fn put_tables(bytes: &mut Vec<u8>, tables: &[TableImage]) -> Result<usize, WriteError> {
    let all = tables.iter().map(|table| table.elements.len()).sum();
    at_most("changed table elements", MAX_ELEMENTS, all)?;
    let tables = sorted("table", tables, |table| table.index)?;
    for table in &tables {
        put_u32(bytes, table.index);
        put_u32(bytes, table.size);
        put_u32(bytes, table.elements.len() as u32);
        put_u32(bytes, 0);
        put_elements(bytes, table)?;
    }
    Ok(tables.len())
}

fn put_elements(bytes: &mut Vec<u8>, table: &TableImage) -> Result<(), WriteError> {
    for TableElement { index, function } in sorted("table element", &table.elements, |e| e.index)? {
        if index >= table.size {
            return Err(WriteError::Invalid {
                what: format!("an element of table {}", table.index),
                expected: "an index below the table's size",
                found: format!("{index} of {}", table.size),
            });
        }
        put_u32(bytes, index);
        put_u32(bytes, reference(function)?);
    }
    Ok(())
}

fn put_files(bytes: &mut Vec<u8>, files: &[u8]) -> usize {
    bytes.extend_from_slice(files);
    usize::from(!files.is_empty())
}

fn put_meta(bytes: &mut Vec<u8>, contents: &ImageContents<'_>) -> Result<usize, WriteError> {
    for (key, value) in &contents.meta {
        at_most("bytes of a value's name", MAX_META_KEY_BYTES, key.len())?;
        at_most("bytes of a named value", MAX_META_VALUE_BYTES, value.len())?;
        put_u32(bytes, key.len() as u32);
        put_u32(bytes, value.len() as u32);
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(round_up(bytes.len(), SECTION_ALIGN_BYTES), 0);
    }
    Ok(contents.meta.len())
}

/// The list in order of its keys; the same key twice is an error.
fn sorted<T: Clone>(
    what: &'static str,
    list: &[T],
    key: impl Fn(&T) -> u32,
) -> Result<Vec<T>, WriteError> {
    let mut list = list.to_vec();
    list.sort_by_key(&key);
    match list.windows(2).find(|pair| key(&pair[0]) == key(&pair[1])) {
        Some(pair) => Err(WriteError::Twice { what, which: key(&pair[0]).to_string() }),
        None => Ok(list),
    }
}

fn reference(function: Option<u32>) -> Result<u32, WriteError> {
    match function {
        Some(NULL_FUNCTION) => Err(WriteError::Invalid {
            what: "the index of a function".into(),
            expected: "less than 4294967295, which stands for null",
            found: NULL_FUNCTION.to_string(),
        }),
        Some(index) => Ok(index),
        None => Ok(NULL_FUNCTION),
    }
}

pub(crate) fn at_most(what: &'static str, limit: usize, found: usize) -> Result<(), WriteError> {
    if found > limit { Err(WriteError::TooMany { what, limit, found }) } else { Ok(()) }
}

fn put_u16(bytes: &mut Vec<u8>, value: u16) {
    bytes.extend_from_slice(&value.to_le_bytes());
}

fn put_u32(bytes: &mut Vec<u8>, value: u32) {
    bytes.extend_from_slice(&value.to_le_bytes());
}

fn put_u32_at(bytes: &mut [u8], offset: usize, value: u32) {
    bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
}

fn put_u64_at(bytes: &mut [u8], offset: usize, value: u64) {
    bytes[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
}
