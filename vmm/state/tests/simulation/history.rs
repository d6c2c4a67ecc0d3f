//! What clients saw, and whether one order of it explains all.

use std::collections::BTreeMap;

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::specifications::Specification;

/// An operation on a register: a value of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    Read(u64),
    Write(u64),
    /// From what was read to what was written, as one.
    Swap {
        from: u64,
        to: u64,
    },
}

/// One operation of a client: between which points of the run it was under way. What never was
/// answered may have happened at any later time, or not.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub op: Op,
    pub begun: u64,
    pub ended: Option<u64>,
}

struct Register;

impl Specification for Register {
    type State = u64;
    type Operation = Op;

    fn init() -> u64 {
        0
    }

    fn apply(op: &Op, state: &u64) -> (bool, u64) {
        match *op {
            Op::Read(found) => (found == *state, *state),
            Op::Write(new) => (true, new),
            Op::Swap { from, to } => (from == *state, to),
        }
    }
}

/// A swap that was never answered: it changes nothing where it does not fit.
struct Maybe;

impl Specification for Maybe {
    type State = u64;
    type Operation = (Op, bool);

    fn init() -> u64 {
        Register::init()
    }

    fn apply((op, answered): &(Op, bool), state: &u64) -> (bool, u64) {
        match Register::apply(op, state) {
            (true, state) => (true, state),
            (false, _) => (!answered, *state),
        }
    }
}

/// Whether the operations of each key are linearizable; the first key where they are not.
pub fn check(histories: &BTreeMap<String, Vec<Entry>>) -> Result<(), String> {
    for (key, entries) in histories {
        let mut points = Vec::new();
        for (process, entry) in entries.iter().enumerate() {
            let op = (entry.op, entry.ended.is_some());
            points.push((entry.begun, process, Action::Call(op)));
            points.push((entry.ended.unwrap_or(u64::MAX), process, Action::Response(op)));
        }
        points.sort_by_key(|(at, process, _)| (*at, *process));
        let actions = points.into_iter().map(|(_, process, action)| (process, action)).collect();
        if !entries.is_empty()
            && !WGLChecker::<Maybe>::is_linearizable(History::from_actions(actions))
        {
            let lines: Vec<String> = entries.iter().map(|entry| format!("{entry:?}")).collect();
            return Err(format!("{key}: no order explains\n{}", lines.join("\n")));
        }
    }
    Ok(())
}

/// How many pairs of operations on one key were under way at once.
pub fn overlap(histories: &BTreeMap<String, Vec<Entry>>) -> usize {
    let end = |entry: &Entry| entry.ended.unwrap_or(u64::MAX);
    let pairs = |entries: &Vec<Entry>| {
        let mut count = 0;
        for (number, one) in entries.iter().enumerate() {
            let others = &entries[number + 1..];
            count += others.iter().filter(|o| one.begun < end(o) && o.begun < end(one)).count();
        }
        count
    };
    histories.values().map(pairs).sum()
}
