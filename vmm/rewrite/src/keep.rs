//! Whether an instance can provably be put back to its image.
//!
//! What a call can change and how it is put back: memory by copying pages back, mutable globals
//! and the virtual size by setting them, dropped segments because dropping them sets a global.
//! A table cannot shrink again and its elements are host objects, so a module whose code can
//! change a table is instantiated anew for each fork. Exceptions lie in a heap of the engine's, but
//! nothing that outlives a call can hold one: tables and globals of them are not accepted. That is
//! the whole list: the features that could add to it (garbage collection, threads, more memories)
//! are not accepted.

use serde::{Deserialize, Serialize};
use wasmparser::ValType;

use crate::parse::Module;
use crate::scan::Uses;

/// The first thing found that stands against keeping an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Why {
    /// The code can change a table.
    #[error(
        "function {function}{} changes table {table} with {instruction}, and a table cannot be \
         put back", name.as_ref().map(|n| format!(" ({n})")).unwrap_or_default()
    )]
    TableChanged {
        /// The table's index.
        table: u32,
        /// The function's index.
        function: u32,
        /// The function's name, if the module has one for it.
        name: Option<String>,
        /// The instruction.
        instruction: String,
    },
    /// A mutable global holds a reference to something of the host's.
    #[error("global {global} is a mutable externref, which cannot be put back")]
    ExternGlobal {
        /// The global's index.
        global: u32,
    },
}

/// `Ok` if every piece of state that the code can change is one that can be put back.
pub(crate) fn verdict(module: &Module<'_>, uses: &Uses) -> Result<(), Why> {
    for (index, ty) in module.globals.iter().enumerate() {
        let restorable = match ty.content_type {
            ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64 | ValType::V128 => true,
            ValType::Ref(ty) => ty.is_func_ref(),
        };
        if ty.mutable && !restorable {
            return Err(Why::ExternGlobal { global: index as u32 });
        }
    }
    match uses.table_changes.iter().next() {
        None => Ok(()),
        Some((&table, change)) => Err(Why::TableChanged {
            table,
            function: change.function,
            name: module.names.and_then(|names| crate::names::function(names, change.function)),
            instruction: change.instruction.to_owned(),
        }),
    }
}
