//! Input that a function must not give, and what it is told: a status, and a text with key and
//! limit.

use faaslet_abi::Status;
use faaslet_state::spec::Rule;

use super::{Arg, Cell, Script, Step, states};

/// Steps with the status that each must have, and what its text must contain.
#[derive(Default)]
struct Refusals {
    script: Script,
    expected: Vec<(Step, Status, &'static str, super::Place)>,
}

impl Refusals {
    fn refused(
        &mut self,
        status: Status,
        says: &'static str,
        step: impl FnOnce(&mut Script) -> Step,
    ) {
        let step = step(&mut self.script);
        let said = self.script.data(&[0; 192]);
        self.script.step("error", &[said.at.into(), said.len.into()]);
        self.expected.push((step, status, says, said));
    }

    #[track_caller]
    fn check(&self, cell: &mut Cell) {
        let did = cell.run(0, &self.script);
        for (number, (step, status, says, said)) in self.expected.iter().enumerate() {
            let text = String::from_utf8_lossy(did.bytes(*said)).into_owned();
            assert_eq!(did.result(*step), *status as i64, "refusal {number}: {text}");
            assert!(text.contains(says), "refusal {number}: expected {says:?} in {text:?}");
        }
    }
}

fn open(script: &mut Script, key: &[u8], spec: i64) -> Step {
    let key = script.data(key);
    script.step("open", &[key.at.into(), key.len.into(), spec.into()])
}

#[test]
fn keys_and_specs_that_cannot_be() {
    let mut bad = Refusals::default();
    bad.refused(Status::Invalid, "1 to 512", |s| open(s, b"", 0));
    bad.refused(Status::TooLarge, "513", |s| open(s, &[b'k'; 513], 0));
    bad.refused(Status::Invalid, "UTF-8", |s| open(s, b"a\xff", 0));
    bad.refused(Status::Invalid, "control", |s| open(s, b"a\n", 0));
    bad.refused(Status::NotFound, "value nothing", |s| open(s, b"nothing", 0));
    bad.refused(Status::Fault, "", |s| s.step("open", &[Arg::Number(1 << 30), 8.into(), 0.into()]));
    let broken: [(usize, u8, &'static str); 5] = [
        (8, 11, "element"),
        (9, 7, "rule"),
        (10, 2, "durability"),
        (11, 2, "flags"),
        (23, 1, "reserved"),
    ];
    for (at, byte, says) in broken {
        bad.refused(Status::Invalid, says, |s| {
            let mut spec = super::spec(super::Element::U64, Rule::Sum, 4096);
            spec[at] = byte;
            let spec = s.data(&spec);
            open(s, b"key", spec.at)
        });
    }
    for quota in [0, 7, 1 << 50] {
        bad.refused(Status::Invalid, "quota", |s| s.open_as("key", Rule::Sum, quota));
    }
    bad.script.open_as("made", Rule::Sum, 4096);
    bad.refused(Status::Changed, "value made", |s| s.open_as("made", Rule::Min, 4096));
    let mut cell = Cell::new(&states(), "t", 1);
    bad.check(&mut cell);
    cell.assert_clean();
}

#[test]
fn offsets_lengths_and_handles_that_cannot_be() {
    let mut bad = Refusals::default();
    let value = bad.script.open_as("v", Rule::Sum, 4096);
    bad.script.step("resize", &[value.into(), 64.into()]);
    let handles: [i64; 3] = [9, -1, 0];
    for handle in handles {
        bad.refused(Status::BadHandle, "handle", |s| s.step("close", &[handle.into()]));
        bad.refused(Status::BadHandle, "handle", |s| {
            s.step("push", &[handle.into(), 0.into(), 8.into(), 0.into(), 0.into()])
        });
    }
    bad.refused(Status::TooLarge, "4096", |s| s.write(value, 4090, b"12345678"));
    bad.refused(Status::TooLarge, "4096", |s| s.write(value, -8, b"12345678"));
    bad.refused(Status::TooLarge, "4096", |s| s.write(value, i64::MAX, b"12345678"));
    bad.refused(Status::TooLarge, "value v", |s| s.write(value, 64, b"odd"));
    bad.refused(Status::Invalid, "whole elements", |s| {
        s.step("merge", &[value.into(), 4.into(), 4096.into(), 8.into()])
    });
    for len in [4104, 3, -1] {
        bad.refused(Status::TooLarge, "4096", |s| s.step("resize", &[value.into(), len.into()]));
    }
    for (offset, len) in [(0, 65), (64, 1), (-1, 2), (i64::MAX, 8)] {
        bad.refused(Status::TooLarge, "64", |s| s.map(value, offset, len, 1).0);
    }
    bad.refused(Status::Invalid, "at least one", |s| s.map(value, 0, 0, 1).0);
    bad.refused(Status::Invalid, "mode", |s| s.map(value, 0, 8, 2).0);
    bad.refused(Status::Invalid, "address", |s| s.step("unmap", &[4096.into()]));
    bad.refused(Status::Invalid, "word", |s| s.step("notify", &[4096.into(), 1.into()]));
    bad.refused(Status::Invalid, "word", |s| s.step("wait", &[4096.into(), 0.into(), 0.into()]));
    bad.refused(Status::Collected, "value v", |s| {
        let version = s.data(&[9_u64.to_le_bytes(), 9_u64.to_le_bytes()].concat());
        s.step("open_version", &[value.into(), version.at.into()])
    });
    bad.refused(Status::Conflict, "value v", |s| {
        let version = s.data(&[9_u64.to_le_bytes(), 9_u64.to_le_bytes()].concat());
        s.step("push", &[value.into(), 0.into(), Arg::Number(-1), version.at.into(), 0.into()])
    });
    let mut cell = Cell::new(&states(), "t", 1);
    bad.check(&mut cell);
    cell.assert_clean();
}

#[test]
fn there_is_no_state_while_a_function_is_initialised() {
    let module = r#"(module
      (import "faaslet_v1" "state_open" (func $open (param i32 i32 i32) (result i32)))
      (import "faaslet_v1" "state_list"
        (func $list (param i32 i32 i32 i32 i32 i32) (result i32)))
      (import "faaslet_v1" "state_error" (func $why (param i32 i32) (result i32)))
      (import "faaslet_v1" "output_set" (func $out (param i32 i32) (result i32)))
      (memory 1) (data (i32.const 0) "key")
      (func (export "faaslet_init")
        (i32.store (i32.const 64) (call $open (i32.const 0) (i32.const 3) (i32.const 0)))
        (i32.store (i32.const 68) (call $list (i32.const 0) (i32.const 0) (i32.const 0)
          (i32.const 0) (i32.const 128) (i32.const 64)))
        (drop (call $why (i32.const 72) (i32.const 128))))
      (func (export "faaslet_main") (result i32) (call $out (i32.const 64) (i32.const 136))))"#;
    let mut bench = super::Bench::new(1);
    let function = bench.add_text("asks", module, crate::cell::Limits::default());
    let answer = bench.run(function, super::call(b""));
    let (codes, why) = answer.body.split_at(8);
    let denied = (Status::Denied as i32).to_le_bytes();
    assert_eq!(codes, [denied, denied].concat());
    let why = String::from_utf8_lossy(why);
    assert!(why.contains("while a function is initialised"), "{why}");
}

#[test]
fn another_tenant_s_key_is_another_value() {
    let states = states();
    let (mut one, mut two) = (Cell::new(&states, "t", 1), Cell::new(&states, "u", 1));
    let mut script = Script::default();
    let value = script.open("secret");
    script.write(value, 0, b"for t alone");
    script.push(value);
    one.run(0, &script);
    let mut script = Script::default();
    let missing = open(&mut script, b"secret", 0);
    let value = script.open("secret");
    let (read, _) = script.read(value, 0, 32);
    let did = two.run(0, &script);
    assert_eq!((did.result(missing), did.result(read)), (Status::NotFound as i64, 0));
}

#[test]
fn a_value_that_was_deleted_says_so_and_can_be_made_anew() {
    let mut cell = Cell::new(&states(), "t", 1);
    let mut script = Script::default();
    let value = script.open("gone");
    script.write(value, 0, b"12345678");
    script.push(value);
    let (_, at) = script.map(value, 0, 8, 1);
    let key = script.data(b"gone");
    let deleted = script.step("delete", &[key.at.into(), key.len.into()]);
    let (read, _) = script.read(value, 0, 8);
    // What is mapped stays so.
    let there = script.step("load", &[at.into()]);
    let anew = script.open("gone");
    let (empty, _) = script.read(anew, 0, 8);
    let did = cell.run(0, &script);
    assert_eq!((did.result(deleted), did.result(read)), (0, Status::Changed as i64));
    assert_eq!(did.result(there), i64::from_le_bytes(*b"12345678"));
    assert!(did.result(anew) > 0);
    assert_eq!(did.result(empty), 0);
    cell.assert_clean();
}
