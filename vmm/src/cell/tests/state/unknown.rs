//! Pushes of which nothing was heard, by calls whose time was up meanwhile: they are brought to
//! their end by whoever comes next, once, and nothing of the call that ended is in the way.

use std::time::{Duration, Instant};

use faaslet_abi::Outcome;
use faaslet_state::spec::Rule;

use super::{Cell, Loss, Script, Step, call, states};
use crate::cell::Call;

const GLOBAL_WRITE: i64 = 3;
const LOSSES: [Loss; 2] = [Loss::Pushes, Loss::Answers];

/// Runs a script whose pushes or their answers are lost, until its time is up.
#[track_caller]
fn times_out(cell: &mut Cell, script: &Script, loss: Loss) {
    cell.lose(loss);
    let deadline = Instant::now() + Duration::from_millis(100);
    let number = cell.begin_call(0, Call { deadline, ..call(&script.input()) });
    assert_eq!(cell.answer(number).outcome, Outcome::TimedOut, "{loss:?}");
    cell.lose(Loss::None);
}

/// Opens `count`, a sum, and adds one to it.
fn add_one(script: &mut Script) -> Step {
    let value = script.open_as("count", Rule::Sum, 4096);
    let one = script.data(&1_u64.to_le_bytes());
    script.step("merge", &[value.into(), 0.into(), one.at.into(), one.len.into()]);
    value
}

/// What a cell that asks the owner finds at the start of a value.
#[track_caller]
fn found(cell: &mut Cell, key: &str, rule: Rule) -> i64 {
    let mut script = Script::default();
    let value = script.open_as(key, rule, 4096);
    script.pull(value);
    let (_, place) = script.read(value, 0, 8);
    let number = script.step("load", &[place.at.into()]);
    cell.run(0, &script).result(number)
}

#[test]
fn a_push_of_which_nothing_was_heard_is_sent_again_by_the_next_call_and_applied_once() {
    for loss in LOSSES {
        let states = states();
        let (mut one, mut two) = (Cell::new(&states, "t", 2), Cell::new(&states, "t", 1));
        let mut script = Script::default();
        let value = add_one(&mut script);
        script.push(value);
        times_out(&mut one, &script, loss);
        assert!(one.local.counts().dirty_bytes > 0, "what is not known is kept");
        assert_eq!(found(&mut two, "count", Rule::Sum), i64::from(loss == Loss::Answers));

        let mut script = Script::default();
        let value = add_one(&mut script);
        let pushed = script.push(value);
        assert_eq!(one.run(1, &script).result(pushed), 0);
        assert_eq!(one.local.counts().dirty_bytes, 0);
        for cell in [&mut one, &mut two] {
            assert_eq!(found(cell, "count", Rule::Sum), 2, "{loss:?}");
            cell.assert_clean();
        }
    }
}

#[test]
fn a_lock_under_which_a_push_was_not_answered_is_free_for_the_next_call() {
    for loss in LOSSES {
        let states = states();
        let (mut one, mut two) = (Cell::new(&states, "t", 2), Cell::new(&states, "t", 1));
        let mut script = Script::default();
        let value = script.open_as("v", Rule::Replace, 4096);
        script.write(value, 0, &1_u64.to_le_bytes());
        script.push(value);
        one.run(0, &script);

        let mut script = Script::default();
        let value = script.open_as("v", Rule::Replace, 4096);
        script.step("lock", &[value.into(), GLOBAL_WRITE.into(), (-1).into()]);
        script.write(value, 0, &2_u64.to_le_bytes());
        script.push(value);
        times_out(&mut one, &script, loss);
        // Applied, or refused for ever: the lock is abandoned.
        let expected = if loss == Loss::Answers { 2 } else { 1 };
        assert_eq!(found(&mut two, "v", Rule::Replace), expected);

        for (worker, number) in [(0, 3_u64), (1, 4)] {
            let mut script = Script::default();
            let value = script.open_as("v", Rule::Replace, 4096);
            let locked = script.step("lock", &[value.into(), GLOBAL_WRITE.into(), (-1).into()]);
            let (_, place) = script.read(value, 0, 8);
            let before = script.step("load", &[place.at.into()]);
            script.write(value, 0, &number.to_le_bytes());
            let pushed = script.push(value);
            script.step("unlock", &[value.into(), GLOBAL_WRITE.into()]);
            let did = one.run(worker, &script);
            let abandoned = i64::from(number == 3);
            assert_eq!((did.result(locked), did.result(pushed)), (abandoned, 0), "{loss:?}");
            let expected = if number == 3 { expected } else { 3 };
            assert_eq!(did.result(before), expected, "{loss:?}");
        }
        for cell in [&mut one, &mut two] {
            assert_eq!(found(cell, "v", Rule::Replace), 4);
            cell.assert_clean();
        }
    }
}

#[test]
fn what_a_call_wrote_under_the_lock_is_nobody_else_s_while_its_push_is_not_answered() {
    for loss in LOSSES {
        let mut cell = Cell::new(&states(), "t", 2);
        let mut script = Script::default();
        let value = script.open_as("v", Rule::Replace, 4096);
        script.step("lock", &[value.into(), GLOBAL_WRITE.into(), (-1).into()]);
        script.write(value, 0, &2_u64.to_le_bytes());
        script.push(value);
        script.write(value, 8, &9_u64.to_le_bytes());
        times_out(&mut cell, &script, loss);

        // A plain write of another call, without a lock.
        let mut script = Script::default();
        let value = script.open_as("v", Rule::Replace, 4096);
        let wrote = script.write(value, 16, &5_u64.to_le_bytes());
        let pushed = script.push(value);
        let (_, place) = script.read(value, 0, 24);
        let did = cell.run(1, &script);
        assert_eq!((did.result(wrote), did.result(pushed)), (0, 0), "{loss:?}");
        let first = if loss == Loss::Answers { 2_u64 } else { 0 };
        let expected = [first, 0, 5].map(u64::to_le_bytes).concat();
        assert_eq!(did.bytes(place), expected, "{loss:?}");
        cell.assert_clean();
    }
}
