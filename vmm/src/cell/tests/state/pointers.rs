//! Calls for state with arguments that a guest must not give, at random: each is told a status,
//! nothing outside the guest's memory is touched, and what others share stays as it is.
//! `FAASLET_POINTERS` says how many calls (`FAASLET_SEED` repeats a run).

use faaslet_abi::{Outcome, Status};
use faaslet_state::spec::Rule;

use super::script::CALLS;
use super::{Arg, Cell, Script, Step, call, states, text};
use crate::cell::tests::{Random, number, seed};

/// Calls of one run, and of one script of it.
const ALL: u64 = 4_000;
const STEPS: usize = 200;
/// Of a value: what is read lands on the script's data at worst, not on its steps.
const QUOTA_BYTES: u64 = 4096;
/// The guest's memory.
const SIZE: i64 = 512 << 10;
/// Where its window begins.
const WINDOW: i64 = 3 << 30;

/// Places at which something could go wrong.
const PLACES: [i64; 16] = [
    0,
    1,
    7,
    2048,
    SIZE - 64,
    SIZE - 8,
    SIZE - 1,
    SIZE,
    SIZE + 1,
    WINDOW - 1,
    WINDOW,
    WINDOW + 4096,
    i32::MAX as i64,
    0xffff_f000,
    0xffff_fff8,
    0xffff_ffff,
];
/// Numbers of the same kind.
const NUMBERS: [i64; 14] = [0, 1, 2, 3, 8, 63, 64, 65, 4096, i64::MAX, i64::MIN, -1, -8, 1 << 32];

/// Some argument for a parameter, of 32 or of 64 bits.
fn argument(random: &mut Random, values: &[Step], mapped: Step) -> Arg {
    match random.below(8) {
        0..3 => values[random.below(values.len() as u64) as usize].into(),
        3 => mapped.into(),
        4..6 => PLACES[random.below(PLACES.len() as u64) as usize].into(),
        _ => NUMBERS[random.below(NUMBERS.len() as u64) as usize].into(),
    }
}

/// Calls with such arguments, after some that are as they should be.
fn script(random: &mut Random) -> (Script, Vec<Step>) {
    let mut script = Script::default();
    let values = ["one", "two"].map(|key| script.open_as(key, Rule::Replace, QUOTA_BYTES));
    script.write(values[0], 0, &[1; 64]);
    let (_, mapped) = script.map(values[0], 0, 64, 1);
    let calls = (0..STEPS).map(|_| {
        let (name, params) = CALLS[random.below(CALLS.len() as u64) as usize];
        let mut arguments: Vec<Arg> =
            params.chars().map(|_| argument(random, &values, mapped)).collect();
        // Nobody comes who would end a wait.
        if let ("state_lock" | "state_wait", Some(timeout)) = (name, arguments.last_mut()) {
            *timeout = Arg::Number(random.below(2) as i64);
        }
        let name = name.strip_prefix("state_").unwrap_or(name);
        script.step(name, &arguments)
    });
    let calls = calls.collect();
    (script, calls)
}

#[test]
fn arguments_at_random_are_told_a_status() {
    let seed = seed();
    let mut random = Random(seed);
    let states = states();
    let (mut cell, mut other) = (Cell::new(&states, "t", 2), Cell::new(&states, "u", 1));
    let mut kept = Script::default();
    let value = kept.open("one");
    kept.write(value, 0, b"another tenant's");
    kept.push(value);
    other.run(0, &kept);

    let lowest = Status::Unknown as i64;
    let rounds = number("FAASLET_POINTERS").unwrap_or(ALL).div_ceil(STEPS as u64);
    for round in 0..rounds {
        let (script, calls) = script(&mut random);
        let number = cell.begin_call((round % 2) as usize, call(&script.input()));
        let answer = cell.answer(number);
        assert_eq!(answer.outcome, Outcome::Returned, "{}, seed {seed}", text(&answer));
        let did = super::Did(answer.body);
        for step in calls {
            let result = did.result(step);
            assert!(result >= lowest && result <= i64::from(i32::MAX), "{result}, seed {seed}");
        }
        cell.assert_clean();
    }

    let mut reads = Script::default();
    let value = reads.open("one");
    reads.pull(value);
    let (_, found) = reads.read(value, 0, 16);
    assert_eq!(other.run(0, &reads).bytes(found), b"another tenant's");
}
