//! What must hold for any bytes that are rewritten; the fuzz target `rewrite` and a bounded test
//! of the rewrite's crate both feed it.
//!
//! 1. The rewrite ends in a module or an error with a message; it never panics.
//! 2. The rewritten module is valid, exports what its plan says, and is refused if it is
//!    rewritten again.
//! 3. Every instruction of a body maps to one of the same function in the original.
//! 4. What is refused under the open contract is refused as a function.

use faaslet_rewrite::{
    Contract, GlobalPlan, Limits, RewriteError, Rewritten, Symbols, TablePlan, reserved,
    rewrite_under,
};
use wasmparser::{Parser, Payload, Validator};

/// Checks any bytes.
pub fn check(bytes: &[u8]) {
    let limits = Limits { module_bytes: 1 << 20, functions: 10_000, ..Limits::default() };
    let function = rewrite_under(bytes, &limits, Contract::Function);
    match rewrite_under(bytes, &limits, Contract::Open) {
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(function.is_err(), "a function, but refused as a module: {error}");
        }
        Ok(of) => {
            check_module(&of, &limits);
            check_offsets(bytes, &of);
        }
    }
}

fn check_module(of: &Rewritten, limits: &Limits) {
    let mut validator = Validator::new();
    validator.validate_all(&of.wasm).expect("the rewritten module is valid");
    let mut exports = Vec::new();
    for payload in Parser::new(0).parse_all(&of.wasm) {
        if let Payload::ExportSection(section) = payload.expect("valid") {
            exports.extend(section.into_iter().map(|e| e.expect("valid").name.to_owned()));
        }
    }
    let plan = &of.plan;
    let mut expected: Vec<_> = plan.globals.iter().map(GlobalPlan::export_name).collect();
    expected.extend(plan.tables.iter().filter_map(TablePlan::export_name));
    expected.extend(plan.functions.iter().map(|f| reserved::function(*f)));
    expected.extend(plan.memory.grows.then(|| reserved::CALLS.to_owned()));
    for name in [reserved::BOOT, reserved::MEMORY, reserved::SIZE, reserved::WINDOW] {
        expected.push(name.to_owned());
    }
    let mut reserved: Vec<_> =
        exports.into_iter().filter(|name| name.starts_with(reserved::PREFIX)).collect();
    expected.sort();
    reserved.sort();
    assert_eq!(expected, reserved, "the plan says what is exported");
    let again = rewrite_under(&of.wasm, limits, Contract::Open);
    assert!(matches!(
        again,
        Err(RewriteError::ReservedExport { .. } | RewriteError::OverLimit { .. })
    ));
}

fn check_offsets(original: &[u8], of: &Rewritten) {
    let (before, after) = (bodies(original), bodies(&of.wasm));
    assert_eq!(before.len() + 2, after.len());
    for (index, body) in after.iter().enumerate() {
        for offset in body.clone() {
            let from = of.plan.offsets.original(offset as u32).map(|offset| offset as usize);
            match before.get(index) {
                Some(function) => assert!(from.is_some_and(|from| function.contains(&from))),
                None => assert_eq!(from, None),
            }
        }
    }
    let symbols = Symbols::load(original).expect("a module that was rewritten");
    for function in &before {
        assert!(!symbols.frames(function.start as u32).is_empty());
    }
}

fn bodies(wasm: &[u8]) -> Vec<std::ops::Range<usize>> {
    let payloads = Parser::new(0).parse_all(wasm);
    payloads
        .filter_map(|payload| match payload.expect("valid") {
            Payload::CodeSectionEntry(body) => Some(body.range()),
            _ => None,
        })
        .collect()
}
