//! Offsets, and what is copied as it is.

use wasmparser::{FunctionBody, Operator, Parser, Payload, Validator};

use super::{open, wasm};
use crate::parse::FEATURES;
use crate::{Contract, Limits, Rewritten, rewrite_under};

/// Bodies of all defined functions, in order.
pub(super) fn bodies(wasm: &[u8]) -> Vec<FunctionBody<'_>> {
    let payloads = Parser::new(0).parse_all(wasm);
    payloads
        .filter_map(|payload| match payload.expect("reads") {
            Payload::CodeSectionEntry(body) => Some(body),
            _ => None,
        })
        .collect()
}

pub(super) fn instructions<'a>(body: &FunctionBody<'a>) -> Vec<(Operator<'a>, u32)> {
    let ops = body.get_operators_reader().expect("reads").into_iter_with_offsets();
    ops.map(|op| op.expect("reads")).map(|(op, at)| (op, at as u32)).collect()
}

fn must_change(op: &Operator<'_>) -> bool {
    matches!(
        op,
        Operator::MemorySize { .. }
            | Operator::MemoryGrow { .. }
            | Operator::MemoryCopy { .. }
            | Operator::MemoryFill { .. }
            | Operator::MemoryInit { .. }
            | Operator::MemoryAtomicNotify { .. }
    )
}

/// Walks a function before and after: each instruction that stays maps to where it was, and
/// each instruction between two that stay maps to the one that it stands for.
fn check_function(of: &Rewritten, before: &FunctionBody<'_>, after: &FunctionBody<'_>) -> usize {
    let old = instructions(before);
    let new = instructions(after);
    let mut at = 0;
    for (index, (op, offset)) in old.iter().enumerate() {
        let next = old.get(index + 1).map(|(next, _)| next);
        let folded = matches!(op, Operator::I32Const { .. })
            && next.is_some_and(|next| must_change(next) && takes_length(next));
        if folded {
            continue;
        }
        if must_change(op) {
            let from = at;
            while of.plan.offsets.original(new[at].1) == Some(*offset) {
                at += 1;
            }
            assert!(at > from, "nothing stands for {op:?} at {offset:#x}");
        } else {
            assert_eq!(new[at].0, *op);
            assert_eq!(of.plan.offsets.original(new[at].1), Some(*offset), "{op:?}");
            at += 1;
        }
    }
    assert_eq!(at, new.len(), "instructions at the end that stand for nothing");
    old.len()
}

fn takes_length(op: &Operator<'_>) -> bool {
    matches!(
        op,
        Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } | Operator::MemoryInit { .. }
    )
}

fn check_module(wasm: &[u8]) -> usize {
    let of = rewrite_under(wasm, &Limits::default(), Contract::Open).expect("accepted");
    Validator::new_with_features(FEATURES).validate_all(&of.wasm).expect("still valid");
    let (before, after) = (bodies(wasm), bodies(&of.wasm));
    assert_eq!(before.len() + 2, after.len());
    for added in &after[before.len()..] {
        assert_eq!(of.plan.offsets.original(added.range().start as u32), None);
        assert_eq!(of.plan.offsets.original(added.range().end as u32 - 1), None);
    }
    before.iter().zip(&after).map(|(before, after)| check_function(&of, before, after)).sum()
}

/// Functions that change and functions that do not, in an order given by `pattern`.
fn mixed(pattern: u32) -> String {
    let mut functions = String::new();
    for bit in 0..12 {
        functions.push_str(match pattern >> (bit * 2) & 3 {
            0 => "(func (param i32 i64) (result i32) (local f32) (local.get 0) (nop))",
            1 => {
                "(func (param i32) (local i64 i64) (nop) (memory.fill (local.get 0) (i32.const 1)
                (i32.const 300)) (memory.copy (i32.const 1) (local.get 0) (local.get 0)) (nop))"
            }
            2 => {
                "(func (result i32) (loop (memory.init $d (i32.const 0) (i32.const 0)
                (i32.const 16))) (i32.add (memory.size) (memory.grow (i32.const 1))))"
            }
            _ => {
                "(func (param i32) (drop (memory.atomic.notify (local.get 0) (i32.const 2)))
                (drop (i32.const 5)))"
            }
        });
    }
    format!("(module (memory 1) (data $d \"0123456789\") {functions})")
}

#[test]
fn every_instruction_maps_to_where_it_was() {
    let mut checked = 0;
    for seed in 0..200_u32 {
        checked += check_module(&wasm(&mixed(seed.wrapping_mul(0x9e37_79b1))));
    }
    assert!(checked > 10_000, "only {checked} instructions");
}

#[test]
fn bodies_that_need_no_change_are_copied_byte_for_byte() {
    let original = wasm(&mixed(0b01_00_00_10_00_00));
    let of = open(&mixed(0b01_00_00_10_00_00));
    let same = |(before, after): (&FunctionBody<'_>, &FunctionBody<'_>)| {
        before.as_bytes() == after.as_bytes()
    };
    let (before, after) = (bodies(&original), bodies(&of.wasm));
    let unchanged: Vec<_> = before.iter().zip(&after).map(same).collect();
    assert_eq!(unchanged[..6], [true, true, false, true, true, false]);
}

/// Enough code for several threads: every third function changes.
fn large(functions: u32) -> Vec<u8> {
    use wasm_encoder::{CodeSection, Function, FunctionSection, MemorySection, MemoryType};
    let mut types = wasm_encoder::TypeSection::new();
    types.ty().function([], []);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let (mut declared, mut code) = (FunctionSection::new(), CodeSection::new());
    for index in 0..functions {
        let mut function = Function::new([]);
        let mut body = function.instructions();
        for _ in 0..300 {
            body.i32_const(index as i32).drop();
        }
        if index % 3 == 0 {
            body.memory_size(0).drop();
        }
        body.end();
        declared.function(0);
        code.function(&function);
    }
    let mut module = wasm_encoder::Module::new();
    module.section(&types).section(&declared).section(&memories).section(&code);
    module.finish()
}

#[test]
fn code_that_is_shared_out_to_threads_comes_together_in_order() {
    let module = large(4000);
    assert!(module.len() > 4 << 20, "{} bytes are not enough", module.len());
    assert!(check_module(&module) > 4000 * 600);
}

#[test]
fn the_first_invalid_function_is_the_one_reported() {
    let mut module = large(4000);
    let ranges: Vec<_> = bodies(&module).iter().map(FunctionBody::range).collect();
    let drop_at = |function: usize| ranges[function].end - 2;
    for function in [3999, 2500, 1] {
        assert_eq!(module[drop_at(function)], 0x1a, "drop");
        module[drop_at(function)] = 0x01; // nop: a value stays on the stack
        let error = rewrite_under(&module, &Limits::default(), Contract::Open);
        let Err(crate::RewriteError::Invalid { offset, .. }) = error else { panic!("refused") };
        assert!(ranges[function].contains(&offset), "function {function}, found {offset:#x}");
    }
}

#[test]
fn names_stay_and_other_custom_sections_go() {
    let of = open(
        r#"(module $m (@custom ".debug_info" "abc") (@custom "producers" "\00")
        (func $one (nop)))"#,
    );
    let mut custom = Vec::new();
    for payload in Parser::new(0).parse_all(&of.wasm) {
        if let Payload::CustomSection(section) = payload.expect("reads") {
            custom.push(section.name().to_owned());
        }
    }
    assert_eq!(custom, ["name"]);
}

#[test]
fn offsets_outside_the_code_map_to_nothing() {
    let of = open("(module (func (nop)))");
    assert_eq!(of.plan.offsets.original(0), None);
    assert_eq!(crate::OffsetMap::default().original(7), None);
}
