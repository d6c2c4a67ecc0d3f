//! Two monitors that share state, each on a host with a network of its own, under faults: datagrams
//! between them are lost, late, doubled, overtaken or cut off, the owner of the values is killed or
//! halted, or the other host is. Clients of both swap numbers under the global write lock, by
//! compare and set, or blindly, and read; whatever they see must be explained by one order.
//!
//! Each fault has its test. `FAASLET_FAULT_ROUNDS` says how many rounds of several faults at once
//! there are beside them (1), `FAASLET_SEED` repeats one. The same is tested in virtual time, with
//! thousands of histories, where the protocol is.
#![allow(clippy::unwrap_used)]

#[path = "../../vmm/state/tests/simulation/history.rs"]
mod history;
mod state_faults {
    pub(crate) mod client;
    pub(crate) mod hosts;
    pub(crate) mod log;
    pub(crate) mod round;
}

use std::time::Duration;

use faaslet_tests::{Fate, Rule};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use state_faults::round::{Blow, Plan, play};

/// Longer than an owner's answer may take to count, shorter than a lease of a lock.
const A_WHILE: Duration = Duration::from_secs(3);
/// Longer than a lease of a lock.
const LONG: Duration = Duration::from_secs(12);
const ALWAYS: std::ops::Range<u64> = 0..u64::MAX;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn rules(percent: u32, fate: Fate) -> Plan {
    Plan { rules: vec![Rule { datagrams: ALWAYS, percent, fate }], blow: None }
}

fn blow(blow: Blow) -> Plan {
    Plan { rules: Vec::new(), blow: Some(blow) }
}

fn played(plan: &Plan) {
    let seed = number("FAASLET_SEED").unwrap_or_else(rand::random);
    println!("FAASLET_SEED={seed}");
    play(plan, seed);
}

#[test]
fn datagrams_are_lost() {
    played(&rules(10, Fate::Lost));
}

#[test]
fn datagrams_are_late() {
    played(&rules(30, Fate::Late(Duration::from_millis(60))));
}

#[test]
fn datagrams_come_twice() {
    played(&rules(40, Fate::Doubled));
}

#[test]
fn datagrams_overtake_each_other() {
    played(&rules(40, Fate::Overtaken));
}

#[test]
fn hosts_are_cut_off_from_each_other() {
    let cut = Rule { datagrams: 40..41, percent: 100, fate: Fate::Cut(A_WHILE) };
    played(&Plan { rules: vec![cut], blow: None });
}

#[test]
fn the_owner_is_killed_and_starts_again() {
    played(&blow(Blow::Kill));
}

#[test]
fn the_owner_stands_still_for_a_while() {
    played(&blow(Blow::Halt(A_WHILE)));
}

#[test]
fn a_host_with_locks_stands_still_until_they_are_lost() {
    played(&blow(Blow::HaltOther(LONG)));
}

/// Several faults at once, as the seed has it.
fn mixed(rng: &mut StdRng) -> Plan {
    let mut rules = Vec::new();
    if rng.random_bool(0.5) {
        let at = rng.random_range(10..200);
        let time = if rng.random_bool(0.2) { LONG } else { A_WHILE };
        rules.push(Rule { datagrams: at..at + 1, percent: 100, fate: Fate::Cut(time) });
    }
    let late = Duration::from_millis(rng.random_range(5..300));
    for fate in [Fate::Lost, Fate::Late(late), Fate::Doubled, Fate::Overtaken] {
        let from = rng.random_range(0..200);
        let datagrams = from..from + rng.random_range(20..400);
        rules.push(Rule { datagrams, percent: rng.random_range(1..20), fate });
    }
    let blow = match rng.random_range(0..6) {
        0 | 1 => Some(Blow::Kill),
        2 => Some(Blow::Halt(A_WHILE)),
        3 => Some(Blow::Halt(LONG)),
        4 => Some(Blow::HaltOther(LONG)),
        _ => None,
    };
    Plan { rules, blow }
}

#[test]
fn faults_come_together() {
    let first = number("FAASLET_SEED").unwrap_or_else(rand::random);
    for seed in (first..).take(number("FAASLET_FAULT_ROUNDS").unwrap_or(1) as usize) {
        println!("FAASLET_SEED={seed}");
        play(&mixed(&mut StdRng::seed_from_u64(seed)), seed);
    }
}
