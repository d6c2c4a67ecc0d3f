//! What a module may count. Beside these, the WebAssembly implementation limits hold (a
//! function body of 7.6 MB, 50,000 locals, 1,000 parameters and the like).

use crate::reserved::HEAP_MAX_PAGES;

/// Upper bounds for a module. A module over one is refused with the limit's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Size of the module itself.
    pub module_bytes: usize,
    /// Declared minimum of its memory; never more than [`HEAP_MAX_PAGES`] whatever is set.
    pub memory_pages: u32,
    /// Types.
    pub types: u32,
    /// Imports.
    pub imports: u32,
    /// Functions, with the imported ones.
    pub functions: u32,
    /// Tables.
    pub tables: u32,
    /// Declared minimums of all tables together.
    pub table_elements: u32,
    /// Globals.
    pub globals: u32,
    /// Exports.
    pub exports: u32,
    /// Element segments.
    pub element_segments: u32,
    /// Data segments.
    pub data_segments: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            module_bytes: 256 << 20,
            memory_pages: HEAP_MAX_PAGES,
            types: 100_000,
            imports: 10_000,
            functions: 500_000,
            tables: 64,
            table_elements: 1_000_000,
            globals: 100_000,
            exports: 100_000,
            element_segments: 50_000,
            data_segments: 50_000,
        }
    }
}
