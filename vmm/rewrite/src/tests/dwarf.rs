//! Lines of a backtrace: DWARF made here for the original, offsets of the rewritten module.

use gimli::write::{
    Address, AttributeValue, DwarfUnit, EndianVec, LineProgram, LineString, Sections, UnitEntryId,
};
use gimli::{Encoding, Format, LineEncoding, LittleEndian};
use wasm_encoder::{CustomSection, Encode};
use wasmparser::{Parser, Payload};

use super::{mapping, wasm};
use crate::{Contract, Limits, Symbols, rewrite_under};

const TEXT: &str = "(module (memory 1)
    (func $first (param i32) (nop) (memory.fill (local.get 0) (i32.const 0) (i32.const 9)) (nop))
    (func $second (drop (memory.size)) (i32.store (i32.const 0) (i32.const 1)))
    (func $third (nop) (nop) (nop)))";
/// The line of each function's first instruction; the next ones follow.
const LINES: [u64; 3] = [100, 200, 300];
/// Where `helper` is said to be inlined into the third function.
const INLINED_AT: u64 = 77;

fn code_start(module: &[u8]) -> usize {
    let mut payloads = Parser::new(0).parse_all(module);
    payloads
        .find_map(|payload| match payload.expect("reads") {
            Payload::CodeSectionStart { range, .. } => Some(range.start),
            _ => None,
        })
        .expect("has code")
}

/// A unit that gives each instruction of each function a line of its own.
fn unit(module: &[u8]) -> DwarfUnit {
    let encoding = Encoding { format: Format::Dwarf32, version: 5, address_size: 4 };
    let mut dwarf = DwarfUnit::new(encoding);
    let (folder, file) = (b"/src".to_vec(), b"app.c".to_vec());
    let (folder, file) = (LineString::String(folder), LineString::String(file));
    let mut program =
        LineProgram::new(encoding, LineEncoding::default(), folder, None, file.clone(), None);
    let source = program.add_file(file, program.default_directory(), None);
    let start = code_start(module) as u64;
    let root = dwarf.unit.root();
    for (index, body) in mapping::bodies(module).iter().enumerate() {
        let low = body.range().start as u64 - start;
        program.begin_sequence(Some(Address::Constant(low)));
        for (line, (_, at)) in (LINES[index]..).zip(mapping::instructions(body)) {
            program.row().address_offset = u64::from(at) - start - low;
            program.row().file = source;
            program.row().line = line;
            program.generate_row();
        }
        program.end_sequence(body.range().len() as u64);
        let length = body.range().len() as u64;
        let function = entry(&mut dwarf, root, gimli::DW_TAG_subprogram, low, length);
        let name = ["one", "two", "three"][index];
        set(&mut dwarf, function, gimli::DW_AT_name, AttributeValue::String(name.into()));
        if index == 2 {
            let inner = gimli::DW_TAG_inlined_subroutine;
            let inlined = entry(&mut dwarf, function, inner, low, length);
            set(&mut dwarf, inlined, gimli::DW_AT_name, AttributeValue::String("helper".into()));
            let line = AttributeValue::Udata(INLINED_AT);
            set(&mut dwarf, inlined, gimli::DW_AT_call_line, line);
            let file = AttributeValue::FileIndex(Some(source));
            set(&mut dwarf, inlined, gimli::DW_AT_call_file, file);
        }
    }
    dwarf.unit.line_program = program;
    let all = Address::Constant(0);
    set(&mut dwarf, root, gimli::DW_AT_low_pc, AttributeValue::Address(all));
    set(&mut dwarf, root, gimli::DW_AT_high_pc, AttributeValue::Udata(module.len() as u64));
    dwarf
}

fn entry(
    dwarf: &mut DwarfUnit,
    parent: UnitEntryId,
    tag: gimli::DwTag,
    low: u64,
    length: u64,
) -> UnitEntryId {
    let id = dwarf.unit.add(parent, tag);
    let low = AttributeValue::Address(Address::Constant(low));
    set(dwarf, id, gimli::DW_AT_low_pc, low);
    set(dwarf, id, gimli::DW_AT_high_pc, AttributeValue::Udata(length));
    id
}

fn set(dwarf: &mut DwarfUnit, id: UnitEntryId, name: gimli::DwAt, value: AttributeValue) {
    dwarf.unit.get_mut(id).set(name, value);
}

/// The module with its DWARF behind it.
fn module() -> Vec<u8> {
    let mut module = wasm(TEXT);
    let mut sections = Sections::new(EndianVec::new(LittleEndian));
    unit(&module).write(&mut sections).expect("writes");
    sections
        .for_each(|id, data| {
            if !data.slice().is_empty() {
                module.push(0);
                CustomSection { name: id.name().into(), data: data.slice().into() }
                    .encode(&mut module);
            }
            Ok::<(), gimli::write::Error>(())
        })
        .expect("writes");
    module
}

#[test]
fn each_instruction_of_the_rewritten_module_has_its_original_line() {
    let module = module();
    let of = rewrite_under(&module, &Limits::default(), Contract::Open).expect("accepted");
    assert!(of.wasm.len() < module.len(), "DWARF stays behind");
    let symbols = Symbols::load(&module).expect("reads");
    let mut seen = Vec::new();
    for body in &mapping::bodies(&of.wasm)[..LINES.len()] {
        for (_, at) in mapping::instructions(body) {
            let original = of.plan.offsets.original(at).expect("of the original");
            let frames = symbols.frames(original);
            let outer = frames.last().expect("in a function");
            assert_eq!(outer.file.as_deref(), Some("app.c"));
            seen.push((frames[0].function.clone(), frames[0].line, frames.len()));
            if frames.len() == 2 {
                assert_eq!((outer.function.as_str(), outer.line), ("third", Some(77)));
            }
        }
    }
    seen.dedup();
    let line = |name: &str, line, depth| (name.to_owned(), Some(line), depth);
    let expected = [
        line("first", 100, 1), // nop
        line("first", 101, 1), // local.get
        line("first", 102, 1), // i32.const; the next constant is part of memory.fill
        line("first", 104, 1), // what stands for memory.fill
        line("first", 105, 1),
        line("first", 106, 1),  // end
        line("second", 200, 1), // what stands for memory.size
        line("second", 201, 1),
        line("second", 202, 1),
        line("second", 203, 1),
        line("second", 204, 1),
        line("second", 205, 1),
        line("helper", 300, 2),
        line("helper", 301, 2),
        line("helper", 302, 2),
        line("helper", 303, 2),
    ];
    assert_eq!(seen, expected);
}
