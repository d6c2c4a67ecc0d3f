//! Values shared by Faaslets of one tenant on one host, and by cells through their owner.

use faaslet_abi::Status;
use faaslet_state::Rule;

use super::{Arg, Cell, Loss, Script, states};
use crate::monitor::state::KINDS;

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
    let wrote = script.write(value, 4000, b"far behind");
    let pushed = script.push(value);
    let did = two.run(0, &script);
    assert_eq!((did.result(wrote), did.result(pushed)), (0, 0));

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

#[test]
fn two_workers_that_open_and_push_a_value_at_the_same_time_come_in_any_order() {
    let states = states();
    let (mut cell, mut other) = (Cell::new(&states, "t", 2), Cell::new(&states, "t", 1));
    let write = |at: i64| {
        let mut script = Script::default();
        let value = script.open("both");
        script.write(value, at, &[at as u8 + 1; 8]);
        let pushed = script.push(value);
        (script, value, pushed)
    };
    // The one asked first for the value to be made, and is heard after the other has pushed it.
    let (script, first, first_pushed) = write(0);
    cell.lose(Loss::Held);
    let late = cell.begin(1, &script);
    assert!(cell.waits(late));
    cell.lose(Loss::None);
    let (script, second, second_pushed) = write(8);
    let did = cell.run(0, &script);
    assert!(did.result(second) > 0 && did.result(second_pushed) == 0);
    cell.release(1);
    let did = cell.did(late);
    assert!(did.result(first) > 0, "{}", did.result(first));
    assert_eq!(did.result(first_pushed), 0);
    // And all at once.
    let scripts = [16, 24, 32, 40].map(write);
    let calls: Vec<_> =
        scripts.iter().enumerate().map(|(n, (script, ..))| cell.begin(n % 2, script)).collect();
    for (call, (_, opened, pushed)) in calls.into_iter().zip(&scripts) {
        let did = cell.did(call);
        assert!(did.result(*opened) > 0 && did.result(*pushed) == 0);
    }
    let mut script = Script::default();
    let value = script.open("both");
    let (_, bytes) = script.read(value, 0, 48);
    let expected = [1, 9, 17, 25, 33, 41].map(|byte| [byte; 8]).concat();
    assert_eq!(other.run(0, &script).bytes(bytes), expected);
    cell.assert_clean();
}

#[test]
fn what_is_here_is_opened_without_asking_and_its_deletion_elsewhere_is_told_at_the_next_contact() {
    let states = states();
    let (mut one, mut two) = (Cell::new(&states, "t", 1), Cell::new(&states, "t", 1));
    let mut script = Script::default();
    let value = script.open("shared");
    script.write(value, 0, b"12345678");
    script.push(value);
    one.run(0, &script);
    let mut script = Script::default();
    script.open("shared");
    let key = script.data(b"shared");
    let deleted = script.step("delete", &[key.at.into(), key.len.into()]);
    assert_eq!(two.run(0, &script).result(deleted), 0);

    let asked = || states.tenant_counts()[0].1.requests.iter().sum::<u64>();
    let before = asked();
    let mut script = Script::default();
    let value = script.open("shared");
    let (read, bytes) = script.read(value, 0, 8);
    let did = one.run(0, &script);
    assert_eq!((did.result(read), asked()), (8, before), "from memory, as it was here");
    assert_eq!(&did.bytes(bytes), b"12345678");

    let mut script = Script::default();
    let value = script.open("shared");
    let pulled = script.pull(value);
    let did = one.run(0, &script);
    assert_eq!(did.result(pulled), Status::NotFound as i64, "the first contact tells");
    let mut script = Script::default();
    let value = script.open("shared");
    let (read, _) = script.read(value, 0, 8);
    let did = one.run(0, &script);
    assert!(did.result(value) > 0 && did.result(read) == 0, "then it is made anew, empty");
    one.assert_clean();
}

#[test]
fn sequential_reads_are_pulled_ahead_and_others_are_not() {
    const CHUNK: i64 = 64 << 10;
    let states = states();
    let (mut one, mut two) = (Cell::new(&states, "t", 1), Cell::new(&states, "t", 1));
    let mut script = Script::default();
    for key in ["straight", "across"] {
        let value = script.open_as(key, Rule::Replace, 4 << 20);
        for chunk in 0..32 {
            script.write(value, chunk * CHUNK, b"something");
        }
        script.push(value);
    }
    one.run(0, &script);
    let pull = KINDS.iter().position(|kind| *kind == "pull").unwrap();
    let pulls = || states.tenant_counts()[0].1.requests[pull];
    let mut read = |key: &str, chunks: &[i64]| {
        let before = pulls();
        let mut script = Script::default();
        let value = script.open_as(key, Rule::Replace, 4 << 20);
        let reads: Vec<_> =
            chunks.iter().map(|chunk| script.read(value, chunk * CHUNK, 9)).collect();
        let did = two.run(0, &script);
        assert!(reads.iter().all(|(_, bytes)| &did.bytes(*bytes)[..9] == b"something"));
        pulls() - before
    };
    let straight: Vec<i64> = (0..32).collect();
    assert!(read("straight", &straight) <= 8);
    let across: Vec<i64> = (0..16).map(|chunk| chunk * 2).collect();
    assert_eq!(read("across", &across), 16, "one for each, and nothing ahead");
}
