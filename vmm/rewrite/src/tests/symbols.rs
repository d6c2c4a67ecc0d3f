//! Names and lines of backtraces.

use super::{open, wasm};
use crate::Symbols;

const TEXT: &str = r#"(module (import "env" "imported" (func)) (memory 1)
    (func $_ZN4core9panicking5panic17h0123456789abcdefE (nop))
    (func $_ZN3app5classEi (memory.fill (i32.const 0) (i32.const 0) (i32.const 9)))
    (func $plain (nop)) (func (nop)))"#;

#[test]
fn functions_are_named_and_demangled() {
    let bytes = wasm(TEXT);
    let symbols = Symbols::load(&bytes).expect("reads");
    assert_eq!(symbols.name(1), "core::panicking::panic");
    assert_eq!(symbols.name(2), "app::class(int)");
    assert_eq!(symbols.name(3), "plain");
    assert_eq!(symbols.name(4), "function 4");
    assert_eq!(symbols.name(u32::MAX), "function 4294967295");
}

#[test]
fn offsets_of_the_rewritten_module_lead_to_the_original_function() {
    let bytes = wasm(TEXT);
    let symbols = Symbols::load(&bytes).expect("reads");
    let of = open(TEXT);
    let mut names = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(&of.wasm) {
        let wasmparser::Payload::CodeSectionEntry(body) = payload.expect("reads") else { continue };
        let middle = (body.range().start + body.range().len() / 2) as u32;
        let frames = of.plan.offsets.original(middle).map(|offset| symbols.frames(offset));
        names.push(frames.map(|frames| frames[0].function.clone()));
    }
    let expected = ["core::panicking::panic", "app::class(int)", "plain", "function 4"];
    let mut expected: Vec<_> = expected.iter().map(|name| Some((*name).to_owned())).collect();
    expected.extend([None, None]); // the check and the boot function
    assert_eq!(names, expected);
    assert_eq!(symbols.frames(0), []);
}

#[test]
fn garbage_in_names_and_dwarf_is_left_out() {
    let mut bytes = wasm("(module (func (nop)))");
    let custom = |name: &str, data: &[u8]| {
        let mut section = vec![0, (1 + name.len() + data.len()) as u8, name.len() as u8];
        section.extend_from_slice(name.as_bytes());
        section.extend_from_slice(data);
        section
    };
    bytes.extend(custom("name", &[1, 9, 0xff, 0xff, 0xff]));
    bytes.extend(custom(".debug_info", &[0xff; 40]));
    bytes.extend(custom(".debug_abbrev", &[0xff; 40]));
    bytes.extend(custom(".debug_line", &[0xff; 40]));
    let symbols = Symbols::load(&bytes).expect("the module itself is fine");
    for offset in 0..bytes.len() as u32 {
        for frame in symbols.frames(offset) {
            assert_eq!((frame.function.as_str(), frame.line), ("function 0", None));
        }
    }
    assert!(Symbols::load(b"\0asm\x01\0\0\0\x0a").is_err());
}
