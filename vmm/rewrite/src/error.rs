//! Why a module is refused.

/// A module that cannot be a function. Each message says what was expected, what was found and
/// what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// The bytes do not start as WebAssembly does.
    #[error(
        "expected a WebAssembly module, which starts with the bytes 00 61 73 6d, found {found}; \
         deploy the .wasm file that your compiler writes"
    )]
    NotWasm {
        /// The first bytes.
        found: String,
    },
    /// The module ends early.
    #[error(
        "expected at least {missing} more bytes, found the end of the module after {length}; \
         it was cut off, so build or copy it again"
    )]
    Truncated {
        /// How long it is.
        length: usize,
        /// How many bytes the section that was cut off lacks, at least.
        missing: u64,
    },
    /// A component.
    #[error(
        "expected a core WebAssembly module, found a component; build for wasm32-wasip1 \
         (Rust: --target wasm32-wasip1, C: --target=wasm32-wasi) and do not wrap it"
    )]
    Component,
    /// Not valid, or needs a feature that the host does not have.
    #[error(
        "expected a valid WebAssembly module, found at offset {offset:#x}: {message}; build it \
         with features that the host has (SIMD, bulk memory, reference types, tail calls, \
         multi-value, exceptions) and without others"
    )]
    Invalid {
        /// Offset in the module.
        offset: usize,
        /// What is wrong there.
        message: String,
    },
    /// More of something than allowed.
    #[error("expected at most {limit} {what}, found {found}; {advice}")]
    OverLimit {
        /// What is counted, in the plural.
        what: &'static str,
        /// How many there are.
        found: u64,
        /// How many may be.
        limit: u64,
        /// What to do.
        advice: &'static str,
    },
    /// A memory of a kind that the host does not have.
    #[error(
        "expected one 32-bit memory that the module defines and shares with nobody, found \
         {found}; {advice}"
    )]
    Memory {
        /// Its kind.
        found: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// Something other than a function is imported.
    #[error(
        "expected imports of functions only, found the {kind} {module}.{name}; define it in the \
         module (do not link with --import-memory, --import-table or as a shared library)"
    )]
    ImportKind {
        /// memory, table, global or tag.
        kind: &'static str,
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
    },
    /// No such import module.
    #[error(
        "expected imports from {expected}, found {module}.{name}; the nearest that exists is \
         {nearest}. If it is a symbol of a library, link that library"
    )]
    UnknownModule {
        /// The modules that exist.
        expected: &'static str,
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
        /// The nearest import that exists.
        nearest: String,
    },
    /// No such import in a module that exists.
    #[error(
        "expected a host call that exists, found {module}.{name}; the nearest is {nearest}. \
         Correct the name, or update the host if your SDK is newer"
    )]
    UnknownImport {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
        /// The nearest import that exists.
        nearest: String,
    },
    /// Built for another version of the ABI.
    #[error(
        "expected a module built for ABI version {supported}, found {module}, version {found}; \
         {advice}"
    )]
    AbiVersion {
        /// The import module's name.
        module: String,
        /// The module's version, as written.
        found: String,
        /// The host's version.
        supported: u32,
        /// What to do.
        advice: &'static str,
    },
    /// A known import with another type.
    #[error(
        "expected {module}.{name} to be imported as {expected}, found {found}; declare it as the \
         SDK's header or crate does"
    )]
    ImportSignature {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
        /// The type that the host has.
        expected: String,
        /// The type that the module wants.
        found: String,
    },
    /// An export under a reserved name.
    #[error(
        "expected no export whose name starts with \"faaslet:\", found \"{name}\"; rename it \
         (a module that was rewritten already must be deployed in its original form)"
    )]
    ReservedExport {
        /// The export's name.
        name: String,
    },
    /// Nothing to call.
    #[error(
        "expected an exported function \"faaslet_main\" or \"_start\", found {found}; write \
         #[faaslet::main] above a Rust function, FAASLET_MAIN in C, or build a program with a \
         main for wasm32-wasip1"
    )]
    NoEntry {
        /// What is exported instead.
        found: String,
    },
    /// A reserved function with another type.
    #[error("expected the export \"{name}\" to be {expected}, found {found}; change its type")]
    EntrySignature {
        /// The export's name.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
}

impl RewriteError {
    /// The refusal of what the WebAssembly reader or validator found.
    pub(crate) fn invalid(error: &wasmparser::Error) -> Self {
        Self::Invalid { offset: error.offset(), message: error.message().to_owned() }
    }
}

impl From<wasmparser::Error> for RewriteError {
    fn from(error: wasmparser::Error) -> Self {
        Self::invalid(&error)
    }
}
