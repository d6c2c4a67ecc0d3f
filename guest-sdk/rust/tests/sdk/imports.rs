//! The host calls that the WebAssembly side declares are those of the ABI.

const DECLARATIONS: &str = include_str!("../../src/sys/wasm.rs");
const STATE_DECLARATIONS: &str = include_str!("../../src/sys/wasm/state.rs");

/// Host calls that this SDK has no use for: it writes an output whole.
const UNUSED: &[&str] = &["output_append"];

/// The functions that a source declares as imported.
fn declared(source: &'static str) -> Vec<&'static str> {
    assert!(source.contains(&format!("wasm_import_module = {:?}", faaslet_abi::IMPORT_MODULE)));
    let block = source.split("unsafe extern \"C\" {").nth(1).unwrap();
    let block = block.split("\n    }\n").next().unwrap();
    let mut declared: Vec<&str> = Vec::new();
    let mut renamed = None;
    for line in block.lines() {
        if let Some((_, name)) = line.split_once("link_name = \"") {
            renamed = name.split('"').next();
        } else if let Some((_, rest)) = line.split_once("fn ") {
            declared.push(renamed.take().unwrap_or(rest.split('(').next().unwrap()));
        }
    }
    declared
}

#[test]
fn every_host_call_is_declared() {
    let mut found = declared(DECLARATIONS);
    found.extend(UNUSED);
    found.extend(declared(STATE_DECLARATIONS));
    found.sort_unstable();
    let mut expected = [faaslet_abi::import::ALL, faaslet_abi::state::import::ALL].concat();
    expected.sort_unstable();
    assert_eq!(found, expected);
}
