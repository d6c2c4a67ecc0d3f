//! What the host must know of a rewritten module.

use serde::{Deserialize, Serialize};
use wasmparser::{RefType, ValType};

use crate::keep::{self, Why};
use crate::offsets::OffsetMap;
use crate::parse::Module;
use crate::reserved;
use crate::scan::Uses;
use crate::synth::Additions;

/// How a rewritten module is driven, restored and symbolised. Serialisable, so that it can be
/// kept beside the compiled artefact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of the ABI that it imports host calls of; `None` when it imports none.
    pub abi: Option<u32>,
    /// What a call runs.
    pub entry: Entry,
    /// The optional functions that it exports, each `() -> ()`.
    pub hooks: Vec<Hook>,
    /// Its memory.
    pub memory: MemoryPlan,
    /// Its mutable globals, and those that the rewrite added for dropped segments: all are part
    /// of an image. [`reserved::SIZE`] and [`reserved::WINDOW`] are not listed.
    pub globals: Vec<GlobalPlan>,
    /// Its tables, without [`reserved::CALLS`].
    pub tables: Vec<TablePlan>,
    /// The functions that a changed table or a mutable global can refer to, by index; empty
    /// when there is no such table or global. Each is exported as [`reserved::function`].
    pub functions: Vec<u32>,
    /// The functions that it imports, in order.
    pub imports: Vec<ImportPlan>,
    /// Whether an instance can provably be put back to its image, and if not, why.
    pub keep: Result<(), Why>,
    /// How many functions the original has, with the imported ones; what a backtrace shows
    /// from this index on was added by the rewrite.
    pub original_functions: u32,
    /// Where in the original module an instruction was.
    pub offsets: OffsetMap,
}

/// What a call runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// The export `faaslet_main`.
    Main {
        /// It returns an `i32` (0 is success), else nothing.
        status: bool,
    },
    /// The export `_start` of a WASI command: standard input to standard output.
    Command,
    /// Nothing; only under [`crate::Contract::Open`].
    #[default]
    Absent,
}

/// An optional export, `() -> ()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hook {
    /// `_initialize`: constructors of a WASI reactor.
    Initialize,
    /// `faaslet_init`: once, at the bake, after the constructors.
    Init,
    /// `faaslet_warm`: a call of its own at the bake, before the image is taken.
    Warm,
    /// `faaslet_after_restore`: first in every fork.
    AfterRestore,
}

impl Hook {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Initialize, Self::Init, Self::Warm, Self::AfterRestore];

    /// The name that it is exported under.
    pub fn export_name(self) -> &'static str {
        match self {
            Self::Initialize => faaslet_abi::export::INITIALIZE,
            Self::Init => faaslet_abi::export::INIT,
            Self::Warm => faaslet_abi::export::WARM,
            Self::AfterRestore => faaslet_abi::export::AFTER_RESTORE,
        }
    }
}

/// The memory that the original declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPlan {
    /// It defines one; otherwise the rewrite added one of zero pages.
    pub defined: bool,
    /// Pages at the start.
    pub min_pages: u32,
    /// The most pages that it may grow to, if it says so. The rewritten module declares no
    /// maximum (addresses in the state window lie beyond it), so the host enforces this one.
    pub max_pages: Option<u32>,
    /// The code can grow it: [`reserved::CALLS`] is there.
    pub grows: bool,
}

/// A mutable global.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlobalPlan {
    /// Its index; it is exported as [`reserved::global`].
    pub index: u32,
    /// What it holds.
    pub ty: ValueType,
}

impl GlobalPlan {
    /// The name that it is exported under.
    pub fn export_name(&self) -> String {
        reserved::global(self.index)
    }
}

/// A table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablePlan {
    /// Its index.
    pub index: u32,
    /// What its elements are: `FuncRef` or `ExternRef`.
    pub element: ValueType,
    /// Elements at the start.
    pub min: u32,
    /// The most elements, if it says so.
    pub max: Option<u32>,
    /// The code can change it: it is part of an image.
    pub changed: bool,
    /// It is exported as [`reserved::table`]: the code can change it, or it is the first and
    /// the module imports the host call that takes a function by its index there.
    pub exported: bool,
}

impl TablePlan {
    /// The name that it is exported under, if it is.
    pub fn export_name(&self) -> Option<String> {
        self.exported.then(|| reserved::table(self.index))
    }
}

/// A function that the module imports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportPlan {
    /// The import module's name.
    pub module: String,
    /// The function's name.
    pub name: String,
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ValueType {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 128-bit vector.
    V128,
    /// Reference to a function, or null.
    FuncRef,
    /// Reference to something of the host's, or null.
    ExternRef,
}

impl From<RefType> for ValueType {
    fn from(ty: RefType) -> Self {
        if ty.is_extern_ref() { Self::ExternRef } else { Self::FuncRef }
    }
}

impl From<ValType> for ValueType {
    fn from(ty: ValType) -> Self {
        match ty {
            ValType::I32 => Self::I32,
            ValType::I64 => Self::I64,
            ValType::F32 => Self::F32,
            ValType::F64 => Self::F64,
            ValType::V128 => Self::V128,
            ValType::Ref(ty) => ty.into(),
        }
    }
}

impl Plan {
    /// Whether the module exports this hook.
    pub fn has(&self, hook: Hook) -> bool {
        self.hooks.contains(&hook)
    }

    pub(crate) fn new(
        module: &Module<'_>,
        uses: &Uses,
        additions: &Additions,
        offsets: OffsetMap,
    ) -> Self {
        Self {
            abi: module.abi,
            entry: module.entry,
            hooks: module.hooks.clone(),
            memory: memory(module, uses),
            globals: additions.exported_globals.clone(),
            tables: tables(module, uses, additions),
            functions: additions.exported_functions.clone(),
            imports: module
                .imports
                .iter()
                .map(|i| ImportPlan { module: i.module.to_owned(), name: i.name.to_owned() })
                .collect(),
            keep: keep::verdict(module, uses),
            original_functions: module.functions.len() as u32,
            offsets,
        }
    }
}

fn memory(module: &Module<'_>, uses: &Uses) -> MemoryPlan {
    MemoryPlan {
        defined: module.memory.is_some(),
        min_pages: module.min_pages(),
        max_pages: module.memory.and_then(|m| m.maximum).map(|pages| pages as u32),
        grows: uses.grows,
    }
}

fn tables(module: &Module<'_>, uses: &Uses, additions: &Additions) -> Vec<TablePlan> {
    let plan = |(index, ty): (usize, &wasmparser::TableType)| TablePlan {
        index: index as u32,
        element: ty.element_type.into(),
        min: ty.initial as u32,
        max: ty.maximum.map(|max| u32::try_from(max).unwrap_or(u32::MAX)),
        changed: uses.table_changes.contains_key(&(index as u32)),
        exported: additions.exported_tables.contains(&(index as u32)),
    };
    module.tables.iter().enumerate().map(plan).collect()
}
