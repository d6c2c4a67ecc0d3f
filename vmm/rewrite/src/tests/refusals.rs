//! Every refusal, and what its message says.

use super::{MAIN, function, wasm};
use crate::{Limits, RewriteError, rewrite};

/// The refusal of a module in text form.
fn refused(text: &str) -> RewriteError {
    function(text).expect_err("expected a refusal")
}

/// Checks that a message names all of these.
fn says(error: &RewriteError, parts: &[&str]) {
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "expected \"{part}\" in: {message}");
    }
}

#[test]
fn not_wasm() {
    for bytes in [&b"#!/bin/sh\n"[..], b"\x7fELF", b"", b"\0as!", b"PK\x03\x04"] {
        let error = rewrite(bytes, &Limits::default()).expect_err("refused");
        assert!(matches!(error, RewriteError::NotWasm { .. }), "{error:?}");
    }
    says(&rewrite(b"\x7fELF", &Limits::default()).expect_err("refused"), &["7f 45 4c 46"]);
}

#[test]
fn truncated_anywhere() {
    let whole = wasm(&format!(
        r#"(module (memory 1) (data (i32.const 0) "data") {MAIN}
        (func (result i32) (i32.load (i32.const 4))))"#
    ));
    let (mut truncated, mut ends_early) = (0, 0);
    for length in 1..whole.len() {
        match rewrite(&whole[..length], &Limits::default()) {
            Err(RewriteError::Truncated { length: reported, missing }) => {
                assert!(reported == length && missing > 0);
                truncated += 1;
            }
            // Cut between two sections it is a whole module that lacks something else.
            Err(RewriteError::Invalid { .. } | RewriteError::NoEntry { .. }) | Ok(_) => {
                ends_early += 1;
            }
            Err(other) => panic!("cut at {length}: {other}"),
        }
    }
    assert!(truncated > ends_early * 5, "{truncated} truncated, {ends_early} ended early");
}

#[test]
fn a_component() {
    let error = refused("(component)");
    assert!(matches!(error, RewriteError::Component), "{error:?}");
    says(&error, &["core WebAssembly module", "component", "wasm32-wasip1"]);
}

#[test]
fn invalid() {
    let mut bytes = wasm(&format!("(module {MAIN} (func (result i32) (i32.const 1)))"));
    let last = bytes.iter().rposition(|b| *b == 0x41).expect("i32.const");
    bytes[last] = 0x42;
    let error = rewrite(&bytes, &Limits::default()).expect_err("refused");
    assert!(matches!(error, RewriteError::Invalid { offset, .. } if offset > last), "{error:?}");
    says(&error, &["type mismatch"]);
    says(&refused(&format!("(module {MAIN} (type (struct)))")), &["gc"]);
}

#[test]
fn memories_of_other_kinds() {
    let of = |memory: &str| refused(&format!("(module {memory} {MAIN})"));
    says(&of("(memory i64 1)"), &["64-bit memory", "wasm32"]);
    says(&of("(memory 1 1 shared)"), &["shared memory", "-pthread"]);
    says(&of("(memory 1) (memory 1)"), &["more than one"]);
}

#[test]
fn imports_that_are_not_functions() {
    let of = |import: &str| refused(&format!(r#"(module (import "env" "x" {import}) {MAIN})"#));
    says(&of("(memory 1)"), &["the memory env.x", "--import-memory"]);
    says(&of("(table 1 funcref)"), &["the table env.x"]);
    says(&of("(global i32)"), &["the global env.x"]);
}

#[test]
fn unknown_imports_name_the_nearest() {
    let of = |module: &str, name: &str| {
        refused(&format!(r#"(module (import "{module}" "{name}" (func)) {MAIN})"#))
    };
    let error = of("faaslet_v1", "inptu_len");
    assert!(matches!(error, RewriteError::UnknownImport { .. }), "{error:?}");
    says(&error, &["faaslet_v1.inptu_len", "faaslet_v1.input_len"]);
    says(&of("wasi_snapshot_preview1", "fd_wirte"), &["wasi_snapshot_preview1.fd_write"]);
    let error = of("env", "random_gett");
    assert!(matches!(error, RewriteError::UnknownModule { .. }), "{error:?}");
    says(&error, &["env.random_gett", "wasi_snapshot_preview1.random_get", "library"]);
    let long = "x".repeat(50_000);
    says(&of("faaslet_v1", &long), &["the nearest is faaslet_v1."]);
}

#[test]
fn another_version_of_the_abi() {
    let of = |version: &str| {
        refused(&format!(r#"(module (import "faaslet_v{version}" "input_len" (func)) {MAIN})"#))
    };
    says(&of("2"), &["ABI version 1", "faaslet_v2", "update the host"]);
    says(&of("0"), &["ABI version 1", "faaslet_v0", "build it again"]);
    says(&of("_next"), &["faaslet_v_next"]);
}

#[test]
fn a_known_import_with_another_type() {
    let error = refused(&format!(
        r#"(module (import "faaslet_v1" "await" (func (param i32 i32) (result i32))) {MAIN})"#
    ));
    says(&error, &["faaslet_v1.await", "(i32, i64) -> i32", "(i32, i32) -> i32"]);
    let error = refused(&format!(
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (result i32))) {MAIN})"#
    ));
    says(&error, &["(i32) -> ()", "() -> i32"]);
}

#[test]
fn reserved_exports() {
    says(&refused(r#"(module (func (export "faaslet:boot")))"#), &["faaslet:boot", "rename"]);
    let once = function(&format!("(module {MAIN})")).expect("accepted");
    let error = rewrite(&once.wasm, &Limits::default()).expect_err("refused");
    assert!(matches!(error, RewriteError::ReservedExport { .. }), "{error:?}");
}

#[test]
fn no_entry() {
    says(&refused("(module)"), &["faaslet_main", "_start", "no exported function"]);
    let error = refused(r#"(module (func (export "main")) (memory (export "faaslet_main") 1))"#);
    says(&error, &["\"main\"", "#[faaslet::main]"]);
    let six = ["a", "b", "c", "d", "e", "f"].map(|name| format!("(func (export \"{name}\"))"));
    says(&refused(&format!("(module {})", six.concat())), &["\"e\", 1 others"]);
}

#[test]
fn entries_and_hooks_with_another_type() {
    let of = |name: &str, ty: &str| {
        refused(&format!(r#"(module {MAIN} (func (export "{name}") {ty} unreachable))"#))
    };
    for name in ["faaslet_init", "faaslet_warm", "faaslet_after_restore", "_initialize"] {
        says(&of(name, "(result i32)"), &[name, "() -> ()", "() -> i32"]);
    }
    let main = r#"(module (func (export "faaslet_main") (param i32)))"#;
    says(&refused(main), &["() -> i32 or () -> ()", "(i32) -> ()"]);
    let start = r#"(module (func (export "_start") (result i64) unreachable))"#;
    says(&refused(start), &["_start", "() -> i64"]);
}

#[test]
fn over_each_limit() {
    let base = Limits::default();
    let cases: [(&str, Limits, &str); 11] = [
        ("(memory 3)", Limits { memory_pages: 2, ..base.clone() }, "2 pages of memory"),
        ("", Limits { types: 0, ..base.clone() }, "0 types"),
        ("", Limits { functions: 0, ..base.clone() }, "0 functions"),
        ("(table 1 funcref)", Limits { tables: 0, ..base.clone() }, "0 tables"),
        (
            "(table 5 funcref) (table 4 externref)",
            Limits { table_elements: 8, ..base.clone() },
            "8 elements",
        ),
        ("(table 9 funcref)", Limits { table_elements: 8, ..base.clone() }, "8 elements"),
        ("(global i32 (i32.const 0))", Limits { globals: 0, ..base.clone() }, "0 globals"),
        ("", Limits { exports: 0, ..base.clone() }, "0 exports"),
        ("(elem func)", Limits { element_segments: 0, ..base.clone() }, "0 element segments"),
        ("(data \"\")", Limits { data_segments: 0, ..base.clone() }, "0 data segments"),
        (
            r#"(import "faaslet_v1" "input_len" (func (result i32)))"#,
            Limits { imports: 0, ..base.clone() },
            "0 imports",
        ),
    ];
    for (part, limits, expected) in cases {
        let module = wasm(&format!("(module {part} {MAIN})"));
        let error = rewrite(&module, &limits).expect_err("refused");
        assert!(matches!(error, RewriteError::OverLimit { .. }), "{part}: {error:?}");
        says(&error, &[expected]);
        rewrite(&module, &base).expect("accepted under the defaults");
    }
    let module = wasm(&format!("(module {MAIN})"));
    let limits = Limits { module_bytes: module.len() - 1, ..base };
    says(&rewrite(&module, &limits).expect_err("refused"), &["bytes in a module"]);
}

#[test]
fn a_heap_over_three_gibibytes_whatever_the_limit() {
    let limits = Limits { memory_pages: u32::MAX, ..Limits::default() };
    let module = |pages: u32| wasm(&format!("(module (memory {pages}) {MAIN})"));
    rewrite(&module(49152), &limits).expect("just fits");
    says(&rewrite(&module(49153), &limits).expect_err("refused"), &["49152 pages", "49153"]);
}

#[test]
fn no_room_for_three_locals_more() {
    let of = |locals: u32| {
        let locals = "i32 ".repeat(locals as usize);
        let body = "(memory.fill (i32.const 0) (i32.const 0) (local.get 0))";
        function(&format!("(module (memory 1) {MAIN} (func (local {locals}) {body}))"))
    };
    of(49_997).expect("just fits");
    says(&of(49_998).expect_err("refused"), &["locals in a function", "split"]);
}
