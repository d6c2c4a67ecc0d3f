//! What an image holds, as plain values.
//!
//! What it is: the types that a bake fills in and a fork reads. What it is not: their bytes
//! (`encode`, `decode`), or the memory itself, which a bake hands over chunk by chunk
//! ([`MemorySource`]) and a fork maps ([`crate::image::Image::memory`]).

use std::collections::BTreeMap;

use super::digest::{ModuleHash, RecipeId};
use super::source::MemorySource;

/// What an image was made from; none of it depends on an engine or a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Module, initialisation, configuration and engine, hashed by the bake.
    pub recipe: RecipeId,
    /// The module as it was uploaded.
    pub module: ModuleHash,
    /// Version of the host interface that the module was built for.
    pub abi_version: u32,
}

/// Everything that a bake puts into an image.
///
/// The lists may come in any order: the writer sorts them, and refuses one that names a thing
/// twice, so that equal contents are equal bytes.
#[derive(Clone)]
pub struct ImageContents<'a> {
    /// What the image was made from.
    pub identity: Identity,
    /// Guest memory from address 0 up to the virtual size.
    pub memory: &'a dyn MemorySource,
    /// The maximum that the module declares, if it does.
    pub memory_max_bytes: Option<u64>,
    /// Mutable globals.
    pub globals: Vec<Global>,
    /// Tables that differ from what instantiation makes them.
    pub tables: Vec<TableImage>,
    /// Descriptors open at the end of the bake, in the guest's system interface's own bytes; empty
    /// when there is nothing to reopen.
    pub files: Vec<u8>,
    /// Named values needed to run, such as the kind of entry.
    pub meta: BTreeMap<String, Vec<u8>>,
}

/// A mutable global and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Global {
    /// Its index in the module.
    pub index: u32,
    /// Its value.
    pub value: GlobalValue,
}

/// The value of a global. Floats are bit patterns, so that every NaN survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalValue {
    /// A 32-bit integer.
    I32(u32),
    /// A 64-bit integer.
    I64(u64),
    /// The bits of a 32-bit float.
    F32(u32),
    /// The bits of a 64-bit float.
    F64(u64),
    /// A vector.
    V128(u128),
    /// A function of the module by its index, or null.
    FuncRef(Option<u32>),
}

/// A table of function references: its size, and the elements that differ from the module's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableImage {
    /// Its index in the module.
    pub index: u32,
    /// Its size, in elements.
    pub size: u32,
    /// What lies where.
    pub elements: Vec<TableElement>,
}

/// An element of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableElement {
    /// Its place in the table, below the table's size.
    pub index: u32,
    /// A function of the module by its index, or null.
    pub function: Option<u32>,
}
