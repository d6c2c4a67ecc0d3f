//! The rewrite of a guest module, once, before it is compiled.
//!
//! What it is: a pure function from module bytes to module bytes and a [`Plan`]. After it the
//! module can be baked into an image and put back to that image without losing its instance:
//! its data segments are written by one exported boot function, its mutable globals (and the
//! tables that its code can change) are exported, and the size of its memory is a global, so
//! that it can shrink. What it is not: a compiler or an optimiser; functions that need no
//! change are copied byte for byte, and no index of the guest's moves.
//!
//! Start at [`rewrite`]; [`reserved`] has the names and addresses that the host must know, and
//! [`Symbols`] turns the offsets of a backtrace into functions, files and lines.
//!
//! ```text
//! linear memory, one real size of 4 GiB for every module
//! 0            size                    3 GiB           window         4 GiB
//! ├─ heap ──────┤── inaccessible ────────┤─ state window ─┤─ inaccessible ─┤
//!               ▲ global faaslet:size    ▲ WINDOW_BASE    ▲ global faaslet:window
//! ```
//!
//! Loads and stores are left alone: what is inaccessible traps. `memory.size` reads the global,
//! `memory.grow` calls the host, and bulk operations are range-checked before they run, since
//! the host code behind them must never meet an inaccessible page.

mod body;
mod emit;
mod error;
mod imports;
mod keep;
mod limits;
mod names;
mod offsets;
mod parse;
mod plan;
pub mod reserved;
mod scan;
mod symbols;
mod synth;

pub use error::RewriteError;
pub use keep::Why;
pub use limits::Limits;
pub use offsets::{OffsetMap, OffsetMapError};
pub use plan::{Entry, GlobalPlan, Hook, ImportPlan, MemoryPlan, Plan, TablePlan, ValueType};
pub use symbols::{Frame, Symbols, SymbolsError};

/// A module that is ready to be compiled, and what the host must know of it.
#[derive(Debug, Clone)]
pub struct Rewritten {
    /// The module after the rewrite.
    pub wasm: Vec<u8>,
    /// What it contains and how to drive it.
    pub plan: Plan,
}

/// What is asked of a module beside being valid and within its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contract {
    /// A function to deploy: it imports only what the host has and exports an entry point.
    Function,
    /// Any module: all imports of functions and globals pass and no entry is needed. For tests
    /// and tools; nothing that was rewritten so may be deployed.
    Open,
}

/// Rewrites a function's module.
///
/// # Errors
/// A [`RewriteError`] for a module that is not valid, not within `limits`, or not a function
/// of this host; its message says what was expected, what was found and what to do.
pub fn rewrite(module: &[u8], limits: &Limits) -> Result<Rewritten, RewriteError> {
    rewrite_under(module, limits, Contract::Function)
}

/// Rewrites a module under the given contract, see [`rewrite`].
///
/// # Errors
/// As [`rewrite`].
pub fn rewrite_under(
    module: &[u8],
    limits: &Limits,
    contract: Contract,
) -> Result<Rewritten, RewriteError> {
    let mut module = parse::parse(module, limits, contract)?;
    let uses = scan::scan(std::mem::take(&mut module.bodies))?;
    let additions = synth::Additions::new(&module, &uses);
    let (wasm, offsets) = emit::emit(&module, &uses, &additions)?;
    let plan = plan::Plan::new(&module, &uses, &additions, offsets);
    Ok(Rewritten { wasm, plan })
}

#[cfg(test)]
mod tests;
