//! Puts the rewritten module together, section by section.
//!
//! A section that the rewrite only adds to keeps its bytes behind a new count; the code section
//! keeps every body that needs no change, in runs. Of the custom sections only the names stay:
//! nothing else is read after compilation, and DWARF would point at the wrong places (the
//! original has it, and [`OffsetMap`] leads there).

use std::ops::Range;

use wasm_encoder::{
    ConstExpr, Encode, ExportKind, ExportSection, GlobalSection, GlobalType, MemorySection,
    MemoryType, RefType, TableSection, TableType, TypeSection, ValType,
};

use crate::body;
use crate::error::RewriteError;
use crate::names;
use crate::offsets::{Kind, OffsetMap};
use crate::parse::{Module, body_at, id};
use crate::reserved;
use crate::scan::Uses;
use crate::synth::{self, Additions};

/// What is reserved beyond the original's length, to spare a reallocation.
const HEADROOM_BYTES: usize = 64 << 10;

/// The bytes of the rewritten module, and where they come from.
pub(crate) fn emit(
    module: &Module<'_>,
    uses: &Uses,
    additions: &Additions,
) -> Result<(Vec<u8>, OffsetMap), RewriteError> {
    let length = module.bytes.len();
    let mut out = Vec::with_capacity(length + length / 16 + HEADROOM_BYTES);
    out.extend_from_slice(b"\0asm\x01\0\0\0");
    types(&mut out, module);
    raw(&mut out, module, id::IMPORT);
    functions(&mut out, module, additions);
    tables(&mut out, module, uses);
    memory(&mut out, module);
    raw(&mut out, module, id::TAG);
    globals(&mut out, module, additions);
    exports(&mut out, module, uses, additions);
    raw(&mut out, module, id::ELEMENT);
    if !module.segments.is_empty() || module.section(id::DATA_COUNT).is_some() {
        let mut count = Vec::new();
        (module.segments.len() as u32).encode(&mut count);
        section(&mut out, id::DATA_COUNT, &[&count]);
    }
    let offsets = code(&mut out, module, uses, additions)?;
    data(&mut out, module);
    if let Some(contents) = module.names {
        let mut name = Vec::new();
        names::SECTION.encode(&mut name);
        section(&mut out, id::CUSTOM, &[&name, contents]);
    }
    Ok((out, offsets))
}

fn section(out: &mut Vec<u8>, id: u8, parts: &[&[u8]]) {
    out.push(id);
    parts.iter().map(|part| part.len()).sum::<usize>().encode(out);
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// A section as it is.
fn raw(out: &mut Vec<u8>, module: &Module<'_>, id: u8) {
    if let Some(contents) = module.section(id) {
        section(out, id, &[contents]);
    }
}

/// A section with `added` entries, encoded in `entries`, behind its own `count`.
fn extended(out: &mut Vec<u8>, module: &Module<'_>, id: u8, added: u32, entries: &[u8]) {
    let contents = module.section(id).unwrap_or(&[0]);
    let mut reader = wasmparser::BinaryReader::new(contents, 0);
    // Invariant: the section was read before, so its count is there.
    let own = reader.read_var_u32().unwrap_or(0);
    let mut count = Vec::new();
    (own + added).encode(&mut count);
    section(out, id, &[&count, &contents[reader.current_position()..], entries]);
}

/// The entries of an encoded section, without the count.
fn entries(section: &impl Encode) -> Vec<u8> {
    let mut bytes = Vec::new();
    section.encode(&mut bytes);
    let mut reader = wasmparser::BinaryReader::new(&bytes, 0);
    let skipped = reader.read_var_u32().and_then(|_| reader.read_var_u32());
    debug_assert!(skipped.is_ok(), "an encoded section starts with length and count");
    bytes.split_off(reader.current_position())
}

/// Adds the three types in the order of [`Additions`].
fn types(out: &mut Vec<u8>, module: &Module<'_>) {
    let mut section = TypeSection::new();
    section.ty().function([ValType::I32, ValType::I32], []);
    section.ty().function([], []);
    section.ty().function([ValType::I32], [ValType::I32]);
    extended(out, module, id::TYPE, section.len(), &entries(&section));
}

/// Adds the check and the boot function.
fn functions(out: &mut Vec<u8>, module: &Module<'_>, additions: &Additions) {
    let mut types = Vec::new();
    additions.check_type.encode(&mut types);
    additions.boot_type.encode(&mut types);
    extended(out, module, id::FUNCTION, 2, &types);
}

fn tables(out: &mut Vec<u8>, module: &Module<'_>, uses: &Uses) {
    if !uses.grows {
        return raw(out, module, id::TABLE);
    }
    let mut section = TableSection::new();
    section.table(TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: 1,
        maximum: Some(1),
        shared: false,
    });
    extended(out, module, id::TABLE, 1, &entries(&section));
}

/// Declares no maximum: a compiler may take an access beyond one for a sure trap, but the state
/// window lies beyond most.
fn memory(out: &mut Vec<u8>, module: &Module<'_>) {
    let mut section = MemorySection::new();
    section.memory(MemoryType {
        minimum: u64::from(module.min_pages()),
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    out.push(id::MEMORY);
    section.encode(out);
}

/// Adds the size, the window and the flags.
fn globals(out: &mut Vec<u8>, module: &Module<'_>, additions: &Additions) {
    let mut section = GlobalSection::new();
    let mutable = |val_type| GlobalType { val_type, mutable: true, shared: false };
    let size = u64::from(module.min_pages()) * reserved::PAGE_BYTES;
    section.global(mutable(ValType::I64), &ConstExpr::i64_const(size as i64));
    section.global(mutable(ValType::I64), &ConstExpr::i64_const(0));
    for _ in 0..additions.flags {
        section.global(mutable(ValType::I32), &ConstExpr::i32_const(0));
    }
    extended(out, module, id::GLOBAL, section.len(), &entries(&section));
}

fn exports(out: &mut Vec<u8>, module: &Module<'_>, uses: &Uses, additions: &Additions) {
    let mut section = ExportSection::new();
    section.export(reserved::MEMORY, ExportKind::Memory, 0);
    section.export(reserved::SIZE, ExportKind::Global, additions.size);
    section.export(reserved::WINDOW, ExportKind::Global, additions.window);
    section.export(reserved::BOOT, ExportKind::Func, additions.boot);
    if uses.grows {
        section.export(reserved::CALLS, ExportKind::Table, additions.calls);
    }
    for global in &additions.exported_globals {
        section.export(&global.export_name(), ExportKind::Global, global.index);
    }
    for &table in &additions.exported_tables {
        section.export(&reserved::table(table), ExportKind::Table, table);
    }
    for &function in &additions.exported_functions {
        section.export(&reserved::function(function), ExportKind::Func, function);
    }
    extended(out, module, id::EXPORT, section.len(), &entries(&section));
}

/// All data segments, as passive ones.
fn data(out: &mut Vec<u8>, module: &Module<'_>) {
    const PASSIVE: u8 = 1;
    if module.segments.iter().all(|segment| segment.active.is_none()) {
        return raw(out, module, id::DATA);
    }
    let length: usize = module.segments.iter().map(|segment| segment.data.len()).sum();
    let mut contents = Vec::with_capacity(length + module.segments.len() * 8);
    (module.segments.len() as u32).encode(&mut contents);
    for segment in &module.segments {
        contents.push(PASSIVE);
        segment.data.encode(&mut contents);
    }
    section(out, id::DATA, &[&contents]);
}

/// A body that changed.
struct Changed {
    /// Where it was in the original, with its length prefix.
    original: Range<usize>,
    prefix: Vec<u8>,
    rewrite: body::Rewrite,
}

fn code(
    out: &mut Vec<u8>,
    module: &Module<'_>,
    uses: &Uses,
    additions: &Additions,
) -> Result<OffsetMap, RewriteError> {
    let changed = changed_bodies(module, uses, additions)?;
    let mut added = Vec::new();
    synth::check_body(additions).as_slice().encode(&mut added);
    synth::boot_body(module, additions).as_slice().encode(&mut added);
    let mut count = Vec::new();
    (module.body_ranges.len() as u32 + 2).encode(&mut count);
    let all = first_body(module)..module.body_ranges.last().map_or(0, |range| range.end);
    let grown: usize = changed.iter().map(|c| c.prefix.len() + c.rewrite.bytes.len()).sum();
    let shrunk: usize = changed.iter().map(|c| c.original.len()).sum();
    out.push(id::CODE);
    (count.len() + all.len() - shrunk + grown + added.len()).encode(out);
    out.extend_from_slice(&count);

    let mut offsets = OffsetMap::default();
    let mut copied_to = all.start;
    for body in &changed {
        copy(out, module, &mut offsets, copied_to..body.original.start);
        offsets.push(out.len() as u32, body.original.start as u32, Kind::StandsFor);
        out.extend_from_slice(&body.prefix);
        for &(at, original, kind) in &body.rewrite.runs {
            offsets.push(out.len() as u32 + at, original, kind);
        }
        out.extend_from_slice(&body.rewrite.bytes);
        copied_to = body.original.end;
    }
    copy(out, module, &mut offsets, copied_to..all.end);
    offsets.push(out.len() as u32, 0, Kind::Added);
    out.extend_from_slice(&added);
    Ok(offsets)
}

/// Copies bodies that stay as they are.
fn copy(out: &mut Vec<u8>, module: &Module<'_>, offsets: &mut OffsetMap, range: Range<usize>) {
    if !range.is_empty() {
        offsets.push(out.len() as u32, range.start as u32, Kind::Copied);
        out.extend_from_slice(&module.bytes[range]);
    }
}

/// Where the first body's length prefix lies; 0 when there is no body.
fn first_body(module: &Module<'_>) -> usize {
    let Some(range) = module.sections[id::CODE as usize].clone() else { return 0 };
    if module.body_ranges.is_empty() {
        return 0;
    }
    let mut reader = wasmparser::BinaryReader::new(&module.bytes[range.clone()], range.start);
    // Invariant: the section was read before, so its count is there.
    let _ = reader.read_var_u32();
    reader.original_position()
}

fn changed_bodies(
    module: &Module<'_>,
    uses: &Uses,
    additions: &Additions,
) -> Result<Vec<Changed>, RewriteError> {
    let mut changed = Vec::with_capacity(uses.touched.len());
    for &function in &uses.touched {
        let defined = (function - module.imported_functions) as usize;
        let range = module.body_ranges[defined].clone();
        let start = match defined.checked_sub(1) {
            Some(previous) => module.body_ranges[previous].end,
            None => first_body(module),
        };
        let params = module.function_type(function).map_or(0, |ty| ty.params().len());
        let body = body_at(module, range.clone());
        let rewrite = body::rewrite(&body, params as u32, additions)?;
        let mut prefix = Vec::new();
        rewrite.bytes.len().encode(&mut prefix);
        changed.push(Changed { original: start..range.end, prefix, rewrite });
    }
    Ok(changed)
}
