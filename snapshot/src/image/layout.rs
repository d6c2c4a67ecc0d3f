//! The numbers of the image format, frozen by const asserts.
//!
//! What it is: where each byte of version 1 lies, and how large a thing may be. What it is not:
//! code that reads or writes them (`encode`, `decode`). `snapshot/FORMAT.md` has the picture; a
//! change here needs a new [`FORMAT_VERSION`], a change there and new golden files.
//!
//! ```text
//! 0        256                                head_bytes-32   head_bytes               end of file
//! ├ header ┼ chunks ┼ globals ┼ tables ┼ files ┼ meta ┼ zeros ┼ id ┤ page │ page │ … │ page ┤
//! └──────────────────────── head ──────────────────────────────────┴──────── payload ───────┘
//! ```

/// First bytes of every image; the odd ones show a transfer that changed line ends or the top bit.
pub const MAGIC: [u8; 8] = *b"\x89FSL\r\n\x1a\n";
/// Version of the format that this build reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// Unit of storage: a host page.
pub const PAGE_BYTES: usize = 4096;
/// Unit of checking: one BLAKE3 hash covers its stored pages; also the page of WebAssembly.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// Pages in a chunk, as many as a chunk's bitmap has bits.
pub const PAGES_PER_CHUNK: usize = CHUNK_BYTES / PAGE_BYTES;
/// A BLAKE3 hash.
pub const HASH_BYTES: usize = 32;

/// The fixed part that every head starts with.
pub const HEADER_BYTES: usize = 256;
/// Every section starts at a multiple of this.
pub const SECTION_ALIGN_BYTES: usize = 8;

/// Where the fields of the header lie.
pub(crate) mod at {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 8;
    pub(crate) const HEAD_BYTES: usize = 12;
    pub(crate) const PAYLOAD_BYTES: usize = 16;
    pub(crate) const MEMORY_BYTES: usize = 24;
    pub(crate) const MEMORY_MAX_BYTES: usize = 32;
    pub(crate) const PAGE_BYTES: usize = 40;
    pub(crate) const CHUNK_BYTES: usize = 44;
    pub(crate) const ABI_VERSION: usize = 48;
    pub(crate) const RESERVED_A: usize = 52;
    pub(crate) const RECIPE: usize = 56;
    pub(crate) const MODULE: usize = 88;
    pub(crate) const RESERVED_B: usize = 120;
    pub(crate) const SECTIONS: usize = 128;
    pub(crate) const RESERVED_C: usize = 208;
}

/// `memory_max_bytes` of a memory that declares no maximum.
pub(crate) const NO_MAXIMUM: u64 = u64::MAX;
/// The function index of a null reference.
pub(crate) const NULL_FUNCTION: u32 = u32::MAX;

/// The sections, in the order in which they lie in the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Section {
    /// Which pages are stored, and a hash per chunk.
    Chunks,
    /// Values of mutable globals.
    Globals,
    /// Table elements that differ from the module's own.
    Tables,
    /// Descriptors open at the end of the bake.
    Files,
    /// Named values needed to run.
    Meta,
}

impl Section {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Chunks, Self::Globals, Self::Tables, Self::Files, Self::Meta];

    /// Its name in messages and listings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chunks => "chunks",
            Self::Globals => "globals",
            Self::Tables => "tables",
            Self::Files => "files",
            Self::Meta => "meta",
        }
    }
}

/// One row of the header's section table: offset, bytes, entries, reserved.
pub(crate) const SECTION_ROW_BYTES: usize = 16;
/// Chunk number, page bitmap, reserved, hash.
pub(crate) const CHUNK_ROW_BYTES: usize = 40;
/// Index, type, reserved, value.
pub(crate) const GLOBAL_ROW_BYTES: usize = 24;
/// Index, size, changed elements, reserved.
pub(crate) const TABLE_ROW_BYTES: usize = 16;
/// Element index, function index.
pub(crate) const ELEMENT_ROW_BYTES: usize = 8;
/// Lengths of key and value.
pub(crate) const META_ROW_BYTES: usize = 8;

/// Type tags of globals.
pub(crate) mod tag {
    pub(crate) const I32: u8 = 1;
    pub(crate) const I64: u8 = 2;
    pub(crate) const F32: u8 = 3;
    pub(crate) const F64: u8 = 4;
    pub(crate) const V128: u8 = 5;
    pub(crate) const FUNCREF: u8 = 6;
}

/// Largest memory that an image can hold: a 32-bit address space.
pub const MAX_MEMORY_BYTES: u64 = 1 << 32;
/// Most chunks, so most rows of the chunk section.
pub const MAX_CHUNKS: usize = (MAX_MEMORY_BYTES / CHUNK_BYTES as u64) as usize;
/// Most globals.
pub const MAX_GLOBALS: usize = 65_536;
/// Most tables.
pub const MAX_TABLES: usize = 128;
/// Most changed elements, over all tables.
pub const MAX_ELEMENTS: usize = 1 << 20;
/// Elements of one table.
pub const MAX_TABLE_SIZE: usize = 2_000_000;
/// Most named values.
pub const MAX_META_ENTRIES: usize = 256;
/// Longest name of a value.
pub const MAX_META_KEY_BYTES: usize = 128;
/// Longest value.
pub const MAX_META_VALUE_BYTES: usize = 64 * 1024;
/// Largest section of named values.
pub const MAX_META_BYTES: usize = 1 << 20;
/// Largest list of descriptors.
pub const MAX_FILES_BYTES: usize = 1 << 20;

/// Most entries of a section.
pub(crate) const fn max_entries(section: Section) -> usize {
    match section {
        Section::Chunks => MAX_CHUNKS,
        Section::Globals => MAX_GLOBALS,
        Section::Tables => MAX_TABLES,
        Section::Files => 1,
        Section::Meta => MAX_META_ENTRIES,
    }
}

/// Most bytes of a section.
pub(crate) const fn max_bytes(section: Section) -> usize {
    match section {
        Section::Chunks => MAX_CHUNKS * CHUNK_ROW_BYTES,
        Section::Globals => MAX_GLOBALS * GLOBAL_ROW_BYTES,
        Section::Tables => MAX_TABLES * TABLE_ROW_BYTES + MAX_ELEMENTS * ELEMENT_ROW_BYTES,
        Section::Files => MAX_FILES_BYTES,
        Section::Meta => MAX_META_BYTES,
    }
}

/// Smallest head: a header and an id, filled up to a page.
pub const MIN_HEAD_BYTES: usize = PAGE_BYTES;
/// Largest head, the only allocation that a file's own numbers decide.
pub const MAX_HEAD_BYTES: usize = round_up(
    HEADER_BYTES
        + max_bytes(Section::Chunks)
        + max_bytes(Section::Globals)
        + max_bytes(Section::Tables)
        + max_bytes(Section::Files)
        + max_bytes(Section::Meta)
        + HASH_BYTES,
    PAGE_BYTES,
);

/// The next multiple of `unit`, a power of two.
pub(crate) const fn round_up(bytes: usize, unit: usize) -> usize {
    (bytes + unit - 1) & !(unit - 1)
}

// When one of these fires, the format has changed: read "Changing the format" in FORMAT.md.
const _: () = {
    assert!(PAGE_BYTES == 4096 && CHUNK_BYTES == 65_536 && PAGES_PER_CHUNK == 16);
    assert!(PAGES_PER_CHUNK == u16::BITS as usize);
    assert!(HEADER_BYTES == 256 && HEADER_BYTES.is_multiple_of(SECTION_ALIGN_BYTES));
    assert!(at::VERSION == at::MAGIC + 8 && at::HEAD_BYTES == at::VERSION + 4);
    assert!(at::PAYLOAD_BYTES == at::HEAD_BYTES + 4 && at::MEMORY_BYTES == at::PAYLOAD_BYTES + 8);
    assert!(at::MEMORY_MAX_BYTES == at::MEMORY_BYTES + 8);
    assert!(at::PAGE_BYTES == at::MEMORY_MAX_BYTES + 8 && at::CHUNK_BYTES == at::PAGE_BYTES + 4);
    assert!(at::ABI_VERSION == at::CHUNK_BYTES + 4 && at::RESERVED_A == at::ABI_VERSION + 4);
    assert!(at::RECIPE == at::RESERVED_A + 4 && at::MODULE == at::RECIPE + HASH_BYTES);
    assert!(at::RESERVED_B == at::MODULE + HASH_BYTES && at::SECTIONS == at::RESERVED_B + 8);
    assert!(at::RESERVED_C == at::SECTIONS + Section::ALL.len() * SECTION_ROW_BYTES);
    assert!(at::RESERVED_C == 208 && at::RESERVED_C < HEADER_BYTES);
    assert!(SECTION_ROW_BYTES == 16 && CHUNK_ROW_BYTES == 4 + 2 + 2 + HASH_BYTES);
    assert!(GLOBAL_ROW_BYTES == 4 + 1 + 3 + 16 && TABLE_ROW_BYTES == 16 && ELEMENT_ROW_BYTES == 8);
    assert!(META_ROW_BYTES == 8);
    assert!(Section::Chunks as usize == 0 && Section::Meta as usize == 4);
    assert!(MAX_HEAD_BYTES == 14_684_160);
};
