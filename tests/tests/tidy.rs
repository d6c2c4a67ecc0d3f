//! Invariants of the source tree: what depends on what, where `unsafe` may stand, how long
//! functions and files are, and what must not be in any of them.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use faaslet_tests::tree;

/// Longest function, from its first line to its last.
const MAX_FUNCTION_LINES: usize = 70;
/// Longest file.
const MAX_FILE_LINES: usize = 700;

/// What each crate of the workspace may depend on, tests included. Dependencies point down only.
const MAY_USE: &[(&str, &[&str])] = &[
    ("faaslet-abi", &[]),
    ("faaslet-proto", &[]),
    ("faaslet-sandbox", &[]),
    ("faaslet-snapshot", &[]),
    ("faaslet-state", &[]),
    ("faaslet-store", &[]),
    ("faaslet-macros", &[]),
    ("faaslet", &["faaslet-abi", "faaslet-macros"]),
    ("faaslet-net", &["faaslet-proto"]),
    ("faaslet-ring", &[]),
    ("faaslet-rewrite", &["faaslet-abi"]),
    ("faaslet-tier", &["faaslet-snapshot", "faaslet-state"]),
    ("faaslet-wasi", &["faaslet-sandbox"]),
    (
        "faaslet-vmm",
        &[
            "faaslet-abi",
            "faaslet-net",
            "faaslet-rewrite",
            "faaslet-ring",
            "faaslet-sandbox",
            "faaslet-snapshot",
            "faaslet-state",
            "faaslet-store",
            "faaslet-tier",
            "faaslet-wasi",
        ],
    ),
    ("faaslet-tests", &["faaslet-net", "faaslet-store"]),
];
/// Crates that nothing depends on, and that may use any other.
const ABOVE_ALL: &[&str] = &["faaslet-perf"];

/// Files with `unsafe` that are not named for it: guests, where it is how Wasm is called and
/// exported, and the macro that writes those exports.
const UNSAFE_ELSEWHERE: &[&str] =
    &["guest-sdk/rust/macros/src/", "guest-sdk/examples/", "tests/guests/"];

/// What no file may hold. Each is written in two parts, so that this one does not.
const NOWHERE: &[(&str, &str)] = &[
    ("TO", "DO"),
    ("FIX", "ME"),
    ("XX", "X:"),
    ("todo", "!("),
    ("unimpl", "emented!("),
    ("dbg", "!("),
    ("/wo", "rk/main"),
    ("/wo", "rk/shared"),
];
/// Long functions that are a table, or a text that would be harder to read in parts.
const LONG: &[&str] = &["tests/guests/wasi/calls/src/traps.rs", "vmm/src/cell/tests/scribble.rs"];

/// The tables of dependencies of a manifest.
const DEPENDENCIES: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

fn manifests() -> BTreeMap<String, BTreeSet<String>> {
    let root: toml::Table = read("Cargo.toml").parse().unwrap();
    let members = root["workspace"]["members"].as_array().unwrap();
    let manifest = |member: &toml::Value| {
        let text = read(&format!("{}/Cargo.toml", member.as_str().unwrap()));
        let manifest: toml::Table = text.parse().unwrap();
        let name = manifest["package"]["name"].as_str().unwrap().to_owned();
        let tables = DEPENDENCIES.iter().filter_map(|table| manifest.get(*table)?.as_table());
        let uses = tables.flat_map(|table| table.keys().cloned());
        (name, uses.filter(|used| used.starts_with("faaslet")).collect())
    };
    members.iter().map(manifest).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(tree::root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn crates_depend_on_crates_below_them_alone() {
    let mut wrong = Vec::new();
    for (name, uses) in manifests() {
        if ABOVE_ALL.contains(&name.as_str()) {
            continue;
        }
        let Some((_, may)) = MAY_USE.iter().find(|(known, _)| *known == name) else {
            wrong.push(format!("{name} is not in the list: add it, with what it may use"));
            continue;
        };
        for used in uses.iter().filter(|used| !may.contains(&used.as_str())) {
            wrong.push(format!("{name} uses {used}, which is not below it"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A line without what is in quotes or behind `//`.
fn code(line: &str) -> String {
    let mut code = String::new();
    let mut quoted = false;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        if !quoted && line[at..].starts_with("//") {
            break;
        }
        if c == '"' && before != '\\' && before != '\'' {
            quoted = !quoted;
        } else if !quoted {
            code.push(c);
        }
        before = c;
    }
    code
}

fn has_unsafe(text: &str) -> bool {
    let words = |line: &str| {
        let code = code(line);
        let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.any(|word| word == "unsafe")
    };
    text.lines().any(words)
}

fn may_be_unsafe(path: &Path) -> bool {
    let named =
        path.components().any(|part| matches!(part.as_os_str().to_str(), Some("sys" | "sys.rs")));
    let listed = UNSAFE_ELSEWHERE.iter().any(|folder| path.starts_with(folder));
    named || listed
}

#[test]
fn unsafe_code_is_in_sys_modules_alone() {
    let wrong: Vec<String> = tree::rust()
        .iter()
        .filter(|(path, text)| has_unsafe(text) && !may_be_unsafe(path))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(wrong.is_empty(), "unsafe outside sys modules:\n{}", wrong.join("\n"));
}

/// Functions over the limit: a function begins with its `fn` and ends with a brace in the same
/// column, as rustfmt has it.
fn long_functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let begins = |line: &str| {
        let words: Vec<_> = code(line).split_whitespace().map(str::to_owned).collect();
        let modifier = |word: &String| {
            word.starts_with("pub")
                || word == "const"
                || word == "async"
                || word == "unsafe"
                || word == "extern"
        };
        words
            .iter()
            .position(|word| word == "fn")
            .is_some_and(|at| words[..at].iter().all(modifier))
    };
    let mut long = Vec::new();
    for (first, line) in lines.iter().enumerate().filter(|(_, line)| begins(line)) {
        let last = lines[first..].iter().position(|end| {
            indent(end) == indent(line) && (end.trim_start().starts_with('}') || end.ends_with(';'))
        });
        let length = last.unwrap_or(lines.len() - first) + 1;
        if length > MAX_FUNCTION_LINES && !lines[first].ends_with('}') {
            long.push((first + 1, length));
        }
    }
    long
}

#[test]
fn functions_and_files_are_short() {
    let mut wrong = Vec::new();
    for (path, text) in tree::rust() {
        let path = path.to_string_lossy();
        let length = text.lines().count();
        if length > MAX_FILE_LINES {
            wrong.push(format!("{path}: {length} lines; split it, at most {MAX_FILE_LINES}"));
        }
        let listed = LONG.iter().any(|listed| path.ends_with(listed));
        for (line, length) in long_functions(&text).into_iter().filter(|_| !listed) {
            wrong.push(format!(
                "{path}:{line}: a function of {length} lines; at most {MAX_FUNCTION_LINES}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_undone_and_no_machine_is_named() {
    let mut wrong = Vec::new();
    for path in tree::files() {
        let Ok(text) = fs::read_to_string(tree::root().join(&path)) else { continue };
        for (first, second) in NOWHERE {
            let what = format!("{first}{second}");
            let whole =
                |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if text.match_indices(&what).any(|(at, _)| whole(at)) {
                wrong.push(format!("{}: {what}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rust_module_says_what_it_is() {
    let silent = |(path, text): &(std::path::PathBuf, String)| {
        let first = text.lines().find(|line| !line.starts_with("#!"))?;
        // What is in a file of tests, its name says.
        let named = path.file_name().is_some_and(|name| name == "tests.rs");
        let module = !named && !first.starts_with("//");
        module.then(|| path.display().to_string())
    };
    let silent: Vec<String> = tree::rust().iter().filter_map(silent).collect();
    assert!(
        silent.is_empty(),
        "modules without a first line that says what they are:\n{}",
        silent.join("\n")
    );
}

#[test]
fn the_checks_find_what_they_are_for() {
    assert!(has_unsafe("    unsafe { x() }") && has_unsafe("let a = unsafe{1};"));
    assert!(!has_unsafe("// unsafe\nlet unsafe_code = \"unsafe\";"));
    assert!(
        may_be_unsafe(Path::new("a/src/sys/x.rs")) && !may_be_unsafe(Path::new("a/src/system.rs"))
    );
    let long = format!("impl A {{\n    pub fn a() {{\n{}    }}\n}}\n", "        b();\n".repeat(70));
    assert_eq!(long_functions(&long), [(2, 72)]);
    let short = format!("fn a() {{\n{}}}\n", "    b();\n".repeat(60));
    assert_eq!(long_functions(&short), []);
}
