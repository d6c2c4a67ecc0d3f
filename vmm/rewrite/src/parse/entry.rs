//! What a module exports for the host to call.

use faaslet_abi::export;
use wasmparser::{FuncType, ValType};

use super::Module;
use crate::Contract;
use crate::error::RewriteError;
use crate::plan::{Entry, Hook};

const MAIN_TYPES: &str = "a function () -> i32 or () -> ()";
const VOID_TYPE: &str = "a function () -> ()";
/// How many names a message lists.
const LISTED_MAX: usize = 5;

/// The entry and the hooks among the exported functions. Under [`Contract::Open`] the names
/// mean nothing unless their type is right.
pub(super) fn find(
    module: &Module<'_>,
    exports: &[(&str, u32)],
    contract: Contract,
) -> Result<(Entry, Vec<Hook>), RewriteError> {
    let strict = contract == Contract::Function;
    let type_of = |name: &str| {
        let (_, index) = exports.iter().find(|(export, _)| *export == name)?;
        module.function_type(*index)
    };
    let entry = match find_entry(type_of) {
        Ok(Entry::Absent) if strict => {
            return Err(RewriteError::NoEntry { found: listed(exports) });
        }
        Err(error) if strict => return Err(error),
        Ok(entry) => entry,
        Err(_) => Entry::Absent,
    };
    let mut hooks = Vec::new();
    for hook in Hook::ALL {
        match type_of(hook.export_name()).map(|ty| void(hook.export_name(), ty)) {
            Some(Ok(())) => hooks.push(hook),
            Some(Err(error)) if strict => return Err(error),
            Some(Err(_)) | None => {}
        }
    }
    Ok((entry, hooks))
}

/// `faaslet_main` comes first: a command that also exports it is one of our SDK's.
fn find_entry<'t>(type_of: impl Fn(&str) -> Option<&'t FuncType>) -> Result<Entry, RewriteError> {
    if let Some(ty) = type_of(export::MAIN) {
        return match (ty.params(), ty.results()) {
            ([], [ValType::I32]) => Ok(Entry::Main { status: true }),
            ([], []) => Ok(Entry::Main { status: false }),
            _ => Err(signature(export::MAIN, MAIN_TYPES, ty)),
        };
    }
    match type_of(export::START) {
        Some(ty) => void(export::START, ty).map(|()| Entry::Command),
        None => Ok(Entry::Absent),
    }
}

fn void(name: &'static str, ty: &FuncType) -> Result<(), RewriteError> {
    if ty.params().is_empty() && ty.results().is_empty() {
        return Ok(());
    }
    Err(signature(name, VOID_TYPE, ty))
}

fn signature(name: &'static str, expected: &'static str, ty: &FuncType) -> RewriteError {
    let found = format!("a function {}", crate::imports::signature(ty));
    RewriteError::EntrySignature { name, expected, found }
}

fn listed(exports: &[(&str, u32)]) -> String {
    let mut names: Vec<_> =
        exports.iter().take(LISTED_MAX).map(|(name, _)| format!("\"{name}\"")).collect();
    if exports.len() > LISTED_MAX {
        names.push(format!("{} others", exports.len() - LISTED_MAX));
    }
    if names.is_empty() { "no exported function".to_owned() } else { names.join(", ") }
}
