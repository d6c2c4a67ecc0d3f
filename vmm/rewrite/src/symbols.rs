//! Functions, files and lines behind the offsets of a backtrace.
//!
//! What it is: a reader of the *original* module's name section and DWARF (the rewritten module
//! has no DWARF; [`crate::OffsetMap`] leads from one to the other). What it is not: fast to
//! load; load it when there is a backtrace to show, and keep it, which costs no more than
//! [`DWARF_MAX_BYTES`] and [`NAMES_MAX_BYTES`] whatever the module is.

use std::ops::Range;

use gimli::{EndianSlice, LittleEndian, SectionId};
use wasmparser::{Parser, Payload};

use crate::names;

/// The most frames shown for one offset: a function and what was inlined into it.
const FRAMES_MAX: usize = 32;
/// Longer names are cut.
const NAME_MAX_BYTES: usize = 1024;
/// Names of functions beyond so many bytes are left out.
pub const NAMES_MAX_BYTES: usize = 16 << 20;
/// What a name counts at least, for its place in the list.
const NAME_LEAST_BYTES: usize = 32;
/// DWARF of more bytes is left out.
pub const DWARF_MAX_BYTES: usize = 32 << 20;

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Lines<'a> = addr2line::Context<Slice<'a>>;

self_cell::self_cell!(
    /// The sections of DWARF, and what was read from them.
    struct Dwarf {
        owner: Vec<(String, Vec<u8>)>,
        #[not_covariant]
        dependent: Lines,
    }
);

/// One function at an offset; the first of several is the innermost, inlined into the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The function's name, demangled, or `function 7` when it has none.
    pub function: String,
    /// The source file, when the module has DWARF for it.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
}

/// Why a module's symbols could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SymbolsError {
    /// Not the module that was deployed.
    #[error(
        "expected the WebAssembly module that the rewrite accepted, found at offset {offset:#x}: \
         {message}; pass the original bytes"
    )]
    Invalid {
        /// Offset in the module.
        offset: usize,
        /// What is wrong there.
        message: String,
    },
}

impl From<wasmparser::Error> for SymbolsError {
    fn from(error: wasmparser::Error) -> Self {
        Self::Invalid { offset: error.offset(), message: error.message().to_owned() }
    }
}

/// The symbols of one original module.
pub struct Symbols {
    /// Bodies in order of offset; the function at position `i` has index `imported + i`.
    bodies: Vec<Range<usize>>,
    imported: u32,
    /// Names in order of function index, as they stand in the module.
    names: Vec<(u32, Box<str>)>,
    /// Where the code section's contents start: DWARF counts from here.
    code_start: usize,
    dwarf: Option<Dwarf>,
}

impl std::fmt::Debug for Symbols {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Symbols")
            .field("functions", &self.bodies.len())
            .field("names", &self.names.len())
            .field("dwarf", &self.dwarf.is_some())
            .finish_non_exhaustive()
    }
}

impl Symbols {
    /// Reads the symbols of a module. Names and DWARF are advice: what is malformed in them is
    /// left out.
    ///
    /// # Errors
    /// [`SymbolsError::Invalid`] if the module itself cannot be read.
    pub fn load(original: &[u8]) -> Result<Self, SymbolsError> {
        let mut symbols =
            Self { bodies: Vec::new(), imported: 0, names: Vec::new(), code_start: 0, dwarf: None };
        let mut debug: Vec<(&str, &[u8])> = Vec::new();
        for payload in Parser::new(0).parse_all(original) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let function = matches!(import?.ty, wasmparser::TypeRef::Func(_));
                        symbols.imported += u32::from(function);
                    }
                }
                Payload::CodeSectionStart { range, .. } => symbols.code_start = range.start,
                Payload::CodeSectionEntry(body) => symbols.bodies.push(body.range()),
                Payload::CustomSection(s) if s.name() == names::SECTION => {
                    symbols.read_names(s.data());
                }
                Payload::CustomSection(s) if s.name().starts_with(".debug_") => {
                    debug.push((s.name(), s.data()));
                }
                _ => {}
            }
        }
        symbols.dwarf = dwarf(&debug);
        Ok(symbols)
    }

    /// The functions at an offset of the original module, innermost first; empty when the
    /// offset is not in code.
    pub fn frames(&self, offset: u32) -> Vec<Frame> {
        let Some(function) = self.function_at(offset as usize) else { return Vec::new() };
        let mut frames = self.dwarf_frames(offset).unwrap_or_default();
        let named = self.mangled(function).is_some();
        match frames.last_mut() {
            None => frames.push(Frame { function: self.name(function), file: None, line: None }),
            // The name section has the whole name; DWARF often only its last part.
            Some(outer) if named || outer.function.is_empty() => {
                outer.function = self.name(function);
            }
            Some(_) => {}
        }
        for frame in &mut frames {
            if frame.function.is_empty() {
                frame.function.push_str("inlined");
            }
        }
        frames
    }

    /// The demangled name of a function, or `function 7`.
    pub fn name(&self, function: u32) -> String {
        self.mangled(function).map_or_else(|| format!("function {function}"), demangled)
    }

    fn mangled(&self, function: u32) -> Option<&str> {
        let at = self.names.binary_search_by_key(&function, |(index, _)| *index).ok()?;
        Some(&self.names[at].1)
    }

    fn function_at(&self, offset: usize) -> Option<u32> {
        let at = self.bodies.partition_point(|body| body.end <= offset);
        let body = self.bodies.get(at)?;
        body.contains(&offset).then_some(self.imported + at as u32)
    }

    fn read_names(&mut self, section: &[u8]) {
        let mut left = NAMES_MAX_BYTES;
        names::each(section, |index, name| {
            let name = cut(name);
            let room = left.checked_sub(name.len().max(NAME_LEAST_BYTES));
            left = room.unwrap_or_default();
            if room.is_some() {
                self.names.push((index, name.into()));
            }
            room.is_some()
        });
        self.names.sort_by_key(|(index, _)| *index);
        self.names.dedup_by_key(|(index, _)| *index);
    }

    fn dwarf_frames(&self, offset: u32) -> Option<Vec<Frame>> {
        let address = (offset as usize).checked_sub(self.code_start)? as u64;
        self.dwarf.as_ref()?.with_dependent(|_, lines| frames_at(lines, address))
    }
}

fn frames_at(lines: &Lines<'_>, address: u64) -> Option<Vec<Frame>> {
    let mut found = lines.find_frames(address).skip_all_loads().ok()?;
    let mut frames = Vec::new();
    while let Ok(Some(frame)) = found.next() {
        let name = frame.function.and_then(|f| Some(f.raw_name().ok()?.into_owned()));
        let location = frame.location;
        frames.push(Frame {
            function: name.as_deref().map(demangled).unwrap_or_default(),
            file: location.as_ref().and_then(|at| at.file).map(|file| cut(file).to_owned()),
            line: location.as_ref().and_then(|at| at.line),
        });
        if frames.len() == FRAMES_MAX {
            break;
        }
    }
    Some(frames)
}

fn dwarf(sections: &[(&str, &[u8])]) -> Option<Dwarf> {
    let bytes: usize = sections.iter().map(|(_, data)| data.len()).sum();
    if bytes == 0 || bytes > DWARF_MAX_BYTES {
        return None;
    }
    let owned = sections.iter().map(|(name, data)| ((*name).to_owned(), data.to_vec())).collect();
    Dwarf::try_new(owned, |sections| lines(sections)).ok()
}

fn lines(sections: &[(String, Vec<u8>)]) -> Result<Lines<'_>, gimli::Error> {
    let load = |id: SectionId| -> Result<Slice<'_>, gimli::Error> {
        let section = sections.iter().find(|(name, _)| *name == id.name());
        Ok(EndianSlice::new(section.map_or(&[], |(_, data)| data), LittleEndian))
    };
    addr2line::Context::from_dwarf(gimli::Dwarf::load(load)?)
}

/// The name as its author wrote it: Rust's and C++'s mangling undone, hashes left out.
fn demangled(name: &str) -> String {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return cut(&format!("{rust:#}")).to_owned();
    }
    if name.starts_with("_Z")
        && let Ok(symbol) = cpp_demangle::Symbol::new(name)
        && let Ok(cpp) = symbol.demangle()
    {
        return cut(&cpp).to_owned();
    }
    cut(name).to_owned()
}

fn cut(name: &str) -> &str {
    let mut end = name.len().min(NAME_MAX_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}
