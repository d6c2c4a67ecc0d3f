//! What the plan says of a module, and the verdict on keeping its instance.

use wasmparser::{Parser, Payload};

use super::{MAIN, function, open};
use crate::{Entry, Hook, Plan, ValueType, Why, reserved};

/// Names of all exports.
fn exports(wasm: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ExportSection(exports) = payload.expect("reads") {
            names.extend(exports.into_iter().map(|e| e.expect("reads").name.to_owned()));
        }
    }
    names
}

#[test]
fn entries_and_hooks() {
    let entry = |text: &str| function(text).expect("accepted").plan.entry;
    assert_eq!(entry(&format!("(module {MAIN})")), Entry::Main { status: false });
    let status = r#"(module (func (export "faaslet_main") (result i32) (i32.const 0)))"#;
    assert_eq!(entry(status), Entry::Main { status: true });
    assert_eq!(entry(r#"(module (func (export "_start")))"#), Entry::Command);
    let both = format!(r#"(module (func (export "_start")) {MAIN})"#);
    assert_eq!(entry(&both), Entry::Main { status: false });
    assert_eq!(open("(module)").plan.entry, Entry::Absent);
    let hooks = Hook::ALL.map(|h| format!(r#"(func (export "{}"))"#, h.export_name())).concat();
    let plan = function(&format!("(module {MAIN} {hooks})")).expect("accepted").plan;
    assert!(Hook::ALL.iter().all(|hook| plan.has(*hook)));
    assert!(!function(&format!("(module {MAIN})")).expect("accepted").plan.has(Hook::Init));
}

#[test]
fn imports_and_the_abi_version() {
    let of = |import: &str| function(&format!("(module {import} {MAIN})")).expect("accepted").plan;
    let wasi = of(r#"(import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))"#);
    assert_eq!(wasi.abi, None);
    assert_eq!(wasi.imports[0].name, "sched_yield");
    let host = of(r#"(import "faaslet_v1" "input_len" (func (result i32)))"#);
    assert_eq!(host.abi, Some(1));
    assert_eq!((host.imports[0].module.as_str(), host.original_functions), ("faaslet_v1", 2));
}

#[test]
fn memory_and_growth() {
    let plan = open("(module (memory 2 9) (func (drop (memory.grow (i32.const 1)))))").plan;
    assert_eq!((plan.memory.min_pages, plan.memory.max_pages), (2, Some(9)));
    assert!(plan.memory.defined && plan.memory.grows);
    let fixed = open("(module (memory 2) (func (drop (memory.size))))");
    assert!(!fixed.plan.memory.grows && fixed.plan.memory.max_pages.is_none());
    assert!(!exports(&fixed.wasm).contains(&reserved::CALLS.to_owned()));
}

#[test]
fn a_plain_module_exports_what_the_host_needs_and_no_more() {
    let of = open(
        "(module (memory 1) (table 1 funcref) (elem (i32.const 0) $f)
        (global i32 (i32.const 1)) (global (mut f64) (f64.const 1))
        (func $f (drop (memory.grow (i32.const 1)))))",
    );
    let expected = [
        reserved::MEMORY,
        reserved::SIZE,
        reserved::WINDOW,
        reserved::BOOT,
        reserved::CALLS,
        "faaslet:g:1",
    ];
    assert_eq!(exports(&of.wasm), expected);
    assert_eq!(of.plan.globals.len(), 1);
    assert_eq!(of.plan.globals[0].ty, ValueType::F64);
    assert!(!of.plan.tables[0].changed && of.plan.functions.is_empty());
    assert_eq!(of.plan.keep, Ok(()));
}

#[test]
fn a_table_that_code_changes_is_exported_with_its_functions() {
    let changes = [
        ("table.set", "(table.set 0 (i32.const 0) (ref.func $b))"),
        ("table.grow", "(drop (table.grow 0 (ref.func $b) (i32.const 1)))"),
        ("table.fill", "(table.fill 0 (i32.const 0) (ref.func $b) (i32.const 1))"),
        ("table.copy", "(table.copy 0 1 (i32.const 0) (i32.const 0) (i32.const 1))"),
        ("table.init", "(table.init 0 $e (i32.const 0) (i32.const 0) (i32.const 1))"),
    ];
    for (instruction, code) in changes {
        let of = open(&format!(
            "(module (table 2 9 funcref) (table 2 funcref) (elem (i32.const 0) $a)
            (elem $e func $b) (func $a) (func $b) (func $unused) (func $changer {code}))"
        ));
        let [changed, other] = &of.plan.tables[..] else { panic!("two tables") };
        assert!(changed.changed && !other.changed, "{instruction}");
        assert_eq!((changed.min, changed.max), (2, Some(9)));
        assert_eq!(changed.export_name().as_deref(), Some("faaslet:t:0"));
        assert_eq!(of.plan.functions, [0, 1]);
        for name in ["faaslet:t:0", "faaslet:f:0", "faaslet:f:1"] {
            assert!(exports(&of.wasm).contains(&name.to_owned()), "{instruction}: {name}");
        }
        let Err(why @ Why::TableChanged { .. }) = &of.plan.keep else { panic!("{instruction}") };
        let message = why.to_string();
        assert!(message.contains("function 3 (changer)") && message.contains(instruction));
    }
}

#[test]
fn the_first_table_is_exported_when_functions_are_called_by_its_indices() {
    let import = |name: &str, ty: &str| {
        let import = format!(r#"(import "faaslet_v1" "{name}" (func {ty}))"#);
        let table = "(table 1 funcref) (table 1 funcref)";
        function(&format!("(module {import} {table} {MAIN})")).expect("accepted")
    };
    let of = import("call_table", "(param i32 i32 i32) (result i32)");
    let [first, second] = &of.plan.tables[..] else { panic!("two tables") };
    assert!(first.exported && !first.changed && !second.exported);
    assert!(exports(&of.wasm).contains(&"faaslet:t:0".to_owned()));
    assert_eq!(of.plan.keep, Ok(()));
    let of = import("input_len", "(result i32)");
    assert!(of.plan.tables.iter().all(|table| !table.exported));
}

#[test]
fn mutable_references() {
    let of = open("(module (global (mut funcref) (ref.func $f)) (func $f))");
    assert_eq!((of.plan.keep.clone(), &of.plan.functions[..]), (Ok(()), &[0][..]));
    assert_eq!(of.plan.globals[0].ty, ValueType::FuncRef);
    let of = open("(module (global (mut externref) (ref.null extern)))");
    assert_eq!(of.plan.keep, Err(Why::ExternGlobal { global: 0 }));
    let of = open("(module (global externref (ref.null extern)))");
    assert_eq!(of.plan.keep, Ok(()));
}

#[test]
fn plans_survive_serialisation() {
    let of = open(
        r#"(module (memory 1 2) (data $d "x") (table 1 externref) (global (mut v128)
        (v128.const i64x2 0 0)) (func (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))
        (data.drop $d) (table.set (i32.const 0) (ref.null extern))))"#,
    );
    let text = serde_json::to_string(&of.plan).expect("serialises");
    assert_eq!(serde_json::from_str::<Plan>(&text).expect("reads back"), of.plan);
}

#[test]
fn damaged_offsets_are_refused() {
    let read = |text: &str| serde_json::from_str::<crate::OffsetMap>(text);
    assert_eq!(read("[[8,4,0],[2,2,1]]").expect("reads").original(9), Some(5));
    for text in ["[[8,4,0],[0,2,1]]", "[[8,-4,0]]", "[[8,4,3]]", "[[4294967295,0,0],[1,0,0]]"] {
        let error = read(text).expect_err(text).to_string();
        assert!(error.contains("rewrite the module again"), "{error}");
    }
}

#[test]
fn the_same_bytes_give_the_same_bytes() {
    let text = "(module (memory 1) (func (memory.copy (i32.const 0) (i32.const 9) (i32.const 4))))";
    let (one, other) = (open(text), open(text));
    assert!(one.wasm == other.wasm && one.plan == other.plan);
}
