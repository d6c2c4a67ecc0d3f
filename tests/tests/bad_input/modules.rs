//! Modules that cannot be functions.

use faaslet_tests::{Monitor, Site, wat_files};

/// What the error of each refused guest must say.
const SAYS: &[(&str, &[&str])] = &[
    ("abi-v2", &["faaslet_v2", "version 1"]),
    ("component", &["component", "wasm32-wasip1"]),
    ("entry-type", &["faaslet_main", "type"]),
    ("import-type", &["input_len", "i64"]),
    ("imported-memory", &["env.memory"]),
    ("init-eat", &["16 MiB", "--memory"]),
    ("init-exit", &["3"]),
    ("init-loop", &["initialis"]),
    ("init-trap", &["unreachable", "deep"]),
    ("memory-too-large", &["memory"]),
    ("memory64", &["64-bit"]),
    ("no-entry", &["faaslet_main", "_start"]),
    ("other-module", &["env.emscripten_notify_memory_growth", "faaslet_v1"]),
    ("outside-function-global", &["global"]),
    ("outside-function-table", &["table"]),
    ("shared-memory", &["shared"]),
    ("start-trap", &["unreachable", "deep"]),
    ("unknown-import", &["faaslet_v1.inptu_len", "input_len"]),
];

fn nothing_is_deployed(monitor: &Monitor<'_>) {
    assert_eq!(monitor.run(&["--json", "ps"]).json(), serde_json::json!([]));
    monitor.deploy_wat("counter");
    assert_eq!(monitor.call("counter", "").text(), "11", "the next deployment works");
}

#[test]
fn every_refused_guest_is_refused_for_its_reason() {
    let site = Site::new();
    let monitor = site.up();
    let limits = ["--init-timeout", "300ms", "--memory", "16M"];
    let files = wat_files("refused");
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let known: Vec<&str> = SAYS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, known, "every file of tests/guests/wat/refused is listed here");
    let mut wrong = Vec::new();
    for (name, parts) in SAYS {
        let module = site.wat(&format!("refused/{name}"));
        let ran = monitor.deploy_with("f", &module, &limits);
        let said = ran.err.to_lowercase();
        let missing: Vec<_> =
            parts.iter().filter(|part| !said.contains(&part.to_lowercase())).collect();
        if ran.code != Some(4) || !missing.is_empty() {
            wrong.push(format!("{name}: status {:?}, without {missing:?}: {}", ran.code, ran.err));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    nothing_is_deployed(&monitor);
    monitor.stop();
}

#[test]
fn what_is_no_module_is_refused() {
    let site = Site::new();
    let monitor = site.up();
    let whole = std::fs::read(site.wat("echo")).unwrap();
    let deploy =
        |bytes: &[u8]| monitor.deploy_with("f", &site.file("f.wasm", bytes), &[]).failed(4);
    let text = deploy(b"#!/bin/sh\necho hello\n");
    assert!(text.contains("expected a WebAssembly module"), "{text}");
    assert!(deploy(b"").contains("WebAssembly"));
    for length in [7, 8, 20, whole.len() / 2, whole.len() - 1] {
        let cut = deploy(&whole[..length]);
        assert!(cut.contains("expected"), "{length}: {cut}");
    }
    let missing = site.path("nowhere.wasm");
    let missing = monitor.deploy_with("f", &missing, &[]).failed(7);
    assert!(missing.contains("nowhere.wasm"), "{missing}");
    nothing_is_deployed(&monitor);
    monitor.stop();
}

#[test]
fn names_that_are_none_are_refused() {
    let site = Site::new();
    let monitor = site.up();
    let module = site.wat("echo");
    let long = "x".repeat(300);
    for name in ["..", "a%2Fb", "Ü", ".hidden", &long] {
        let ran = monitor.deploy_with(name, &module, &[]);
        assert!(matches!(ran.code, Some(2 | 4)), "{name:?}: {ran:?}");
    }
    nothing_is_deployed(&monitor);
    monitor.stop();
}

#[test]
fn a_function_that_eats_memory_meets_its_limit_and_nobody_else_does() {
    let site = Site::new();
    let monitor = site.up();
    let _ = monitor.deploy_with("eat", &site.wat("eat"), &["--memory", "8M"]).ok();
    let pages = monitor.call("eat", "").ok();
    assert_eq!(u32::from_le_bytes(pages.try_into().unwrap()), 8 << 20 >> 16);
    monitor.deploy_wat("counter");
    assert_eq!(monitor.call("counter", "").text(), "11");
    monitor.stop();
}
