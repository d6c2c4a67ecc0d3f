//! Locks: among the calls of a host, among cells, and what is left of them when a call ends.

use std::time::{Duration, Instant};

use faaslet_abi::{Outcome, Status};
use faaslet_state::spec::Rule;

use super::{Arg, Cell, Script, Step, call, states, text};
use crate::cell::Call;

const LOCAL_READ: i64 = 0;
const LOCAL_WRITE: i64 = 1;
const GLOBAL_READ: i64 = 2;
const GLOBAL_WRITE: i64 = 3;
const KINDS: [i64; 4] = [LOCAL_READ, LOCAL_WRITE, GLOBAL_READ, GLOBAL_WRITE];

/// Faaslets that count.
const COUNTERS: usize = 64;

impl Script {
    fn lock(&mut self, value: Step, kind: i64, timeout_ms: i64) -> Step {
        self.step("lock", &[value.into(), kind.into(), timeout_ms.into()])
    }

    fn unlock(&mut self, value: Step, kind: i64) -> Step {
        self.step("unlock", &[value.into(), kind.into()])
    }

    /// Adds one to the number at the start of a value, by a load and a store that others could
    /// come between.
    fn add_one(&mut self, value: Step) {
        let (_, place) = self.read(value, 0, 8);
        let old = self.step("load", &[place.at.into()]);
        let new = self.step("sum", &[old.into(), 1.into()]);
        self.step("sleep", &[1.into()]);
        self.step("store", &[place.at.into(), new.into()]);
        let arguments = [value.into(), 0.into(), place.at.into(), place.len.into()];
        self.step("write", &arguments);
    }
}

#[track_caller]
fn counted(cell: &mut Cell) -> i64 {
    let mut script = Script::default();
    let value = script.open_as("count", Rule::Replace, 4096);
    script.pull(value);
    let (_, place) = script.read(value, 0, 8);
    let number = script.step("load", &[place.at.into()]);
    cell.run(0, &script).result(number)
}

#[test]
fn sixty_four_faaslets_count_exactly_under_a_local_write_lock() {
    let mut cell = Cell::new(&states(), "t", 2);
    let mut script = Script::default();
    let value = script.open_as("count", Rule::Replace, 4096);
    let locked = script.lock(value, LOCAL_WRITE, -1);
    script.add_one(value);
    let unlocked = script.unlock(value, LOCAL_WRITE);
    let calls: Vec<_> = (0..COUNTERS).map(|n| cell.begin(n % 2, &script)).collect();
    for call in calls {
        let did = cell.did(call);
        assert_eq!((did.result(locked), did.result(unlocked)), (0, 0));
    }
    assert_eq!(counted(&mut cell), COUNTERS as i64);
    assert!(cell.local.counts().lock_waits > 0, "they were at it at the same time");
    cell.assert_clean();
}

#[test]
fn sixty_four_faaslets_of_two_cells_count_exactly_under_the_global_write_lock() {
    let states = states();
    let mut cells = [Cell::new(&states, "t", 2), Cell::new(&states, "t", 2)];
    let mut script = Script::default();
    let value = script.open_as("count", Rule::Replace, 4096);
    let locked = script.lock(value, GLOBAL_WRITE, -1);
    script.pull(value);
    script.add_one(value);
    let pushed = script.push(value);
    let unlocked = script.unlock(value, GLOBAL_WRITE);
    let calls: Vec<_> =
        (0..COUNTERS).map(|n| (n % 2, cells[n % 2].begin(n / 2 % 2, &script))).collect();
    let patience = Instant::now() + Duration::from_secs(60);
    while calls.iter().any(|(cell, call)| cells[*cell].waits(*call)) {
        assert!(Instant::now() < patience, "they wait for each other");
    }
    for (cell, call) in calls {
        let did = cells[cell].did(call);
        let codes = [locked, pushed, unlocked].map(|step| did.result(step));
        assert_eq!(codes, [0; 3]);
    }
    for cell in &mut cells {
        assert_eq!(counted(cell), COUNTERS as i64);
        cell.assert_clean();
    }
}

#[test]
fn sums_of_two_cells_add_up_without_a_lock() {
    let states = states();
    let mut cells = [Cell::new(&states, "t", 2), Cell::new(&states, "t", 2)];
    let mut script = Script::default();
    let value = script.open_as("count", Rule::Sum, 4096);
    let one = script.data(&1_u64.to_le_bytes());
    script.step("merge", &[value.into(), 0.into(), one.at.into(), one.len.into()]);
    let pushed = script.push(value);
    let calls: Vec<_> =
        (0..COUNTERS).map(|n| (n % 2, cells[n % 2].begin(n / 2 % 2, &script))).collect();
    for (cell, call) in calls {
        assert_eq!(cells[cell].did(call).result(pushed), 0);
    }
    for cell in &mut cells {
        let mut script = Script::default();
        let value = script.open_as("count", Rule::Sum, 4096);
        script.pull(value);
        let (_, place) = script.read(value, 0, 8);
        let number = script.step("load", &[place.at.into()]);
        assert_eq!(cell.run(0, &script).result(number), COUNTERS as i64);
        cell.assert_clean();
    }
}

#[test]
fn a_trap_under_the_global_write_lock_takes_back_what_was_not_pushed_and_the_next_is_told() {
    let mut cell = Cell::new(&states(), "t", 2);
    let mut script = Script::default();
    let value = script.open("value");
    script.write(value, 0, b"kept");
    script.push(value);
    cell.run(0, &script);

    let mut script = Script::default();
    let value = script.open("value");
    script.lock(value, GLOBAL_WRITE, -1);
    script.write(value, 0, b"lost");
    let (_, at) = script.map(value, 0, 8, 1);
    script.step("store", &[at.into(), Arg::Number(-1)]);
    script.step("trap", &[]);
    let call = cell.begin(0, &script);
    assert_eq!(cell.answer(call).outcome, Outcome::Trapped);

    let mut script = Script::default();
    let value = script.open("value");
    let locked = script.lock(value, GLOBAL_WRITE, -1);
    let (_, bytes) = script.read(value, 0, 4);
    let unlocked = script.unlock(value, GLOBAL_WRITE);
    let again = script.lock(value, GLOBAL_WRITE, -1);
    let did = cell.run(1, &script);
    assert_eq!([locked, unlocked, again].map(|step| did.result(step)), [1, 0, 0]);
    assert_eq!(did.bytes(bytes), b"kept");
    cell.assert_clean();
}

#[test]
fn a_call_that_ends_with_its_locks_has_abandoned_them() {
    let mut cell = Cell::new(&states(), "t", 2);
    for kind in KINDS {
        let mut script = Script::default();
        let value = script.open(&format!("of kind {kind}"));
        let locked = script.lock(value, kind, -1);
        assert_eq!(cell.run(0, &script).result(locked), 0);
        let mut script = Script::default();
        let value = script.open(&format!("of kind {kind}"));
        let locked = script.lock(value, GLOBAL_WRITE, -1);
        let abandoned = i64::from(kind == GLOBAL_WRITE);
        assert_eq!(cell.run(1, &script).result(locked), abandoned, "kind {kind}");
    }
    cell.assert_clean();
}

#[test]
fn a_deadlock_ends_by_deadline_with_key_and_holder() {
    for kind in [LOCAL_WRITE, GLOBAL_WRITE] {
        let mut cell = Cell::new(&states(), "t", 2);
        let crossed = |first: &str, second: &str, patience: Duration| {
            let mut script = Script::default();
            let (first, second) = (script.open(first), script.open(second));
            script.lock(first, kind, -1);
            script.step("sleep", &[20.into()]);
            script.lock(second, kind, -1);
            Call { deadline: Instant::now() + patience, ..call(&script.input()) }
        };
        let one = cell.begin_call(0, crossed("a", "b", Duration::from_millis(300)));
        let two = cell.begin_call(1, crossed("b", "a", Duration::from_secs(60)));
        let late = cell.answer(one);
        assert_eq!(late.outcome, Outcome::TimedOut, "kind {kind}");
        let said = text(&late);
        assert!(said.contains("value b") && said.contains("holds"), "{said}");
        // What it held is the other's, which goes on.
        cell.did(two);
        // What they held is free.
        let mut script = Script::default();
        let (a, b) = (script.open("a"), script.open("b"));
        let locked = [a, b].map(|value| script.lock(value, LOCAL_WRITE, 0));
        assert_eq!(locked.map(|step| cell.run(0, &script).result(step)), [0, 0]);
        cell.assert_clean();
    }
}

#[test]
fn what_a_lock_refuses_is_said_with_key_and_reason() {
    let mut cell = Cell::new(&states(), "t", 2);
    let mut script = Script::default();
    let value = script.open("locked");
    let unlock_first = script.unlock(value, LOCAL_WRITE);
    script.lock(value, LOCAL_WRITE, -1);
    let twice = script.lock(value, LOCAL_WRITE, 0);
    let said = script.data(&[0; 128]);
    script.step("error", &[said.at.into(), said.len.into()]);
    let other_kind = script.unlock(value, LOCAL_READ);
    let unlocked = script.unlock(value, LOCAL_WRITE);
    let unlocked_twice = script.unlock(value, LOCAL_WRITE);
    let no_kind = script.lock(value, 4, 0);
    let did = cell.run(0, &script);
    let codes = [unlock_first, twice, other_kind, unlocked, unlocked_twice, no_kind];
    let (none, invalid) = (Status::LockLost as i64, Status::Invalid as i64);
    let expected = [none, invalid, none, 0, none, invalid];
    assert_eq!(codes.map(|step| did.result(step)), expected);
    let said = String::from_utf8_lossy(did.bytes(said)).into_owned();
    assert!(said.contains("value locked") && said.contains("re-entrant"), "{said}");
    cell.assert_clean();
}

#[test]
fn while_one_has_the_global_write_lock_others_neither_map_nor_write_nor_push() {
    let mut cell = Cell::new(&states(), "t", 2);
    let mut holder = Script::default();
    let value = holder.open("alone");
    let flag = holder.open("flag");
    holder.step("resize", &[value.into(), 64.into()]);
    holder.step("resize", &[flag.into(), 8.into()]);
    let (_, at) = holder.map(flag, 0, 8, 1);
    holder.lock(value, GLOBAL_WRITE, -1);
    holder.step("wait", &[at.into(), 0.into(), Arg::Number(-1)]);
    let held = cell.begin(0, &holder);
    assert!(cell.waits(held));

    let mut other = Script::default();
    let value = other.open("alone");
    let flag = other.open("flag");
    let (mapped, _) = other.map(value, 0, 8, 1);
    let wrote = other.write(value, 0, b"x");
    let pushed = other.push(value);
    let (read, _) = other.read(value, 0, 8);
    let waited = other.lock(value, LOCAL_READ, 1);
    let (_, at) = other.map(flag, 0, 8, 1);
    let woken = other.step("notify", &[at.into(), 9.into()]);
    let did = cell.run(1, &other);
    let locked = Status::Locked as i64;
    let codes = [mapped, wrote, pushed, read, waited, woken].map(|step| did.result(step));
    assert_eq!(codes, [locked, locked, locked, 8, Status::TimedOut as i64, 1]);
    cell.did(held);
    cell.assert_clean();
}
