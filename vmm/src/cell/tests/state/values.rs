//! Versions, appends, lists, mappings that agree, and what a call leaves behind: nothing.

use faaslet_abi::Status;
use faaslet_state::spec::Rule;

use super::{Arg, Cell, Script, Step, call, states};

#[test]
fn an_open_version_never_changes_while_writers_go_on() {
    let states = states();
    let mut cell = Cell::new(&states, "t", 1);
    let mut script = Script::default();
    let value = script.open("v");
    script.write(value, 0, b"old");
    script.push(value);
    let newest = script.data(&[0; 16]);
    let version = script.step("open_version", &[value.into(), newest.at.into()]);
    script.write(value, 0, b"new");
    script.push(value);
    let (read, bytes) = script.read(version, 0, 3);
    let (mapped, at) = script.map(version, 0, 3, 0);
    let word = script.step("load", &[at.into()]);
    let wrote = script.write(version, 0, b"x");
    let shared = script.map(version, 0, 3, 1).0;
    let listed = script.data(&[0; 64]);
    let count = script.step("versions", &[value.into(), listed.at.into(), listed.len.into()]);
    let did = cell.run(0, &script);
    assert!(did.result(version) > 0);
    assert_eq!((did.result(read), did.bytes(bytes)), (3, &b"old"[..]));
    assert_eq!((did.result(mapped), &did.result(word).to_le_bytes()[..3]), (0, &b"old"[..]));
    let invalid = Status::Invalid as i64;
    assert_eq!((did.result(wrote), did.result(shared)), (invalid, invalid));
    assert_eq!(did.result(count), 3, "made, old, new");
    cell.assert_clean();
}

#[test]
fn appends_of_two_cells_have_one_order() {
    let states = states();
    let mut cells = [Cell::new(&states, "t", 1), Cell::new(&states, "t", 1)];
    let mut ends = Vec::new();
    for round in 0..4 {
        let mut script = Script::default();
        let value = script.open("log");
        let (record, at) = (script.data(b"12345678"), script.data(&[0; 8]));
        script.step("append", &[value.into(), record.at.into(), record.len.into(), at.at.into()]);
        let did = cells[round % 2].run(0, &script);
        ends.push(u64::from_le_bytes(did.bytes(at).try_into().unwrap()));
    }
    assert_eq!(ends, [0, 8, 16, 24]);
    let mut script = Script::default();
    let value = script.open("log");
    script.pull(value);
    let (read, bytes) = script.read(value, 0, 64);
    let did = cells[0].run(0, &script);
    assert_eq!(did.result(read), 32);
    assert_eq!(&did.bytes(bytes)[..32], b"12345678".repeat(4));
}

#[test]
fn keys_are_listed_in_order_as_many_as_fit() {
    let mut cell = Cell::new(&states(), "t", 1);
    let mut script = Script::default();
    for key in ["b/2", "b/1", "a", "b/3"] {
        script.open(key);
    }
    let (prefix, out) = (script.data(b"b/"), script.data(&[0; 12]));
    let after = script.data(b"b/2");
    let list = |script: &mut Script, after: super::Place, room: i64| {
        script.step(
            "list",
            &[
                prefix.at.into(),
                prefix.len.into(),
                after.at.into(),
                after.len.into(),
                out.at.into(),
                room.into(),
            ],
        )
    };
    let small = list(&mut script, after, 2);
    let last = list(&mut script, after, 12);
    let none = script.data(b"");
    let first = list(&mut script, none, 12);
    let did = cell.run(0, &script);
    let results = [small, last, first].map(|step| did.result(step));
    assert_eq!(results, [Status::TooLarge as i64, 5, 10]);
    assert_eq!(did.bytes(out), b"\x03\0b/1\x03\0b/2\0\0");
}

#[test]
fn two_mappings_of_one_call_agree_and_a_private_copy_does_not() {
    let mut cell = Cell::new(&states(), "t", 1);
    let mut script = Script::default();
    let value = script.open("twice");
    script.step("resize", &[value.into(), 8192.into()]);
    let (_, one) = script.map(value, 0, 8192, 1);
    let (_, two) = script.map(value, 4100, 8, 1);
    let (_, copy) = script.map(value, 4096, 8, 0);
    let at = script.step("sum", &[one.into(), 4100.into()]);
    script.step("store", &[at.into(), 77.into()]);
    let seen = script.step("load", &[two.into()]);
    script.step("store", &[copy.into(), 5.into()]);
    let word = script.step("sum", &[one.into(), 4096.into()]);
    let kept = script.step("load4", &[word.into()]);
    let unmapped = script.step("unmap", &[two.into()]);
    let twice = script.step("unmap", &[two.into()]);
    let did = cell.run(0, &script);
    assert_eq!([seen, kept, unmapped].map(|step| did.result(step)), [77, 0, 0]);
    assert_eq!(did.result(twice), Status::Invalid as i64);
    cell.assert_clean();
}

#[test]
fn stores_through_a_mapping_are_pushed_after_their_call_has_ended() {
    let states = states();
    let (mut one, mut two) = (Cell::new(&states, "t", 2), Cell::new(&states, "t", 1));
    let mut script = Script::default();
    let value = script.open_as("stored", Rule::Sum, 1 << 20);
    script.step("resize", &[value.into(), 1_000_000.into()]);
    let (_, at) = script.map(value, 0, 1_000_000, 1);
    let far = script.step("sum", &[at.into(), 800_000.into()]);
    script.step("store", &[far.into(), 12.into()]);
    let call = one.begin(0, &script);
    one.did(call);
    one.assert_clean();
    assert!(one.local.counts().dirty_bytes > 0);
    let mut script = Script::default();
    let value = script.open_as("stored", Rule::Sum, 1 << 20);
    let pushed = script.push(value);
    assert_eq!(one.run(1, &script).result(pushed), 0);
    assert_eq!(one.local.counts().dirty_bytes, 0);
    let mut script = Script::default();
    let value = script.open_as("stored", Rule::Sum, 1 << 20);
    let (_, place) = script.read(value, 800_000, 8);
    let number = script.step("load", &[place.at.into()]);
    assert_eq!(two.run(0, &script).result(number), 12);
}

#[test]
fn compare_and_set_refuses_what_is_not_the_newest() {
    let mut cell = Cell::new(&states(), "t", 1);
    let push = |script: &mut Script, value: Step, expected: super::Place, out: super::Place| {
        script.step(
            "push",
            &[value.into(), 0.into(), Arg::Number(-1), expected.at.into(), out.at.into()],
        )
    };
    let mut script = Script::default();
    let value = script.open("cas");
    let (first, second) = (script.data(&[0; 16]), script.data(&[0; 16]));
    script.write(value, 0, b"1");
    let arguments = [value.into(), 0.into(), Arg::Number(-1), 0.into(), first.at.into()];
    script.step("push", &arguments);
    script.write(value, 0, b"2");
    let fits = push(&mut script, value, first, second);
    script.write(value, 0, b"3");
    let stale = push(&mut script, value, first, second);
    let did = cell.run(0, &script);
    assert_eq!((did.result(fits), did.result(stale)), (0, Status::Conflict as i64));
    assert_ne!(did.bytes(first), did.bytes(second));
}

#[test]
fn handles_are_bounded_and_closed_ones_can_be_used_again() {
    let mut cell = Cell::new(&states(), "t", 1);
    let mut script = Script::default();
    let one = script.open("v");
    let two = script.open("v");
    let closed = script.step("close", &[one.into()]);
    let again = script.open("v");
    let did = cell.run(0, &script);
    assert_eq!([one, two, closed, again].map(|step| did.result(step)), [1, 2, 0, 1]);
}

#[test]
fn a_call_that_is_cancelled_while_it_waits_leaves_the_queue() {
    let mut cell = Cell::new(&states(), "t", 2);
    let mut waits = Script::default();
    let value = waits.open("flag");
    waits.step("resize", &[value.into(), 8.into()]);
    let (_, at) = waits.map(value, 0, 8, 1);
    waits.step("wait", &[at.into(), 0.into(), Arg::Number(-1)]);
    let number = cell.begin_call(0, call(&waits.input()));
    assert!(cell.waits(number));
    cell.cancel(0, number);
    assert_eq!(cell.answer(number).outcome, faaslet_abi::Outcome::TimedOut);
    let mut notifies = Script::default();
    let value = notifies.open("flag");
    let (_, at) = notifies.map(value, 0, 8, 1);
    let woken = notifies.step("notify", &[at.into(), 9.into()]);
    assert_eq!(cell.run(1, &notifies).result(woken), 0);
    cell.assert_clean();
}
