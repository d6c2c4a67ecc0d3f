//! Values shared by Faaslets of one tenant on one host, and by cells through their owner.

use super::{Arg, Cell, Script, states};

const SHARED: i64 = 1;

#[test]
fn bytes_go_from_one_cell_through_the_owner_to_another() {
    let states = states();
    let (mut one, mut two) = (Cell::new(&states, "t", 1), Cell::new(&states, "t", 1));
    let mut script = Script::default();
    let value = script.open("greeting");
    let wrote = script.write(value, 3, b"good morning");
    let pushed = script.push(value);
    let did = one.run(0, &script);
    assert!(did.result(value) > 0);
    assert_eq!((did.result(wrote), did.result(pushed)), (0, 0));

    let mut script = Script::default();
    let value = script.open("greeting");
    let (read, bytes) = script.read(value, 0, 32);
    let did = two.run(0, &script);
    assert_eq!(did.result(read), 15);
    assert_eq!(&did.bytes(bytes)[..15], b"\0\0\0good morning");
    one.assert_clean();
    two.assert_clean();
}

#[test]
fn growing_a_value_never_cuts_what_another_cell_has_added() {
    let states = states();
    let (mut one, mut two) = (Cell::new(&states, "t", 1), Cell::new(&states, "t", 1));
    let mut script = Script::default();
    let value = script.open("scores");
    let made = script.step("grow", &[value.into(), 1000.into()]);
    assert_eq!(one.run(0, &script).result(made), 0);

    let mut script = Script::default();
    let value = script.open("scores");
    script.write(value, 4000, b"far behind");
    let pushed = script.push(value);
    assert_eq!(two.run(0, &script).result(pushed), 0);

    // Here the value is still 1,000 bytes long.
    let mut script = Script::default();
    let value = script.open("scores");
    let grown = script.step("grow", &[value.into(), 2000.into()]);
    let (read, bytes) = script.read(value, 4000, 10);
    let did = one.run(0, &script);
    assert_eq!((did.result(grown), did.result(read)), (0, 10));
    assert_eq!(did.bytes(bytes), b"far behind");
    one.assert_clean();
    two.assert_clean();
}

#[test]
fn two_faaslets_on_two_workers_see_each_other_s_stores_by_plain_loads() {
    let mut cell = Cell::new(&states(), "t", 2);
    let mut make = Script::default();
    let value = make.open("page");
    let resized = make.step("resize", &[value.into(), 8192.into()]);
    let did = cell.run(0, &make);
    assert_eq!(did.result(resized), 0);

    let mut first = Script::default();
    let value = first.open("page");
    let (mapped, at) = first.map(value, 64, 64, SHARED);
    first.step("add", &[at.into(), 5.into()]);
    let flag = first.step("sum", &[at.into(), 8.into()]);
    let woken = first.step("wait", &[flag.into(), 0.into(), Arg::Number(-1)]);
    let seen = first.step("load", &[at.into()]);
    let call = cell.begin(0, &first);
    assert!(cell.waits(call));

    let mut second = Script::default();
    let value = second.open("page");
    let (_, at) = second.map(value, 0, 8192, SHARED);
    let at = second.step("sum", &[at.into(), 64.into()]);
    let there = second.step("load", &[at.into()]);
    let added = second.step("add", &[at.into(), 5.into()]);
    let flag = second.step("sum", &[at.into(), 8.into()]);
    let notified = second.step("notify", &[flag.into(), 1.into()]);
    let did = cell.run(1, &second);
    assert_eq!([there, added, notified].map(|step| did.result(step)), [5, 5, 1]);

    let did = cell.did(call);
    assert_eq!([mapped, woken, seen].map(|step| did.result(step)), [0, 0, 10]);
    cell.assert_clean();
}
