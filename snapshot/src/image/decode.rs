//! Bytes to contents: the head of an image, taken as hostile.
//!
//! What it is: a parser that accepts exactly what `encode` writes, so that no two heads mean the
//! same. What it is not: the check of the memory (`open`). Every claimed number is compared with
//! its cap and with the bytes that are there before anything is allocated for it, and whatever the
//! format leaves no choice for (padding, offsets, order) must be as the writer makes it.

use std::collections::BTreeMap;

use super::contents::{Global, GlobalValue, Identity, TableElement, TableImage};
use super::cursor::Cursor;
use super::digest::{ChunkHash, ImageId, ModuleHash, RecipeId};
use super::encode::ChunkRow;
use super::error::OpenError;
use super::layout::{
    self, CHUNK_BYTES, CHUNK_ROW_BYTES, ELEMENT_ROW_BYTES, FORMAT_VERSION, GLOBAL_ROW_BYTES,
    HASH_BYTES, HEADER_BYTES, MAGIC, MAX_ELEMENTS, MAX_HEAD_BYTES, MAX_MEMORY_BYTES,
    MAX_META_KEY_BYTES, MAX_META_VALUE_BYTES, MAX_TABLE_SIZE, META_ROW_BYTES, MIN_HEAD_BYTES,
    NO_MAXIMUM, NULL_FUNCTION, PAGE_BYTES, SECTION_ALIGN_BYTES, SECTION_ROW_BYTES, Section,
    TABLE_ROW_BYTES, at, round_up, tag,
};

/// The lengths that a header claims, within their caps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    pub(crate) head: usize,
    pub(crate) payload: u64,
}

/// A head, checked.
#[derive(Clone, Debug)]
pub(crate) struct Decoded {
    pub(crate) id: ImageId,
    pub(crate) identity: Identity,
    pub(crate) memory_bytes: u64,
    pub(crate) memory_max_bytes: Option<u64>,
    pub(crate) chunks: Vec<ChunkRow>,
    pub(crate) globals: Vec<Global>,
    pub(crate) tables: Vec<TableImage>,
    pub(crate) files: Vec<u8>,
    pub(crate) meta: BTreeMap<String, Vec<u8>>,
    pub(crate) sections: [SectionPlace; Section::ALL.len()],
}

/// Where a section lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SectionPlace {
    pub(crate) offset: usize,
    pub(crate) bytes: usize,
    pub(crate) entries: usize,
}

/// Reads magic, version and lengths from the first bytes of a file, before anything else of it.
pub(crate) fn lengths(header: &[u8; HEADER_BYTES]) -> Result<Lengths, OpenError> {
    let mut cursor = Cursor::new(header, at::MAGIC);
    let found = cursor.array::<8>()?;
    if found != MAGIC {
        return Err(OpenError::NotAnImage { expected: MAGIC, found });
    }
    let found = cursor.u32()?;
    if found != FORMAT_VERSION {
        return Err(OpenError::Version { found });
    }
    let head = cursor.u32()? as usize;
    let payload = cursor.u64()?;
    at_most("bytes of head", MAX_HEAD_BYTES, head)?;
    if payload > MAX_MEMORY_BYTES {
        let what = "bytes of stored pages";
        return Err(OpenError::TooLarge { what, limit: MAX_MEMORY_BYTES, found: payload });
    }
    if head < MIN_HEAD_BYTES || !head.is_multiple_of(PAGE_BYTES) {
        return Err(malformed(at::HEAD_BYTES, "a whole number of pages, not 0", head));
    }
    if !payload.is_multiple_of(PAGE_BYTES as u64) {
        return Err(malformed(at::PAYLOAD_BYTES, "a whole number of pages", payload));
    }
    Ok(Lengths { head, payload })
}

/// Checks and reads a whole head.
pub(crate) fn head(bytes: &[u8]) -> Result<Decoded, OpenError> {
    let header = bytes
        .first_chunk()
        .ok_or(OpenError::Length { expected: MIN_HEAD_BYTES as u64, found: bytes.len() as u64 })?;
    let lengths = lengths(header)?;
    if bytes.len() != lengths.head {
        let (expected, found) = (lengths.head as u64, bytes.len() as u64);
        return Err(OpenError::Length { expected, found });
    }
    let id = check_id(bytes)?;
    let (identity, memory_bytes, memory_max_bytes) = fixed_fields(bytes)?;
    let sections = section_places(bytes)?;
    let of = |section: Section| {
        let place = sections[section as usize];
        (Cursor::new(&bytes[..place.offset + place.bytes], place.offset), place.entries)
    };
    let decoded = Decoded {
        id,
        identity,
        memory_bytes,
        memory_max_bytes,
        chunks: chunks(of(Section::Chunks), memory_bytes, lengths.payload)?,
        globals: globals(of(Section::Globals))?,
        tables: tables(of(Section::Tables))?,
        files: files(of(Section::Files))?,
        meta: meta(of(Section::Meta))?,
        sections,
    };
    Ok(decoded)
}

fn check_id(bytes: &[u8]) -> Result<ImageId, OpenError> {
    let (hashed, id) = bytes.split_at(bytes.len() - HASH_BYTES);
    let expected = ImageId::from_bytes(Cursor::new(id, 0).array()?);
    let found = ImageId::from_bytes(*blake3::hash(hashed).as_bytes());
    if expected == found { Ok(found) } else { Err(OpenError::HeadHash { expected, found }) }
}

fn fixed_fields(bytes: &[u8]) -> Result<(Identity, u64, Option<u64>), OpenError> {
    let mut cursor = Cursor::new(&bytes[..HEADER_BYTES], at::MEMORY_BYTES);
    let memory = cursor.u64()?;
    let max = cursor.u64()?;
    let whole = |bytes: u64| bytes.is_multiple_of(CHUNK_BYTES as u64) && bytes <= MAX_MEMORY_BYTES;
    if !whole(memory) {
        return Err(malformed(at::MEMORY_BYTES, "whole chunks, at most 4 GiB", memory));
    }
    if max != NO_MAXIMUM && (!whole(max) || max < memory) {
        let expected = "whole chunks, at most 4 GiB, not below the memory's size, or no maximum";
        return Err(malformed(at::MEMORY_MAX_BYTES, expected, max));
    }
    cursor.exactly("a page size of 4096", PAGE_BYTES as u32)?;
    cursor.exactly("a chunk size of 65536", CHUNK_BYTES as u32)?;
    let abi_version = cursor.u32()?;
    cursor.exactly("0", 0)?;
    let recipe = RecipeId::from_bytes(cursor.array()?);
    let module = ModuleHash::from_bytes(cursor.array()?);
    cursor.zeros(at::SECTIONS)?;
    Cursor::new(&bytes[..HEADER_BYTES], at::RESERVED_C).zeros(HEADER_BYTES)?;
    let identity = Identity { recipe, module, abi_version };
    Ok((identity, memory, (max != NO_MAXIMUM).then_some(max)))
}

/// Reads the section table, whose offsets and the zeros between follow from its lengths.
fn section_places(bytes: &[u8]) -> Result<[SectionPlace; Section::ALL.len()], OpenError> {
    let mut places = [SectionPlace::default(); Section::ALL.len()];
    let mut rows = Cursor::new(&bytes[..HEADER_BYTES], at::SECTIONS);
    let mut end = HEADER_BYTES;
    let limit = bytes.len() - HASH_BYTES;
    for (section, place) in Section::ALL.into_iter().zip(&mut places) {
        let offset = round_up(end, SECTION_ALIGN_BYTES);
        rows.exactly("the section to follow the one before", offset as u32)?;
        let length = rows.u32()? as usize;
        let entries = rows.u32()? as usize;
        rows.exactly("0", 0)?;
        at_most("bytes in a section", layout::max_bytes(section), length)?;
        at_most(section.name(), layout::max_entries(section), entries)?;
        if offset + length > limit {
            return Err(OpenError::SectionLength {
                section,
                expected: limit.saturating_sub(offset),
                bytes: length,
            });
        }
        Cursor::new(&bytes[..limit], end).zeros(offset)?;
        *place = SectionPlace { offset, bytes: length, entries };
        end = offset + length;
    }
    if round_up(end + HASH_BYTES, PAGE_BYTES) != bytes.len() {
        let expected = "the smallest head that holds the sections";
        return Err(malformed(at::HEAD_BYTES, expected, bytes.len()));
    }
    Cursor::new(&bytes[..limit], end).zeros(limit)?;
    Ok(places)
}

/// Where the header counts the entries of the files section.
const FILES_ENTRIES_AT: usize = at::SECTIONS + Section::Files as usize * SECTION_ROW_BYTES + 8;

type Part<'a> = (Cursor<'a>, usize);

fn chunks(part: Part<'_>, memory: u64, payload: u64) -> Result<Vec<ChunkRow>, OpenError> {
    let (mut cursor, entries) = part;
    cursor.holds(Section::Chunks, entries, CHUNK_ROW_BYTES)?;
    let limit = memory / CHUNK_BYTES as u64;
    let mut stored = 0;
    let mut rows = Vec::with_capacity(entries);
    for _ in 0..entries {
        let last = rows.last().map(|row: &ChunkRow| row.index);
        let index = cursor.ascending("a chunk above the one before", last)?;
        if u64::from(index) >= limit {
            return Err(malformed(cursor.offset() - 4, "a chunk within the memory", index));
        }
        let pages = cursor.u16()?;
        if pages == 0 {
            return Err(malformed(cursor.offset() - 2, "a chunk with stored pages", pages));
        }
        cursor.zeros(cursor.offset() + 2)?;
        stored += u64::from(pages.count_ones());
        rows.push(ChunkRow { index, pages, hash: ChunkHash::from_bytes(cursor.array()?) });
    }
    if stored * PAGE_BYTES as u64 != payload {
        return Err(malformed(at::PAYLOAD_BYTES, "the pages that the chunks name", payload));
    }
    cursor.end(Section::Chunks)?;
    Ok(rows)
}

fn globals(part: Part<'_>) -> Result<Vec<Global>, OpenError> {
    let (mut cursor, entries) = part;
    cursor.holds(Section::Globals, entries, GLOBAL_ROW_BYTES)?;
    let mut rows = Vec::with_capacity(entries);
    for _ in 0..entries {
        let last = rows.last().map(|row: &Global| row.index);
        let index = cursor.ascending("a global above the one before", last)?;
        let tag = cursor.array::<1>()?[0];
        cursor.zeros(cursor.offset() + 3)?;
        rows.push(Global { index, value: global_value(&mut cursor, tag)? });
    }
    cursor.end(Section::Globals)?;
    Ok(rows)
}

fn global_value(cursor: &mut Cursor<'_>, tag: u8) -> Result<GlobalValue, OpenError> {
    let start = cursor.offset();
    let value = match tag {
        tag::I32 => GlobalValue::I32(cursor.u32()?),
        tag::I64 => GlobalValue::I64(cursor.u64()?),
        tag::F32 => GlobalValue::F32(cursor.u32()?),
        tag::F64 => GlobalValue::F64(cursor.u64()?),
        tag::V128 => GlobalValue::V128(u128::from_le_bytes(cursor.array()?)),
        tag::FUNCREF => GlobalValue::FuncRef(reference(cursor.u32()?)),
        other => return Err(malformed(start - 4, "a type from 1 to 6", other)),
    };
    cursor.zeros(start + 16)?;
    Ok(value)
}

fn tables(part: Part<'_>) -> Result<Vec<TableImage>, OpenError> {
    let (mut cursor, entries) = part;
    cursor.holds_at_least(Section::Tables, entries, TABLE_ROW_BYTES)?;
    let mut rows = Vec::with_capacity(entries);
    let mut all = 0;
    for _ in 0..entries {
        let last = rows.last().map(|row: &TableImage| row.index);
        let index = cursor.ascending("a table above the one before", last)?;
        let size = cursor.u32()?;
        let changed = cursor.u32()? as usize;
        cursor.exactly("0", 0)?;
        at_most("elements of a table", MAX_TABLE_SIZE, size as usize)?;
        all += changed;
        at_most("changed table elements", MAX_ELEMENTS, all)?;
        rows.push(TableImage { index, size, elements: elements(&mut cursor, size, changed)? });
    }
    cursor.end(Section::Tables)?;
    Ok(rows)
}

fn elements(
    cursor: &mut Cursor<'_>,
    size: u32,
    changed: usize,
) -> Result<Vec<TableElement>, OpenError> {
    cursor.holds_at_least(Section::Tables, changed, ELEMENT_ROW_BYTES)?;
    let mut rows = Vec::with_capacity(changed);
    for _ in 0..changed {
        let last = rows.last().map(|row: &TableElement| row.index);
        let index = cursor.ascending("an element above the one before", last)?;
        if index >= size {
            return Err(malformed(cursor.offset() - 4, "an element within the table", index));
        }
        rows.push(TableElement { index, function: reference(cursor.u32()?) });
    }
    Ok(rows)
}

fn files(part: Part<'_>) -> Result<Vec<u8>, OpenError> {
    let (mut cursor, entries) = part;
    let bytes = cursor.rest();
    if entries != usize::from(!bytes.is_empty()) {
        return Err(malformed(FILES_ENTRIES_AT, "1 list of files, or 0 when it is empty", entries));
    }
    Ok(bytes.to_vec())
}

fn meta(part: Part<'_>) -> Result<BTreeMap<String, Vec<u8>>, OpenError> {
    let (mut cursor, entries) = part;
    cursor.holds_at_least(Section::Meta, entries, META_ROW_BYTES)?;
    let mut values = BTreeMap::new();
    for _ in 0..entries {
        let start = cursor.offset();
        let (key, value) = (cursor.u32()? as usize, cursor.u32()? as usize);
        at_most("bytes of a value's name", MAX_META_KEY_BYTES, key)?;
        at_most("bytes of a named value", MAX_META_VALUE_BYTES, value)?;
        let key = cursor.text(Section::Meta, key)?;
        let value = cursor.bytes(Section::Meta, value)?.to_vec();
        cursor.align()?;
        if values.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(malformed(start, "a name above the one before", key));
        }
        values.insert(key, value);
    }
    cursor.end(Section::Meta)?;
    Ok(values)
}

fn reference(index: u32) -> Option<u32> {
    (index != NULL_FUNCTION).then_some(index)
}

fn at_most(what: &'static str, limit: usize, found: usize) -> Result<(), OpenError> {
    let (limit, found) = (limit as u64, found as u64);
    if found > limit { Err(OpenError::TooLarge { what, limit, found }) } else { Ok(()) }
}

pub(crate) fn malformed(
    offset: usize,
    expected: &'static str,
    found: impl std::fmt::Display,
) -> OpenError {
    OpenError::Malformed { offset, expected, found: format!("{:.64}", found.to_string()) }
}
