//! Values that change, go or run out under a function that uses them, and uses that are another's
//! to make: each is told by a status, and costs nobody else anything.

use faaslet_abi::state::import;
use faaslet_abi::{IMPORT_MODULE, Outcome, Status};
use faaslet_state::spec::Rule;
use wasmtime::Caller;

use super::{Arg, Cell, Script, Step, call, states, text};
use crate::cell::host::Host;

const LOCAL_WRITE: i64 = 1;
const GLOBAL_WRITE: i64 = 3;
const SHARED: i64 = 1;

impl Script {
    /// The text of the last refusal.
    fn why(&mut self) -> super::Place {
        let said = self.data(&[0; 192]);
        self.step("error", &[said.at.into(), said.len.into()]);
        said
    }
}

fn resize(script: &mut Script, value: Step, len: i64) -> Step {
    script.step("resize", &[value.into(), len.into()])
}

#[test]
fn a_value_is_resized_while_it_is_mapped() {
    let mut cell = Cell::new(&states(), "t", 2);
    let mut maps = Script::default();
    let value = maps.open("short");
    resize(&mut maps, value, 8192);
    let (_, at) = maps.map(value, 0, 8192, SHARED);
    let last = maps.step("sum", &[at.into(), 8184.into()]);
    maps.step("store", &[last.into(), 7.into()]);
    let flag = maps.open("flag");
    resize(&mut maps, flag, 8);
    let (_, word) = maps.map(flag, 0, 8, SHARED);
    maps.step("wait", &[word.into(), 0.into(), Arg::Number(-1)]);
    let seen = maps.step("load", &[last.into()]);
    let again = maps.map(value, 8184, 8, SHARED).0;
    let why = maps.why();
    let mapping = cell.begin(0, &maps);
    assert!(cell.waits(mapping));

    let mut cuts = Script::default();
    let value = cuts.open("short");
    let cut = resize(&mut cuts, value, 64);
    let flag = cuts.open("flag");
    let (_, word) = cuts.map(flag, 0, 8, SHARED);
    cuts.step("notify", &[word.into(), 1.into()]);
    assert_eq!(cell.run(1, &cuts).result(cut), 0);

    let did = cell.did(mapping);
    assert_eq!(did.result(seen), 0, "what was cut off is zeros, where it stays mapped");
    assert_eq!(did.result(again), Status::TooLarge as i64);
    let why = String::from_utf8_lossy(did.bytes(why)).into_owned();
    assert!(why.contains("value short") && why.contains("64"), "{why}");

    let mut grows = Script::default();
    let value = grows.open("short");
    resize(&mut grows, value, 8192);
    let (_, tail) = grows.read(value, 8184, 8);
    assert_eq!(cell.run(1, &grows).bytes(tail), [0; 8], "nothing that was cut off comes back");
    cell.assert_clean();
}

#[test]
fn a_value_is_deleted_and_made_anew_while_another_call_has_it_mapped() {
    let mut cell = Cell::new(&states(), "t", 2);
    let mut maps = Script::default();
    let value = maps.open("gone");
    resize(&mut maps, value, 8);
    let (_, at) = maps.map(value, 0, 8, SHARED);
    let flag = maps.open("flag");
    resize(&mut maps, flag, 8);
    let (_, word) = maps.map(flag, 0, 8, SHARED);
    maps.step("wait", &[word.into(), 0.into(), Arg::Number(-1)]);
    maps.step("store", &[at.into(), 7.into()]);
    let pushed = maps.push(value);
    let why = maps.why();
    let mapping = cell.begin(0, &maps);
    assert!(cell.waits(mapping));

    let mut replaces = Script::default();
    let key = replaces.data(b"gone");
    let deleted = replaces.step("delete", &[key.at.into(), key.len.into()]);
    let anew = replaces.open("gone");
    resize(&mut replaces, anew, 8);
    let flag = replaces.open("flag");
    let (_, word) = replaces.map(flag, 0, 8, SHARED);
    replaces.step("notify", &[word.into(), 1.into()]);
    assert_eq!(cell.run(1, &replaces).result(deleted), 0);

    let did = cell.did(mapping);
    assert_eq!(did.result(pushed), Status::Changed as i64);
    let why = String::from_utf8_lossy(did.bytes(why)).into_owned();
    assert!(why.contains("value gone"), "{why}");
    let mut reads = Script::default();
    let value = reads.open("gone");
    let (_, found) = reads.read(value, 0, 8);
    assert_eq!(cell.run(0, &reads).bytes(found), [0; 8], "stores to the old one are not the new");
    cell.assert_clean();
}

#[test]
fn a_lock_is_given_back_by_its_holder_alone() {
    for kind in [LOCAL_WRITE, GLOBAL_WRITE] {
        let mut cell = Cell::new(&states(), "t", 2);
        let mut holder = Script::default();
        let value = holder.open("held");
        let flag = holder.open("flag");
        resize(&mut holder, flag, 8);
        let (_, word) = holder.map(flag, 0, 8, SHARED);
        holder.step("lock", &[value.into(), kind.into(), (-1).into()]);
        holder.step("wait", &[word.into(), 0.into(), Arg::Number(-1)]);
        let unlocked = holder.step("unlock", &[value.into(), kind.into()]);
        let held = cell.begin(0, &holder);
        assert!(cell.waits(held));

        let mut other = Script::default();
        let value = other.open("held");
        let stolen = other.step("unlock", &[value.into(), kind.into()]);
        let why = other.why();
        let still = other.step("lock", &[value.into(), kind.into(), 0.into()]);
        let flag = other.open("flag");
        let (_, word) = other.map(flag, 0, 8, SHARED);
        other.step("notify", &[word.into(), 1.into()]);
        let did = cell.run(1, &other);
        let codes = [Status::LockLost as i64, Status::TimedOut as i64];
        assert_eq!([did.result(stolen), did.result(still)], codes, "kind {kind}");
        let why = String::from_utf8_lossy(did.bytes(why)).into_owned();
        assert!(why.contains("value held"), "{why}");
        assert_eq!(cell.did(held).result(unlocked), 0);
        cell.assert_clean();
    }
}

#[test]
fn a_push_without_a_pull_changes_what_was_written_alone() {
    let states = states();
    let (mut one, mut two) = (Cell::new(&states, "t", 1), Cell::new(&states, "t", 1));
    let mut script = Script::default();
    let value = script.open("both");
    resize(&mut script, value, 24);
    script.pull(value);
    two.run(0, &script);
    for (cell, at) in [(&mut one, 0), (&mut two, 16)] {
        let mut script = Script::default();
        let value = script.open("both");
        script.write(value, at, &[at as u8 + 1; 8]);
        let pushed = script.push(value);
        assert_eq!(cell.run(0, &script).result(pushed), 0);
    }
    let mut script = Script::default();
    let value = script.open("both");
    script.pull(value);
    let (_, found) = script.read(value, 0, 24);
    assert_eq!(one.run(0, &script).bytes(found), [[1; 8], [0; 8], [17; 8]].concat());
}

#[test]
fn a_version_that_was_collected_is_refused_by_key() {
    let mut cell = Cell::new(&states(), "t", 1);
    let mut script = Script::default();
    // Two versions are kept.
    let mut spec = super::spec(super::Element::U64, Rule::Replace, 4096);
    spec[12] = 2;
    let spec = script.data(&spec);
    let key = script.data(b"short memory");
    let value = script.step("open", &[key.at.into(), key.len.into(), spec.at.into()]);
    let first = script.data(&[0; 16]);
    script.write(value, 0, &[1]);
    let push = [value.into(), 0.into(), Arg::Number(-1), 0.into(), first.at.into()];
    script.step("push", &push);
    let opened = script.step("open_version", &[value.into(), first.at.into()]);
    script.step("close", &[opened.into()]);
    for number in 2..6 {
        script.write(value, 0, &[number]);
        script.push(value);
    }
    let collected = script.step("open_version", &[value.into(), first.at.into()]);
    let why = script.why();
    let did = cell.run(0, &script);
    assert!(did.result(opened) > 0);
    assert_eq!(did.result(collected), Status::Collected as i64);
    let why = String::from_utf8_lossy(did.bytes(why)).into_owned();
    assert!(why.contains("value short memory"), "{why}");
}

#[test]
fn a_window_that_is_full_is_refused_by_key_until_something_is_unmapped() {
    const LEN: i64 = 4 << 20;
    /// More than fit into any window.
    const MAPS: usize = 300;
    let mut cell = Cell::new(&states(), "t", 1);
    let mut script = Script::default();
    let value = script.open_as("large", Rule::Replace, LEN as u64);
    resize(&mut script, value, LEN);
    let maps: Vec<_> = (0..MAPS).map(|_| script.map(value, 0, LEN, SHARED)).collect();
    let why = script.why();
    let unmapped = script.step("unmap", &[maps[0].1.into()]);
    let (again, at) = script.map(value, 0, LEN, SHARED);
    script.step("store", &[at.into(), 5.into()]);
    let seen = script.step("load", &[maps[1].1.into()]);
    let did = cell.run(0, &script);
    let codes: Vec<i64> = maps.iter().map(|(code, _)| did.result(*code)).collect();
    let fitting = codes.iter().take_while(|code| **code == 0).count();
    assert!(fitting > 16 && fitting < MAPS, "{fitting}");
    assert!(codes[fitting..].iter().all(|code| *code == Status::NoRoom as i64), "{codes:?}");
    let why = String::from_utf8_lossy(did.bytes(why)).into_owned();
    assert!(why.contains("value large"), "{why}");
    assert_eq!([unmapped, again, seen].map(|step| did.result(step)), [0, 0, 5]);
    cell.assert_clean();
}

#[test]
fn a_panic_of_the_host_costs_its_call_and_what_it_had_is_free() {
    let mut cell = Cell::panicky(&states(), "t", 2);
    let mut script = Script::default();
    let value = script.open("v");
    resize(&mut script, value, 8);
    script.step("lock", &[value.into(), GLOBAL_WRITE.into(), (-1).into()]);
    let (_, at) = script.map(value, 0, 8, SHARED);
    script.step("store", &[at.into(), 9.into()]);
    script.step("stat", &[value.into(), 0.into()]);
    let number = cell.begin_call(0, call(&script.input()));
    let answer = cell.answer(number);
    assert_eq!(answer.outcome, Outcome::Lost, "{}", text(&answer));

    let mut script = Script::default();
    let value = script.open("v");
    let locked = script.step("lock", &[value.into(), GLOBAL_WRITE.into(), (-1).into()]);
    let (_, found) = script.read(value, 0, 8);
    let did = cell.run(1, &script);
    assert_eq!(did.result(locked), 1, "it was abandoned");
    assert_eq!(did.bytes(found), [0; 8], "what was not pushed is taken back");
    cell.assert_clean();
}

impl Cell {
    /// A cell whose host panics when it is asked what is known of a value.
    fn panicky(states: &std::sync::Arc<super::States>, tenant: &str, workers: usize) -> Self {
        let mut bench = super::Bench::new(1);
        bench.linker.allow_shadowing(true);
        let panics = |_: Caller<'_, Host>, _: u32, _: u32| -> i32 { panic!("this is a test") };
        bench.linker.func_wrap(IMPORT_MODULE, import::STAT, panics).unwrap();
        Self::with(bench, states, tenant, workers)
    }
}
